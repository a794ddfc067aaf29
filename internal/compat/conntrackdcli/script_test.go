//go:build linux

package conntrackdcli

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spoor-project/spoor/internal/nstest"
)

const failoverScript = "../../../packaging/conntrackd/primary-backup.sh"

// fakeDaemon notes what it is asked for. Like a daemon it answers only once it has been started.
const fakeDaemon = `#!/bin/sh
shift 2
printf '%s\n' "$*" >>calls
[ "$1" != -d ] || { [ ! -e lock ] && touch up; }
[ -e up ]
`

// TestFailoverScriptKeepsTheContract: which commands a change of roles comes to, for keepalived's words and for people's.
func TestFailoverScriptKeepsTheContract(t *testing.T) {
	for _, c := range []struct {
		args  string
		dead  bool // the daemon, at first
		calls string
		code  int
	}{
		{"primary", false, "-c -f -R -B", 0},
		{"backup", false, "-s -t -n", 0},
		{"fault", false, "-t", 0},
		{"INSTANCE inside MASTER 110", false, "-c -f -R -B", 0},
		{"GROUP firewall BACKUP 110", false, "-s -t -n", 0},
		{"INSTANCE inside FAULT 110", false, "-t", 0},
		{"INSTANCE inside STOP 110", false, "-t", 0},
		{"backup", true, "-s -d -s -t -n", 0},
		{"primary", true, "-c -f -R -B", 1}, // all are tried
		{"nonsense", false, "", 2},
		{"", false, "", 2},
	} {
		dir := t.TempDir()
		write := func(name, text string, mode os.FileMode) string {
			file := filepath.Join(dir, name)
			if err := os.WriteFile(file, []byte(text), mode); err != nil {
				t.Fatal(err)
			}
			return file
		}
		if c.dead {
			write("lock", "", 0o600)
		} else {
			write("up", "", 0o600)
		}
		script, err := filepath.Abs(failoverScript)
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(script, strings.Fields(c.args)...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "CONNTRACKD="+write("conntrackd", fakeDaemon, 0o700),
			"CONNTRACKD_CONF="+write("conf", "General {\n\tLockFile "+dir+"/lock\n}\n", 0o600))
		// There is no systemd for the script here, whatever there is outside, and no log.
		write("systemctl", "#!/bin/sh\nexit 1\n", 0o700)
		write("logger", "#!/bin/sh\n", 0o700)
		cmd.Env = append(cmd.Env, "PATH="+dir+":"+os.Getenv("PATH"))
		out, err := cmd.CombinedOutput()
		if exit := new(exec.ExitError); err != nil && !errors.As(err, &exit) {
			t.Fatal(err)
		}
		calls, _ := os.ReadFile(filepath.Join(dir, "calls"))
		if got := strings.Join(strings.Fields(string(calls)), " "); got != c.calls || cmd.ProcessState.ExitCode() != c.code {
			t.Errorf("%q: asked for %q, exit %d, want %q, %d\n%s", c.args, got, cmd.ProcessState.ExitCode(), c.calls, c.code, out)
		}
	}
}

func TestScriptsAreSound(t *testing.T) {
	nstest.NeedTool(t, "shellcheck")
	for _, script := range []string{failoverScript, "../../../packaging/install", "../../../packaging/tools"} {
		if out, err := exec.Command("shellcheck", script).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", script, err, out)
		}
	}
}
