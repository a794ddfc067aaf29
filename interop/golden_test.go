//go:build linux

package interop_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// goldenCase is one recorded run, a line of a .jsonl file in testdata.
type goldenCase struct {
	Name      string            `json:"name"`
	Setup     [][]string        `json:"setup"`
	Files     map[string]string `json:"files"`
	Argv      []string          `json:"argv"`
	Stdin     string            `json:"stdin"`
	During    [][]string        `json:"during"` // null and [] differ: [] is a command ended by a signal during which nothing happens
	Signal    string            `json:"signal"`
	Stdout    string            `json:"stdout"`
	StdoutRE  string            `json:"stdout_re"`
	Stderr    string            `json:"stderr"`
	Exit      int               `json:"exit"`
	Unordered bool              `json:"unordered"`
}

// mendedCase replaces the expectation of a recorded case whose bug this project does not repeat.
type mendedCase struct {
	Name      string `json:"name"`
	Reason    string `json:"reason"`
	Stdout    string `json:"stdout"`
	Stderr    string `json:"stderr"`
	Exit      int    `json:"exit"`
	Unordered bool   `json:"unordered"`
}

func TestGolden(t *testing.T) {
	t.Parallel()
	cases := readJSONL[goldenCase](t, "conntrack-golden.jsonl")
	tl := ours(t)
	different := map[string]string{}
	if tl.foreign {
		for line := range strings.Lines(readTestdata(t, "conntrack-1.4.7.txt")) {
			name, reason, _ := strings.Cut(strings.TrimSpace(line), ": ")
			different[name] = reason
		}
	} else {
		mend(t, cases, readJSONL[mendedCase](t, "conntrack-mended.jsonl"))
	}
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			if reason, ok := different[c.Name]; ok {
				t.Skip("conntrack 1.4.7 " + reason)
			}
			s := newSandbox(t, tl)
			for name, content := range c.Files {
				s.write(name, content)
			}
			for _, argv := range c.Setup {
				s.setup(argv...)
			}
			got := s.run(job{argv: c.Argv, stdin: c.Stdin, during: c.During, signal: c.Signal})
			got = normalise(got, timeRules, identityRules)
			if tl.foreign {
				got = normalise(got, versionRules)
			}
			c.check(t, got)
		})
	}
}

func (c goldenCase) check(t *testing.T, got result) {
	t.Helper()
	want := result{c.Stdout, c.Stderr, c.Exit}
	switch {
	case c.StdoutRE != "":
		want.stdout = "something which matches " + c.StdoutRE + "\n"
		if regexp.MustCompile(`(?s)\A(?:` + c.StdoutRE + `)\z`).MatchString(got.stdout) {
			want.stdout = got.stdout
		}
	case c.Unordered:
		want.stdout, got.stdout = sortLines(want.stdout), sortLines(got.stdout)
	}
	if got != want {
		t.Errorf("stdin %q\n%s", c.Stdin, explain(c.Argv, want, got))
	}
}

// mend puts the mended expectations in place of the recorded ones.
func mend(t *testing.T, cases []goldenCase, mended []mendedCase) {
	t.Helper()
	byName := make(map[string]*goldenCase)
	for i := range cases {
		byName[cases[i].Name] = &cases[i]
	}
	for _, m := range mended {
		c, ok := byName[m.Name]
		if !ok || m.Reason == "" {
			t.Fatalf("mended case %q: no such recorded case, or no reason given", m.Name)
		}
		c.Stdout, c.StdoutRE, c.Stderr, c.Exit, c.Unordered = m.Stdout, "", m.Stderr, m.Exit, m.Unordered
	}
}

func readTestdata(t testing.TB, name string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func readJSONL[T any](t testing.TB, name string) []T {
	t.Helper()
	var all []T
	lines := bufio.NewScanner(strings.NewReader(readTestdata(t, name)))
	lines.Buffer(nil, 1<<20)
	for n := 1; lines.Scan(); n++ {
		dec := json.NewDecoder(bytes.NewReader(lines.Bytes()))
		dec.DisallowUnknownFields()
		var one T
		if err := dec.Decode(&one); err != nil {
			t.Fatalf("testdata/%s:%d: %v", name, n, err)
		}
		all = append(all, one)
	}
	if err := lines.Err(); err != nil {
		t.Fatalf("testdata/%s: %v", name, err)
	}
	return all
}
