//go:build linux

package conntrackcli

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spoor-project/spoor/internal/nstest"
)

const completionDir = "packaging/completions/"

func TestCompletionsAreCommitted(t *testing.T) {
	committed(t, completionDir+"conntrack.bash", BashCompletion())
	committed(t, completionDir+"_conntrack", ZshCompletion())
	committed(t, completionDir+"conntrack.fish", FishCompletion())
}

// completions are command lines up to the cursor, and what all shells offer: of a list
// its last element, see [lastElement].
var completions = []struct {
	line string
	want string // all that is offered
	some string // among others
	not  string // but never
}{
	{line: "conntrack --pro", want: "--protonum"},
	{line: "conntrack -L --pro", want: "--protonum"},
	{line: "conntrack -L -p tcp --st", want: "--state --status"},
	{line: "conntrack -L -p udp --st", want: "--status"},
	{line: "conntrack --st", want: "--stats --status"},
	{line: "conntrack -L -o x", want: "xml"},
	{line: "conntrack -L -o j", want: "json jsonl"},
	{line: "conntrack -L -o xml,i", want: "id"},
	{line: "conntrack -L ", some: "conntrack dying expect unconfirmed"},
	{line: "conntrack -D ", some: "conntrack expect", not: "dying"},
	{line: "conntrack -L e", want: "expect"},
	{line: "conntrack -L -p tcp --state ", want: "CLOSE CLOSE_WAIT ESTABLISHED FIN_WAIT LAST_ACK NONE SYN_RECV SYN_SENT SYN_SENT2 TIME_WAIT"},
	{line: "conntrack -L -p sctp --state COOKIE", want: "COOKIE_ECHOED COOKIE_WAIT"},
	{line: "conntrack -I -p dccp --role ", want: "client server"},
	{line: "conntrack -L -u A", want: "ASSURED"},
	{line: "conntrack -D -u ASSURED,!SEEN", want: "!SEEN_REPLY"},
	{line: "conntrack -E -e N", want: "NEW"},
	{line: "conntrack -p icmp", want: "icmp icmpv6"},
	{line: "conntrack -L -f ipv", want: "ipv4 ipv6"},
	{line: "conntrack -L --family=ipv", want: "ipv4 ipv6"},
	{line: "conntrack -E expect --", some: "--exit-on-loss --netns --output", not: "--protonum --src"},
	{line: "conntrack -L --", some: "--src --zero --netns", not: "--dry-run --label-add --delete"},
	{line: "conntrack --", some: "--dump --load-file --src --dry-run"},
	{line: "conntrack -D --dry", want: "--dry-run"},
	{line: "conntrack -I expect -p udp --tuple-", want: "--tuple-dst --tuple-port-dst --tuple-port-src --tuple-src"},
	{line: "conntrack -L -p gre --src", some: "--src --src-nat --srckey"},
	{line: "conntrack -R FILES/fl", some: "flows"},
	{line: "conntrack -U --labelmap FILES/labels --label-add ", some: "blue red", not: "with blank"},
	{line: "conntrack -L -s ", want: ""},
}

// completionTest runs the cases. offer returns what a shell offers for a line, a word a
// line.
func completionTest(t *testing.T, offer func(line string) string) {
	t.Helper()
	t.Parallel()
	files := t.TempDir()
	for name, content := range map[string]string{"flows": "", "labels": "# names\n1 red\n2 blue\n3 with blank\n"} {
		if err := os.WriteFile(filepath.Join(files, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range completions {
		line := strings.ReplaceAll(c.line, "FILES", files)
		var got []string
		for _, word := range strings.Split(offer(line), "\n") {
			if word = lastElement(word); word != "" {
				got = append(got, word)
			}
		}
		slices.Sort(got)
		got = slices.Compact(got)
		if c.some == "" && !slices.Equal(got, strings.Fields(c.want)) {
			t.Errorf("%s<TAB>: %q, want %q", c.line, got, strings.Fields(c.want))
		}
		for _, word := range strings.Fields(c.some) {
			if !slices.Contains(got, word) {
				t.Errorf("%s<TAB>: %q, want %q among them", c.line, got, word)
			}
		}
		for _, word := range strings.Fields(c.not) {
			if slices.Contains(got, word) {
				t.Errorf("%s<TAB>: %q, which should not have %q", c.line, got, word)
			}
		}
	}
}

// lastElement takes off what was typed before: shells differ in how much they repeat.
func lastElement(word string) string {
	word, _, _ = strings.Cut(word, "\t") // fish explains
	word = strings.TrimPrefix(word, `\`) // zsh quotes
	for _, mark := range []string{",", "/", "="} {
		word = word[strings.LastIndex(word, mark)+1:]
	}
	return strings.TrimSpace(word)
}

func TestShellsComplete(t *testing.T) {
	for shell, script := range map[string]string{"bash": "conntrack.bash", "fish": "conntrack.fish", "zsh": "_conntrack"} {
		t.Run(shell, func(t *testing.T) {
			completionTest(t, func(line string) string {
				return nstest.Complete(t, shell, "../../../"+completionDir+script, line, "")
			})
		})
	}
}

// TestCompletionsKnowAllOfTheTables fails when an option is in none of a script's lists.
func TestCompletionsKnowAllOfTheTables(t *testing.T) {
	for shell, text := range map[string]string{"bash": BashCompletion(), "zsh": ZshCompletion(), "fish": FishCompletion()} {
		words := strings.FieldsFunc(text, func(c rune) bool { return strings.ContainsRune(" \t\n'|(){},[]+=", c) })
		want := func(spelling string) {
			t.Helper()
			if shell == "fish" {
				spelling = strings.TrimLeft(spelling, "-")
			}
			if !slices.Contains(words, spelling) {
				t.Errorf("%s: no %s", shell, spelling)
			}
		}
		for _, c := range helpCommands() {
			want(c.letter)
			want(c.name)
		}
		for _, o := range rows() {
			for _, s := range o.spellings() {
				want(s)
			}
		}
		for _, e := range pointers(extensions[:]) {
			for _, o := range pointers(e.options) {
				for _, s := range o.spellings() {
					want(s)
				}
			}
		}
	}
}
