//go:build linux

package cli

import (
	"bytes"
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/doctor"
	"github.com/spoor-project/spoor/internal/nfnetlink"
	"github.com/spoor-project/spoor/internal/nstest"
)

// sysctl reads a kernel variable of the namespace.
func (s *shell) sysctl(name string) (value string) {
	s.t.Helper()
	s.ns.Do(func() {
		text, err := os.ReadFile("/proc/sys/net/netfilter/" + name)
		if err != nil {
			s.t.Error(err)
		}
		value = strings.TrimSpace(string(text))
	})
	return value
}

func TestDoctorMendsWhatIsSafe(t *testing.T) {
	s := newShell(t)
	s.ns.Sysctl("net/netfilter/nf_conntrack_acct", "0")
	s.ns.Sysctl("net/netfilter/nf_conntrack_timestamp", "1")
	mine := []string{"doctor", "--interval", "0", "--check", "accounting,timestamps"}
	fix := append(mine, "--fix")

	out, note := s.must(mine...)
	if !strings.HasPrefix(out, "WARN  accounting   flows do not count") || !strings.Contains(out, "$ nsenter --net="+s.ns.Path()+" sysctl -w net.netfilter.nf_conntrack_acct=1\n") ||
		!strings.Contains(out, "\nok    timestamps   flows know when they began\n") {
		t.Errorf("report:\n%s", out)
	}
	if note != "spoor: 1 warn, 1 ok; --fix changes 1 setting\n" {
		t.Errorf("note: %s", note)
	}
	if _, note, code := s.run(fix...); code != exitUsage || !strings.Contains(note, "add --yes") {
		t.Errorf("with nobody to ask: exit %d, %s", code, note)
	}
	s.answer = "n\n"
	if _, note := s.must(fix...); !strings.Contains(note, "nf_conntrack_acct = 0 becomes 1\nChange 1 setting? [y/N] nothing done") || s.sysctl("nf_conntrack_acct") != "0" {
		t.Errorf("refused: %s", note)
	}
	s.answer = "y\n"
	if _, note := s.must(fix...); !strings.Contains(note, "nf_conntrack_acct = 1, was 0") || !strings.HasSuffix(note, "spoor: 2 ok\n") || s.sysctl("nf_conntrack_acct") != "1" {
		t.Errorf("agreed: %s", note)
	}
	if _, note := s.must(fix...); !strings.Contains(note, "nothing that is safe to change") {
		t.Errorf("of nothing: %s", note)
	}

	s.answer = ""
	s.ns.Sysctl("net/netfilter/nf_conntrack_acct", "0")
	if _, note := s.must(append(fix, "--yes")...); s.sysctl("nf_conntrack_acct") != "1" || strings.Contains(note, "?") {
		t.Errorf("--yes: %s", note)
	}
	s.ns.Sysctl("net/netfilter/nf_conntrack_acct", "0")
	out, _ = s.must(append(fix, "--yes", "--json")...)
	var d struct {
		Verdict string
		Checks  []spokenVerdict
		Changes []settingChange
	}
	if err := json.Unmarshal([]byte(out), &d); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if d.Verdict != "ok" || len(d.Checks) != 2 || len(d.Changes) != 1 || d.Changes[0] != (settingChange{Sysctl: "net.netfilter.nf_conntrack_acct", From: "0", To: "1"}) {
		t.Errorf("--json: %s", out)
	}
	if s.sysctl("nf_conntrack_acct") != "1" {
		t.Error("--json --yes changed nothing")
	}
}

// spokenVerdict is a verdict as others read it.
type spokenVerdict struct {
	Check, Verdict, Found, Means string
	Remedies                     []struct {
		Command string
		Safe    bool
	}
	Measures []struct {
		Name  string
		Value float64
	}
}

