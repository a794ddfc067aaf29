//go:build linux

package nfctcli

import (
	"bytes"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spoor-project/spoor/conntrack"
	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/nstest"
)

var update = flag.Bool("update", false, "rewrite the man page and the completions")

func TestMain(m *testing.M) { os.Exit(nstest.Main(m)) }

// committed compares what a generator made with the file that is committed, named from
// the module's root.
func committed(t *testing.T, name, made string) {
	t.Helper()
	path := filepath.Join("..", "..", "..", name)
	if *update {
		if err := os.WriteFile(path, []byte(made), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	have, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(have) != made {
		t.Errorf("%s is not what the tables make now: run make generate and read the diff", name)
	}
}

func TestManPageIsCommitted(t *testing.T) { committed(t, "man/nfct.8", ManPage()) }

// TestManPageIsComplete fails when a table has a row that the page does not explain.
func TestManPageIsComplete(t *testing.T) {
	page := ManPage()
	want := func(what, text string) {
		t.Helper()
		if !strings.Contains(page, text) {
			t.Errorf("the page does not have %s: %q", what, text)
		}
	}
	for i := range commandTable {
		for sub, a := range commandTable[i].actions {
			if a == nil {
				continue
			}
			want("the command "+commandTable[i].name+" "+subsystemNames[sub], ".It Cm "+commandTable[i].name+" "+subsystemNames[sub])
			if manActions[commandTable[i].name+" "+subsystemNames[sub]] == "" {
				t.Errorf("no text in manActions for %s %s", commandTable[i].name, subsystemNames[sub])
			}
		}
	}
	explained := map[flow.Proto]bool{}
	for _, p := range manProtocols {
		explained[p.proto] = true
		if len(p.sysctls) != len(states(p.proto)) {
			t.Errorf("%s: %d sysctls for %d states", p.words, len(p.sysctls), len(states(p.proto)))
		}
		for _, s := range states(p.proto) {
			want("a state of "+p.words, ".It Cm "+s.String())
		}
	}
	for n := range 256 {
		if p := flow.Proto(n); conntrack.TimeoutStates(p) != nil && !explained[p] {
			t.Errorf("no row in manProtocols for protocol %d", n)
		}
	}
	for _, p := range protocolWords {
		if !explained[p.proto] {
			t.Errorf("%s is offered and not explained", p.word)
		}
	}
	for _, h := range helperTable {
		want("a helper", ".It Cm "+h.name+" Ta")
	}
	for i := range ownOptionTable {
		want("an option", "Fl -"+strings.TrimLeft(ownOptionTable[i].name, "-"))
	}
}

func TestManPageIsAcceptedByFormatters(t *testing.T) {
	file := filepath.Join(t.TempDir(), "nfct.8")
	if err := os.WriteFile(file, []byte(ManPage()), 0o644); err != nil {
		t.Fatal(err)
	}
	complaints := func(argv ...string) []string {
		cmd := exec.Command(argv[0], argv[1:]...)
		cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "MANWIDTH=78")
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		lines := strings.Split(strings.TrimSpace(stderr.String()), "\n")
		if argv[0] == "mandoc" {
			lines = append(lines, strings.Split(string(out), "\n")...)
		} else if err != nil {
			lines = append(lines, err.Error())
		}
		return slices.DeleteFunc(lines, func(line string) bool {
			// These depend on what else is installed, and on the system's name.
			return line == "" || strings.Contains(line, "referenced manual not found") ||
				strings.Contains(line, "mandoc.db") || strings.Contains(line, "operating system explicitly specified")
		})
	}
	t.Run("mandoc", func(t *testing.T) {
		nstest.NeedTool(t, "mandoc")
		for _, line := range complaints("mandoc", "-T", "lint", "-W", "all", file) {
			t.Error(line)
		}
	})
	t.Run("man", func(t *testing.T) {
		nstest.NeedTool(t, "man", "groff")
		for _, line := range complaints("man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z", file) {
			t.Error(line)
		}
	})
}
