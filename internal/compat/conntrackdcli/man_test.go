//go:build linux

package conntrackdcli

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spoor-project/spoor/internal/config"
	"github.com/spoor-project/spoor/internal/nstest"
)

func manual(t *testing.T, name string) string {
	t.Helper()
	page, err := os.ReadFile(filepath.Join("..", "..", "..", "man", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(page)
}

// item returns the text of the list item that begins with a macro and a word, "" if there is none.
func item(text, macro, word string) string {
	begin := regexp.MustCompile(`(?m)^\.It ([A-Z][a-z] [^ ,]+ , )*` + macro + ` ` + regexp.QuoteMeta(word) + `( .*)?$`).FindStringIndex(text)
	if begin == nil {
		return ""
	}
	rest := text[begin[0]:]
	if end := regexp.MustCompile(`(?m)^\.(It|El|Ss|Sh)\b`).FindStringIndex(rest[1:]); end != nil {
		rest = rest[:1+end[0]]
	}
	return rest
}

// TestManualHasEveryOption: each row of the table of options, each of its words, and what else parse knows.
func TestManualHasEveryOption(t *testing.T) {
	page := manual(t, "conntrackd.8")
	for _, o := range options {
		text := item(page, "Fl", string(o.letter))
		if text == "" {
			t.Errorf("no item for -%c", o.letter)
		}
		for _, w := range o.words {
			if !strings.Contains(text, " "+w.text) && !strings.Contains(page, fmt.Sprintf("Fl %c Cm %s", o.letter, w.text)) && w.text != "multicast" {
				t.Errorf("-%c %s is not mentioned", o.letter, w.text)
			}
		}
	}
	source, err := os.ReadFile("args.go")
	if err != nil {
		t.Fatal(err)
	}
	others := regexp.MustCompile(`case (?:'([a-zA-Z])'|"-(-[a-z]+)"):`).FindAllSubmatch(source, -1)
	if len(others) < 10 {
		t.Fatalf("args.go is not written as it was: found %q", others)
	}
	for _, m := range others {
		if name := string(m[1]) + string(m[2]); item(page, "Fl", name) == "" {
			t.Errorf("no item for -%s", name)
		}
	}
}

// places are texts that lead into each block, and the section of the page where its words are.
var places = map[string]string{
	"General {":                                   "General",
	"General { UNIX {":                            "UNIX",
	"General { Scheduler {":                       "Scheduler",
	"General { Filter {":                          "Filter",
	"General { Filter { Address Accept {":         "Address",
	"General { Metrics {":                         "Metrics",
	"Sync {":                                      "Sync",
	"Sync { Mode FTFW {":                          "Mode FTFW",
	"Sync { Mode ALARM {":                         "Mode ALARM",
	"Sync { Mode NOTRACK {":                       "Mode NOTRACK",
	"Sync { UDP {":                                "UDP and TCP",
	"Sync { TCP {":                                "UDP and TCP",
	"Sync { Multicast {":                          "Multicast",
	"Sync { Options {":                            "Options",
	"Stats {":                                     "Stats",
	"Helper {":                                    "Helper",
	"Helper { Type ftp inet tcp {":                "Type",
	"Helper { Type ftp inet tcp { Policy ftp {":   "Policy",
	"Helper { Type ftp inet tcp { QueueNum 1 } }": "",
}

// keywords asks the parser what may stand at the end of a text: it says so when something else does.
func keywords(t *testing.T, text string) []string {
	t.Helper()
	for _, p := range config.Parse("", []byte(text+" xyzzy_xyzzy_xyzzy"), config.Lookup{}).Problems {
		if _, list, ok := strings.Cut(p.Advice, `has no keyword "xyzzy_xyzzy_xyzzy", only `); ok {
			return strings.Split(list, ", ")
		}
	}
	t.Fatalf("the parser does not tell what may stand after %q", text)
	return nil
}

// TestManualHasEveryKeyword: in the section of its block.
func TestManualHasEveryKeyword(t *testing.T) {
	page := manual(t, "conntrackd.conf.5")
	documented := map[string]int{}
	for text, section := range places {
		if section == "" {
			for _, word := range keywords(t, text) {
				if !strings.Contains(page, "\n.Cm "+word+" ") {
					t.Errorf("section %s is not mentioned", word)
				}
			}
			continue
		}
		_, body, ok := strings.Cut(page, "\n.Ss "+section+"\n")
		if !ok {
			t.Errorf("no section %s", section)
			continue
		}
		if end := regexp.MustCompile(`(?m)^\.S[sh] `).FindStringIndex(body); end != nil {
			body = body[:end[0]]
		}
		for _, word := range keywords(t, text) {
			switch {
			case section == "Helper" && slices.Contains([]string{"QueueNum", "QueueLen", "Policy"}, word):
				continue // which belong in a Type
			case item(body, "Cm", word) == "":
				t.Errorf("section %s has no item for %s", section, word)
			default:
				documented[word]++
			}
		}
	}
	for _, m := range regexp.MustCompile(`(?m)^\.It Cm ([A-Z][A-Za-z0-9_]+)`).FindAllStringSubmatch(page, -1) {
		if documented[m[1]] == 0 {
			t.Errorf("%s is in the page, and in no block", m[1])
		}
	}
}

// TestManualHasTheDefaults: those that the parser fills in, at least once where the keyword is explained.
func TestManualHasTheDefaults(t *testing.T) {
	page := manual(t, "conntrackd.conf.5")
	for _, text := range []string{
		"Sync { Mode FTFW { } TCP { IPv4_address 192.0.2.1 } } General { Metrics { } }",
		"Sync { Mode ALARM { } }", "Sync { Mode NOTRACK { } }", "Stats { }", "Helper { }",
	} {
		f := config.Parse("", []byte(text), config.Lookup{})
		if err := f.Err(); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(f.Config.AppendEffective(nil))) {
			fields := strings.Fields(line)
			if len(fields) != 2 || fields[1] == "{" || fields[1] == "192.0.2.1" {
				continue
			}
			word, value := fields[0], fields[1]
			found := false
			for rest := page; !found; {
				text := item(rest, "Cm", word)
				if text == "" {
					break
				}
				told := strings.NewReplacer(".Pa ", "", "\n", " ", " .", ".").Replace(text)
				found = strings.Contains(told, "efault is "+value+".") || strings.Contains(told, value+", the default")
				rest = rest[strings.Index(rest, text)+len(text):]
			}
			if !found {
				t.Errorf("the page does not tell the default of %s, %s", word, value)
			}
		}
	}
}

func TestManualsAreAcceptedByFormatters(t *testing.T) {
	for _, name := range []string{"conntrackd.8", "conntrackd.conf.5"} {
		file := filepath.Join("..", "..", "..", "man", name)
		check := func(t *testing.T, argv ...string) {
			nstest.NeedTool(t, argv[0])
			cmd := exec.Command(argv[0], append(argv[1:], file)...)
			cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "MANWIDTH=78")
			var stdout, stderr bytes.Buffer
			cmd.Stdout, cmd.Stderr = &stdout, &stderr
			err := cmd.Run()
			said := stderr.String()
			if argv[0] == "mandoc" { // which reports there, and by its exit status
				said += stdout.String()
			} else if err != nil {
				t.Error(err)
			}
			for line := range strings.Lines(said) {
				// These depend on what else is installed, and on the system's name.
				if !strings.Contains(line, "referenced manual not found") && !strings.Contains(line, "mandoc.db") &&
					!strings.Contains(line, "operating system explicitly specified") {
					t.Error(line)
				}
			}
		}
		t.Run(name+"/mandoc", func(t *testing.T) { check(t, "mandoc", "-T", "lint", "-W", "all") })
		t.Run(name+"/man", func(t *testing.T) {
			nstest.NeedTool(t, "groff")
			check(t, "man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z")
		})
	}
}