// TestDoctorInANewNamespace: the whole report of an empty table, as somebody sees it who tries the program.
func TestDoctorInANewNamespace(t *testing.T) {
	s := newShell(t)
	s.ns.Sysctl("net/netfilter/nf_conntrack_acct", "1")
	s.ns.Sysctl("net/netfilter/nf_conntrack_timestamp", "1")
	out, note, code := s.run("doctor", "--interval", "50ms", "--verbose")
	// The kernel's log is that of the whole machine, and may tell of a full table elsewhere.
	if bad := regexp.MustCompile(`(?m)^BAD +(\w+)`).FindAllStringSubmatch(out, -1); len(bad) > 1 || len(bad) == 1 && bad[0][1] != "log" || code != len(bad) {
		t.Errorf("exit %d: %s\n%s", code, note, out)
	}
	var names []string
	for line := range strings.Lines(out) {
		if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > 80 && !strings.Contains(line, "$ ") {
			t.Errorf("%d columns: %s", n, line)
		}
		if word := strings.Fields(line); line[0] != ' ' {
			names = append(names, word[1])
		}
	}
	if got, want := strings.Join(names, " "), strings.Join(doctor.Names(), " "); got != want {
		t.Errorf("checks: %s, want %s", got, want)
	}
	for _, want := range []string{
		`ok +modules +nf_conntrack`, `ok +privileges +the kernel answers`, `ok +usage +0 of [\d,]+ entries \(0%\)`, `ok +growth +the same number of entries \S+ later`,
		`ok +drops +0 dropped, 0 evicted`, `ok +accounting`, `ok +zones +no zone has entries`, `\w+ +memory +\d+ bytes an entry`, `ok +listeners +nobody`,
	} {
		if !regexp.MustCompile(`(?m)^` + want).MatchString(out) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
}

func TestDoctorSpeaksToMonitoring(t *testing.T) {
	s := newShell(t)
	s.populate()
	s.ns.Sysctl("net/netfilter/nf_conntrack_acct", "0")
	nagios := func(check string, want int) string {
		t.Helper()
		out, note, code := s.run("doctor", "-i", "0", "--nagios", "--check", check)
		if code != want || note != "" {
			t.Errorf("%s: exit %d, want %d: %s%s", check, code, want, out, note)
		}
		return out
	}
	if out := nagios("usage", 0); !regexp.MustCompile(`^SPOOR OK - 1 check found nothing wrong \| entries=5;\d+;\d+;0;\d+\n$`).MatchString(out) {
		t.Errorf("ok: %q", out)
	}
	if out := nagios("accounting,drops", 1); out != "SPOOR WARNING - accounting: flows do not count packets and bytes | drop=0c early_drop=0c\nWARNING accounting: flows do not count packets and bytes\n" {
		t.Errorf("warning: %q", out)
	}
	if out := nagios("growth,events", 3); out != "SPOOR UNKNOWN - growth: was looked at only once\nUNKNOWN growth: was looked at only once\n" {
		t.Errorf("unknown: %q", out)
	}
}

// TestDoctorFindsALossyListener: what is bad is exit code 1, and 2 for Nagios.
func TestDoctorFindsALossyListener(t *testing.T) {
	s := newShell(t)
	s.ns.Sysctl("net/netfilter/nf_conntrack_events", "1")
	deaf(t, s)
	for i := range 40 {
		s.create(nil, flow.UDP, "10.0.0.1:"+string([]byte{'1', '0' + byte(i/10), '0' + byte(i%10)}), "192.0.2.1:53")
	}
	out, note, code := s.run("doctor", "-c", "listeners", "-i", "0")
	if code != exitFailed || !strings.HasPrefix(out, "BAD   listeners") || !strings.Contains(out, "lost ") || !strings.Contains(note, "1 bad") {
		t.Errorf("exit %d: %s%s", code, out, note)
	}
	if out, _, code := s.run("doctor", "-c", "listeners", "-i", "0", "--nagios"); code != 2 || !strings.HasPrefix(out, "SPOOR CRITICAL - listeners: ") {
		t.Errorf("--nagios: exit %d: %s", code, out)
	}
}

// TestDoctorWithoutPrivileges explains itself, and looks at what everybody may see.
func TestDoctorWithoutPrivileges(t *testing.T) {
	nstest.NeedRoot(t)
	nstest.NeedTool(t, "setpriv")
	ns := nstest.New(t)
	spoor := nstest.BuildCommand(t, "./cmd/spoor")
	run := func(args ...string) (string, string, int) {
		return ns.Run(t, append([]string{"setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", spoor, "doctor", "-i", "10ms"}, args...)...)
	}
	out, note, code := run()
	if code != exitOK || !strings.Contains(out, "WARN  privileges   the kernel does not let this user ask") || !strings.Contains(out, "?     zones        the table cannot be read") ||
		!regexp.MustCompile(`ok    usage        0 of [\d,]+ entries`).MatchString(out) || !strings.Contains(out, "ok    drops        0 dropped") {
		t.Errorf("exit %d:\n%s%s", code, out, note)
	}
	if out, _, code := run("--nagios", "-c", "usage,drops,inserts"); code != 0 || !strings.HasPrefix(out, "SPOOR OK - 3 checks found nothing wrong | entries=0;") {
		t.Errorf("--nagios: exit %d: %s", code, out)
	}
	ns.Sysctl("net/netfilter/nf_conntrack_acct", "0")
	if _, note, code := run("--fix", "--yes", "-c", "accounting"); code != exitFailed || !strings.Contains(note, "CAP_NET_ADMIN") {
		t.Errorf("--fix: exit %d: %s", code, note)
	}
}

// TestDoctorWithoutProc is the poorest container there is.
func TestDoctorWithoutProc(t *testing.T) {
	nstest.NeedRoot(t)
	nstest.NeedTool(t, "unshare")
	ns := nstest.New(t)
	spoor := nstest.BuildCommand(t, "./cmd/spoor")
	out, note, code := ns.Run(t, "unshare", "-m", "sh", "-c", `mount -t tmpfs none /proc && exec "$0" doctor -i 0`, spoor)
	if code != exitOK && code != exitFailed || !strings.Contains(out, "?     accounting   there is no /proc/sys/net/netfilter") || !strings.Contains(note, "unknown") {
		t.Errorf("exit %d:\n%s%s", code, out, note)
	}
}

func TestDoctorsCommandLines(t *testing.T) {
	for line, want := range map[string]string{
		"doctor tcp":                          "doctor takes no query: tcp",
		"doctor --check usage,pulse":          `there is no check "pulse": choose from modules,`,
		"doctor --interval soon":              "--interval soon: expected a time",
		"doctor --interval -1s":               "--interval -1s: expected a time",
		"doctor --yes":                        "--yes goes with --fix",
		"doctor --nagios --json":              "--nagios goes with none of",
		"doctor --fix --json":                 "--json asks nobody",
		"doctor --fix":                        "nobody can be asked here",
		"doctor --interval 0 --netns nowhere": `no network namespace "nowhere"`,
	} {
		var out, errs bytes.Buffer
		env := &Env{Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errs, Getenv: func(string) string { return "" }}
		if code := Main(strings.Fields(line), env); code != exitUsage || !strings.Contains(errs.String(), want) {
			t.Errorf("spoor %s: exit %d, %s", line, code, errs.String())
		}
	}
}

// deaf follows the events of the namespace and reads none.
func deaf(t *testing.T, s *shell) {
	t.Helper()
	file, err := os.Open(s.ns.Path())
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	listener, err := nfnetlink.Dial(&nfnetlink.Options{NetNS: file, Groups: []nfnetlink.Group{nfnetlink.GroupNew}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	if _, err := listener.SetReadBuffer(4096); err != nil {
		t.Fatal(err)
	}
}
