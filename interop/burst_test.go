//go:build linux

package interop_test

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// burst is more events than the kernel's queue holds while nobody reads: 13,107 in the 8 MiB to begin with.
const burst = 20000

// makeBurst makes entries while the process p stands still, and lets it go on.
func makeBurst(t *testing.T, s *sandbox, p *process) {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	var lines strings.Builder
	for i := range burst {
		fmt.Fprintf(&lines, "-I -s 10.0.%d.%d -d 2.2.2.2 -p udp --sport 10 --dport 20 -t 500\n", i>>8, i&255)
	}
	s.load(lines.String())
	if err := p.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
}

// followBurst has a program meet a burst and, when it has recovered, one more entry.
func followBurst(t *testing.T, argv ...string) result {
	s := newSandbox(t, ours(t))
	p := s.begin(job{argv: argv})
	p.follows()
	makeBurst(t, s, p)
	p.idles()
	s.setup("conntrack", "-I", "-s", "1.1.1.1", "-d", "2.2.2.2", "-p", "udp", "--sport", "10", "--dport", "20", "-t", "500")
	p.idles()
	p.cmd.Process.Signal(syscall.SIGINT)
	return p.end()
}

var lostEvents = regexp.MustCompile(`(?m)^WARNING: (\d+) events have been lost\.$`)

func TestEventsLostInABurstAreCounted(t *testing.T) {
	t.Parallel()
	r := followBurst(t, "conntrack", "-E", "-e", "NEW")

	shown, lost := strings.Count(r.stdout, "\n"), 0
	for _, m := range lostEvents.FindAllStringSubmatch(r.stderr, -1) {
		n, _ := strconv.Atoi(m[1])
		lost += n
	}
	if shown+lost != burst+1 || lost == 0 {
		t.Errorf("%d events shown and %d told lost of %d; stderr:\n%s", shown, lost, burst+1, r.stderr)
	}
	if r.exit != 0 || !strings.HasPrefix(r.stderr, "WARNING: We have hit ENOBUFS! We are losing events.\n") {
		t.Errorf("exit %d, stderr:\n%s", r.exit, r.stderr)
	}
	if !strings.Contains(r.stdout, "src=1.1.1.1 ") {
		t.Error("nothing was shown after the loss")
	}
	if want := fmt.Sprintf("%d flow events have been shown.\n", shown); !strings.HasSuffix(r.stderr, want) {
		t.Errorf("stderr does not end in %q:\n%s", want, r.stderr)
	}
}

func TestLossStandsInItsPlaceInJSON(t *testing.T) {
	t.Parallel()
	r := followBurst(t, "conntrack", "-E", "-o", "jsonl")

	shown, lost, after := 0, 0, 0
	for line := range strings.Lines(r.stdout) {
		var e struct {
			Type    string
			Dropped int
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%v in %q", err, line)
		}
		switch {
		case e.Type == "lost":
			lost += e.Dropped
			after = 0
		default:
			shown++
			after++
		}
	}
	if shown+lost != burst+1 || lost == 0 || after == 0 {
		t.Errorf("%d events shown, %d after the gap, %d lost, of %d", shown, after, lost, burst+1)
	}
}

func TestExitOnLoss(t *testing.T) {
	t.Parallel()
	s := newSandbox(t, ours(t))
	p := s.begin(job{argv: []string{"conntrack", "-E", "--exit-on-loss"}})
	p.follows()
	makeBurst(t, s, p)
	r := p.end()
	if want := "Operation failed: No buffer space available\n"; r.exit != 1 || !strings.HasSuffix(r.stderr, want) {
		t.Errorf("exit %d, stderr:\n%s", r.exit, r.stderr)
	}
}

// TestTheQueueGrows: with some reading now and then nothing is lost, although the queue was far too small.
func TestTheQueueGrows(t *testing.T) {
	t.Parallel()
	s := newSandbox(t, ours(t))
	p := s.begin(job{argv: []string{"conntrack", "-E", "-e", "NEW"}})
	p.follows()
	var lines strings.Builder
	for i := range burst {
		fmt.Fprintf(&lines, "-I -s 10.0.%d.%d -d 2.2.2.2 -p udp --sport 10 --dport 20 -t 500\n", i>>8, i&255)
	}
	s.load(lines.String())
	p.idles()
	p.cmd.Process.Signal(syscall.SIGINT)
	if r := p.end(); strings.Count(r.stdout, "\n") != burst || strings.Contains(r.stderr, "WARNING") {
		t.Errorf("%d of %d events shown; stderr:\n%s", strings.Count(r.stdout, "\n"), burst, r.stderr)
	}
}
