//go:build linux

package conntrackcli

import (
	"bytes"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spoor-project/spoor/internal/nstest"
)

var update = flag.Bool("update", false, "rewrite the manual page and the completions; read the diff before committing it")

// committed compares what a generator made with the file that is committed, named
// from the module's root.
func committed(t *testing.T, name, made string) {
	t.Helper()
	path := filepath.Join("..", "..", "..", name)
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
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
		t.Errorf("%s is not what the tables make now: run make generate and read the diff; first difference: %s", name, firstDifference(string(have), made))
	}
}

func firstDifference(have, want string) string {
	a, b := strings.Split(have, "\n"), strings.Split(want, "\n")
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return "have " + a[i] + ", want " + b[i]
		}
	}
	return "one is longer"
}

func TestManPageIsCommitted(t *testing.T) { committed(t, "man/conntrack.8", ManPage()) }

// TestManualExplainsAllOfTheTables fails when a command, an option, or a word of a list
// was added without a text in man.go.
func TestManualExplainsAllOfTheTables(t *testing.T) {
	page := ManPage()
	wantFlag := func(name string) {
		t.Helper()
		if !strings.Contains(page, "Fl "+name+" ") && !strings.Contains(page, "Fl "+name+"\n") {
			t.Errorf("the page does not have -%s", name)
		}
	}
	for _, c := range helpCommands() {
		wantFlag(c.letter[1:])
		wantFlag(c.name[1:])
	}
	explained := map[commandID]bool{}
	for _, c := range manCommands {
		explained[c.id] = true
	}
	for i := range commandTable {
		if c := &commandTable[i]; !explained[c.id] {
			t.Errorf("no row in manCommands for --%s", c.name)
		}
	}
	for _, o := range pointers(optionTable[:]) {
		for _, s := range o.spellings() {
			wantFlag(s[1:])
		}
		if manOptions[o.id] == "" {
			t.Errorf("no text in manOptions for --%s", o.name)
		}
	}
	if len(manExtensions) != int(extCount) {
		t.Errorf("manExtensions has %d rows, want %d", len(manExtensions), extCount)
	}
	for _, e := range pointers(extensions[:]) {
		for _, o := range pointers(e.options) {
			for _, s := range o.spellings() {
				wantFlag(s[1:])
			}
		}
		for _, word := range stateNames(e) {
			if _, ok := e.proto.ParseState(word); !ok {
				t.Errorf("%v has no state %s, which the help lists", e.proto, word)
			}
			if !strings.Contains(page, "\n.Cm "+word+" ") {
				t.Errorf("the page does not have the state %s", word)
			}
		}
	}
	for name, lists := range map[string][2][]string{
		"tables": {itemNames(manTables[:]), tableNames[:]},
		"-u":     {itemNames(manStatus[:]), append(namesOf(len(statusNames), func(i int) string { return statusNames[i].name }), "UNREPLIED")},
		"-e":     {itemNames(manEvents[:]), namesOf(len(eventNames), func(i int) string { return eventNames[i].name })},
		"-o":     {itemNames(manFormats[:]), namesOf(len(outputNames), func(i int) string { return outputNames[i].name })},
	} {
		for _, word := range lists[1] {
			if !slices.Contains(lists[0], word) {
				t.Errorf("%s: %s is not explained", name, word)
			}
		}
		for _, word := range lists[0] {
			if !slices.Contains(lists[1], word) {
				t.Errorf("%s: %s is explained but does not exist", name, word)
			}
		}
	}
}

func namesOf(n int, name func(int) string) []string {
	var names []string
	for i := range n {
		names = append(names, name(i))
	}
	return names
}

// TestKindsOfProtocolOptionsAreComplete: the page tells what a command needs of a
// protocol's options by kind, and must leave none out.
func TestKindsOfProtocolOptionsAreComplete(t *testing.T) {
	covers := func(r extRules, s extSet) {
		t.Helper()
		rest := s
		for _, k := range extKinds {
			if k.ids&rest == k.ids {
				rest &^= k.ids
			}
		}
		if rest != 0 {
			t.Errorf("rule %s: %b is not of any kind", lawNames[r], rest)
		}
	}
	for r, law := range extLegality {
		covers(extRules(r), law.must)
		covers(extRules(r), law.may&^law.must)
	}
}

func TestManPageIsAcceptedByFormatters(t *testing.T) {
	file := filepath.Join(t.TempDir(), "conntrack.8")
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
