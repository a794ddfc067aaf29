//go:build linux

package interop_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// TestDifferential runs the distribution's program and ours with the same arguments, and wants the same bytes and exit status.
//
// Commands which only read run on one table, one after the other; commands which change something run on two tables made the
// same way, which are compared afterwards, too.
//
// Arguments on which the two are known to differ do not belong here.
//   - 1.4.7 is not 1.4.9: --labelmap; garbage for -m -w -c -i; command letters with attached text, which 1.4.7 drops (-Lpudp);
//     -U without anything which fixes the family, -U of SCTP entries or of several, -A on existing entries; label names and -o
//     labels beside another error, as 1.4.7 reads the label map earlier; a crash of -L --i. More of them are in
//     testdata/conntrack-1.4.7.txt.
//   - Ours is not 1.4.9 where a bug is mended: see TestMended.
func TestDifferential(t *testing.T) {
	t.Parallel()
	their, our := theirs(t), ours(t)
	for _, name := range []string{"empty", "rich", "nat", "helper", "labels"} {
		t.Run("read/"+name, func(t *testing.T) {
			t.Parallel()
			a := newSandbox(t, their)
			scenes[name](t, a)
			b := a.with(our)
			table := reading[name]
			if name != "helper" && name != "labels" {
				table += reading["all"]
			}
			for _, argv := range commandLines(table) {
				t.Run(label(argv), func(t *testing.T) {
					compare(t, argv, a.run(job{argv: argv}), b.run(job{argv: argv}), versionRules, helpRule, timeRules, stampRules)
				})
			}
		})
	}
	for _, name := range []string{"plain", "rich", "nat", "helper", "labels"} {
		for _, argv := range commandLines(changing[name]) {
			t.Run("change/"+name+"/"+label(argv), func(t *testing.T) {
				t.Parallel()
				a, b := newSandbox(t, their), newSandbox(t, their)
				scenes[name](t, a)
				scenes[name](t, b)
				want, got := a.run(job{argv: argv}), b.with(our).run(job{argv: argv})
				want.stdout, got.stdout = unordered(want.stdout), unordered(got.stdout)
				compare(t, argv, want, got, versionRules)
				compare(t, slices.Concat(argv, []string{"and the table afterwards"}), result{stdout: a.table()}, result{stdout: b.table()})
			})
		}
	}
}

// unordered makes the outputs of two equal tables comparable.
func unordered(s string) string {
	for _, rules := range [][]rule{stampRules, timeRules, identityRules, counterRules} {
		s = apply(rules, s)
	}
	return sortLines(s)
}

// table is everything in the tables of the sandbox, in no particular order.
func (s *sandbox) table() string {
	s.t.Helper()
	flows := s.must("conntrack", "-L", "-o", "extended,labels")
	expects := s.must("conntrack", "-L", "expect") + s.must("conntrack", "-L", "expect", "-f", "ipv6")
	return unordered(flows) + unordered(expects)
}

func compare(t *testing.T, argv []string, want, got result, rules ...[]rule) {
	t.Helper()
	want, got = normalise(want, rules...), normalise(got, rules...)
	if want != got {
		t.Error(explain(argv, want, got))
	}
}

// commandLines splits a table of command lines, one a line. Words are between blanks; "" is an empty word, and · a blank within
// a word. A comment begins with # and a blank. {a|b} stands for a line with a and a line with b. A line is for conntrack unless
// it begins with another program.
func commandLines(table string) [][]string {
	var all [][]string
	for line := range strings.Lines(table) {
		line, _, _ = strings.Cut(line, "# ")
		for _, line := range expand(line) {
			words := strings.Fields(line)
			for i := range words {
				words[i] = wordMarks.Replace(words[i])
			}
			switch {
			case len(words) == 0:
			case slices.Contains([]string{"env", "setpriv", "sh"}, words[0]):
				all = append(all, words)
			default:
				all = append(all, append([]string{"conntrack"}, words...))
			}
		}
	}
	return all
}

var wordMarks = strings.NewReplacer(`""`, "", "·", " ")

func expand(line string) []string {
	before, rest, _ := strings.Cut(line, "{")
	choices, after, ok := strings.Cut(rest, "}")
	if !ok {
		return []string{line}
	}
	var lines []string
	for choice := range strings.SplitSeq(choices, "|") {
		lines = append(lines, expand(before+choice+after)...)
	}
	return lines
}

// label is a subtest's name: the command line without the program.
func label(argv []string) string {
	if argv[0] == "conntrack" {
		argv = argv[1:]
	}
	return strings.ReplaceAll(fmt.Sprint(argv), "/", "∕")
}
