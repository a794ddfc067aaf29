//go:build linux

package nstest

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Shells are those that [Complete] knows.
var Shells = []string{"bash", "fish", "zsh"}

// Complete returns what a shell offers when TAB is pressed at the end of line, a word a line, as the shell shows it. The script is
// the completion of the program that the line begins with; for zsh it must have the name of its function. dir, if not empty, is
// where the shell looks for programs first. The test is skipped where the shell is not installed.
func Complete(t testing.TB, shell, script, line, dir string) string {
	t.Helper()
	NeedTool(t, shell)
	script, err := filepath.Abs(script)
	if err != nil {
		t.Fatal(err)
	}
	args := map[string][]string{
		"bash": {"--norc", "-c", bashCompleter, "bash", script, line},
		"fish": {"-N", "-c", fishCompleter, script, line},
		"zsh":  {"-f", "-c", zshCompleter, "zsh", filepath.Dir(script), line, t.TempDir()},
	}[shell]
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, shell, args...)
	cmd.WaitDelay = time.Second
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "HOME="+t.TempDir(), "TERM=dumb", "PATH="+strings.TrimPrefix(dir+":", ":")+os.Getenv("PATH"))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil || stderr.Len() > 0 {
		t.Fatalf("%s, %q: %v\n%s", shell, line, err, stderr.String())
	}
	return string(out)
}

// bashCompleter makes the words of the line as readline does.
const bashCompleter = `
source "$1" || exit
line=$2
read -ra words <<<"${line//=/ = }"
[[ $line == *' ' ]] && words+=('')
COMP_WORDS=("${words[@]}") COMP_CWORD=$((${#words[@]} - 1)) COMP_LINE=$line COMP_POINT=${#line}
program=${words[0]}
$(complete -p "$program" | sed 's/.*-F \([^ ]*\) .*/\1/') "$program" "${words[-1]}" "${words[-2]}"
printf '%s\n' "${COMPREPLY[@]}"`

const fishCompleter = `source $argv[1]; complete -C $argv[2]`

// zshCompleter types a line into an interactive zsh and prints what is offered: the completion system works nowhere else.
const zshCompleter = `
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
