package agent

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/statesync"
)

// TestNoLineIsLostWhileTheLogIsRotated: several write, one moves the file away.
func TestNoLineIsLostWhileTheLogIsRotated(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	var l Log
	if err := l.Reopen(path); err != nil {
		t.Fatal(err)
	}
	const writers, lines = 4, 500
	var writing sync.WaitGroup
	for range writers {
		writing.Go(func() {
			for range lines {
				l.Printf(statesync.Notice, "a line")
				l.Entry("an entry")
			}
		})
	}
	for i := range 50 {
		if err := os.Rename(path, fmt.Sprintf("%s.%d", path, i)); err != nil {
			t.Fatal(err)
		}
		if err := l.Reopen(path); err != nil {
			t.Fatal(err)
		}
	}
	writing.Wait()
	if err := l.Reopen(filepath.Join(path, "below a file")); err == nil {
		t.Error("a file below a file was opened")
	}
	l.Printf(statesync.Notice, "still open")
	files, _ := filepath.Glob(path + "*")
	all := ""
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all += string(b)
	}
	if a, b := strings.Count(all, "] a line\n"), strings.Count(all, "\tan entry\n"); a != writers*lines || b != a || strings.Count(all, "still open\n") != 1 {
		t.Errorf("%d lines and %d entries, want %d each", a, b, writers*lines)
	}
}

func TestLedgerGoesOnInANewFile(t *testing.T) {
	dir := t.TempDir()
	l := newLedger(0, 0, nil, nil)
	end := func() {
		f := tcpFlow("10.0.0.1", "198.51.100.1", 3)
		l.event(0, &flow.Event{Type: flow.New, Flow: f})
		l.event(0, &flow.Event{Type: flow.Destroy, Flow: f})
		if err := l.flush(); err != nil {
			t.Error(err)
		}
	}
	end() // nowhere
	for _, name := range []string{"a", "b", "missing/c", ""} {
		err := l.reopen(map[bool]string{true: "", false: filepath.Join(dir, name)}[name == ""])
		if (err != nil) != (name == "missing/c") {
			t.Errorf("%s: %v", name, err)
		}
		end()
	}
	for name, want := range map[string]int{"a": 1, "b": 2} {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil || strings.Count(string(b), "\n") != want {
			t.Errorf("%s: %q, %v, want %d lines", name, b, err, want)
		}
	}
}
