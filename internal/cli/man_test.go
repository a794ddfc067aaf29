//go:build linux

package cli

import (
	"flag"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/spoor-project/spoor/filter"
	"github.com/spoor-project/spoor/internal/guard"
	"github.com/spoor-project/spoor/internal/nstest"
)

var updateFiles = flag.Bool("update", false, "rewrite the man page")

func TestManPageIsCommitted(t *testing.T) {
	const path = "../../man/spoor.8"
	if *updateFiles {
		if err := os.WriteFile(path, []byte(ManPage()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(have) != ManPage() {
		t.Error("man/spoor.8 is not what the tables make now: run make generate and read the diff")
	}
}

// TestManPageHasTheLanguage: every word of the filter language is in the page and in its guide.
func TestManPageHasTheLanguage(t *testing.T) {
	guide, err := os.ReadFile("../../docs/filter.md")
	if err != nil {
		t.Fatal(err)
	}
	page := strings.FieldsFunc(ManPage(), func(r rune) bool { return strings.ContainsRune(" \n,.", r) })
	in := make(map[string]bool)
	for _, w := range page {
		in[w] = true
	}
	for _, w := range filter.Words() {
		if w != "seen_reply" && w != "expected" && !in[w] { // other words for replied and related
			t.Errorf("the page does not have %s", w)
		}
		if !strings.Contains(string(guide), w) {
			t.Errorf("docs/filter.md does not have %s", w)
		}
	}
}

// TestEveryKindOfFindingIsExplained, in the page and in its guide.
func TestEveryKindOfFindingIsExplained(t *testing.T) {
	guide, err := os.ReadFile("../../docs/spoor-guard.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range guard.Kinds() {
		name, usual, _ := strings.Cut(k.Usual, " ")
		if !strings.Contains(ManPage(), "\n.It Cm "+k.Usual+"\n") {
			t.Errorf("the page does not have %s", k.Usual)
		}
		if !strings.Contains(string(guide), "\n| `"+name+"` | ") || !strings.Contains(string(guide), usual) {
			t.Errorf("docs/spoor-guard.md does not have %s", k.Usual)
		}
	}
	for _, w := range guardWordNames() {
		if !strings.Contains(string(guide), "    spoor guard "+w) {
			t.Errorf("docs/spoor-guard.md does not have the word %s", w)
		}
	}
	for _, o := range guardCommand.options {
		if !strings.Contains(string(guide), "`--"+o.name) && !strings.Contains(string(guide), "--"+o.name+" ") {
			t.Errorf("docs/spoor-guard.md does not have --%s", o.name)
		}
	}
}

func TestManPageIsWellFormed(t *testing.T) {
	nstest.NeedTool(t, "mandoc")
	cmd := exec.Command("mandoc", "-T", "lint", "-W", "warning", "../../man/spoor.8")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
