//go:build linux

package conntrackcli

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

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

// shellOutput runs a program and returns what it printed.
func shellOutput(t *testing.T, argv ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.WaitDelay = time.Second
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "HOME="+t.TempDir(), "TERM=dumb")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil || stderr.Len() > 0 {
		t.Fatalf("%q: %v\n%s", argv, err, stderr.String())
	}
	return string(out)
}

func TestBashCompletion(t *testing.T) {
	nstest.NeedTool(t, "bash")
	const driver = `
		source ` + "../../../" + completionDir + `conntrack.bash || exit
		# Words as readline splits them.
		read -ra words <<<"${1//=/ = }"
		[[ $1 == *' ' ]] && words+=('')
		COMP_WORDS=("${words[@]}") COMP_CWORD=$((${#words[@]} - 1)) COMP_LINE=$1 COMP_POINT=${#1}
		$(complete -p conntrack | sed 's/.*-F \([^ ]*\) .*/\1/') conntrack "${words[-1]}" "${words[-2]}"
		printf '%s\n' "${COMPREPLY[@]}"`
	completionTest(t, func(line string) string {
		return shellOutput(t, "bash", "--norc", "-c", driver, "bash", line)
	})
}

func TestFishCompletion(t *testing.T) {
	nstest.NeedTool(t, "fish")
	const driver = "source ../../../" + completionDir + "conntrack.fish; complete -C $argv[1]"
	completionTest(t, func(line string) string {
		return shellOutput(t, "fish", "-N", "-c", driver, line)
	})
}

// zshDriver types a line into an interactive zsh and prints what is offered: the
// completion system works nowhere else.
const zshDriver = `
zmodload zsh/zpty
typeset -x HITS=$3/hits FUNCTIONS=$1
cat >$3/init <<'EOF'
PROMPT= RPROMPT=
fpath=($FUNCTIONS $fpath)
autoload -Uz compinit
compinit -D -u
bindkey '^I' complete-word
zstyle ':completion:*' insert-tab false
unsetopt auto_list # which may ask
compadd() {
	if [[ ${@[1,(i)(-|--)]} != *-(O|A|D)\ * ]]; then
		local -a offered
		builtin compadd -A offered "$@"
		(($#offered)) && print -rl -- $offered >>$HITS
	fi
	builtin compadd "$@"
}
comppostfuncs=(exit)
print -r -- 'rea''dy'
EOF
: >$HITS
zpty z zsh -f -i
zpty -w z "source $3/init"
zpty -r z seen '*ready*'
zpty -w -n z "$2"$'\t'
while zpty -r z; do :; done >/dev/null
cat $HITS`

func TestZshCompletion(t *testing.T) {
	nstest.NeedTool(t, "zsh")
	functions, err := filepath.Abs("../../../" + completionDir)
	if err != nil {
		t.Fatal(err)
	}
	completionTest(t, func(line string) string {
		return shellOutput(t, "zsh", "-f", "-c", zshDriver, "zsh", functions, line, t.TempDir())
	})
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
