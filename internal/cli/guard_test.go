//go:build linux

package cli

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/spoor-project/spoor/conntrack"
	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/guard"
	"github.com/spoor-project/spoor/internal/guard/duty"
	"github.com/spoor-project/spoor/internal/nstest"
	"github.com/spoor-project/spoor/internal/render"
)

// guardHere runs a command line in this process.
func guardHere(stdin string, args ...string) (stdout, stderr string, code int) {
	var out, errs bytes.Buffer
	env := &Env{Stdin: strings.NewReader(stdin), Stdout: &out, Stderr: &errs, Getenv: func(string) string { return "" }}
	code = Main(append([]string{"guard"}, args...), env)
	return out.String(), errs.String(), code
}

func writeFile(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestGuardCommandLinesThatMakeNoSense(t *testing.T) {
	for _, c := range []struct{ line, want string }{
		{"guard replays", `guard has no "replays": choose from rules, check, setup, replay, blocked, undo, or nothing to watch; did you mean replay?`},
		{"guard tcp and dport 22", `guard has no "tcp"`},
		{"guard rules now", `guard rules: unexpected "now"`},
		{"guard rules --json", "guard rules does not take --json"},
		{"guard check --enforce", "guard check does not take --enforce"},
		{"guard replay", "which recording?"},
		{"guard undo", "whom?"},
		{"guard undo everybody", "expected an address, or all"},
		{"guard --reading soon", "expected a time from 1s on"},
		{"guard --reading 10ms", "expected a time from 1s on"},
		{"guard --for 0", "expected a time from"},
		{"guard --pair 192.0.2.1:1,192.0.2.2:1", "--pair and --pair-key go together"},
		{"guard --pair 192.0.2.1:1 --pair-key x", "expected two addresses with ports"},
		{"guard --pair 192.0.2.1:1,192.0.2.2:0 --pair-key x", "expected two addresses with ports"},
		{"guard --listen 9820", "expected an address and a port"},
		{"guard --node", "needs a value"},
		{"guard --netns nowhere", `no network namespace "nowhere"`},
	} {
		if _, errs, code := guardHere("", strings.Fields(c.line)[1:]...); code != exitUsage || !strings.Contains(errs, c.want) {
			t.Errorf("spoor %s: exit %d, %s", c.line, code, errs)
		}
	}
	if _, errs, code := guardHere("", "--node", "a b"); code != exitUsage || !strings.Contains(errs, "a name without blanks") {
		t.Errorf("exit %d, %s", code, errs)
	}
}

func TestGuardRulesAndTheirCheck(t *testing.T) {
	out, _, code := guardHere("", "rules")
	if code != exitOK || out != guard.DefaultRules {
		t.Errorf("exit %d, %s", code, out)
	}
	// What is printed is accepted, and says the same.
	effective, errs, code := guardHere("", "check", writeFile(t, out))
	if code != exitOK || errs != "" || !strings.Contains(effective, "\nport-scan ports=20 within=1m then block 1h\n") {
		t.Errorf("exit %d, %s%s", code, effective, errs)
	}
	if again, _, code := guardHere("", "check", "--rules", writeFile(t, effective)); code != exitOK || again != effective {
		t.Errorf("exit %d, %s", code, again)
	}
	bad := writeFile(t, "port-scan ports=20\n\nport-scam\nupload bytes=1X where tcp\n")
	out, errs, code = guardHere("", "check", bad)
	if code != exitFailed || errs != "" || !strings.HasPrefix(out, bad+`:3:1: unknown word "port-scam"`) || !strings.Contains(out, "\n"+bad+":4:14: ") {
		t.Errorf("exit %d, %s%s", code, out, errs)
	}
	for _, args := range [][]string{{"--rules", bad, "--for", "1s"}, {"replay", "--rules", bad, "-"}} {
		if _, errs, code = guardHere("", args...); code != exitFailed || !strings.Contains(errs, bad+":3:1: ") || !strings.Contains(errs, bad+":4:14: ") {
			t.Errorf("%v: exit %d, %s", args, code, errs)
		}
	}
	for _, name := range []string{"/nowhere/rules", t.TempDir(), writeFile(t, strings.Repeat("#\n", mostRules/2))} {
		if _, errs, code := guardHere("", "check", name); code != exitFailed || !strings.Contains(errs, name) {
			t.Errorf("exit %d, %s", code, errs)
		}
	}
}

// scanRecording is a recording of a scan of n ports, one each 100 ms, of which all are refused, with lines that are no records in between.
func scanRecording(n int) string {
	p := render.NewPrinter(render.Flows, &render.Style{Format: render.JSONL})
	begin := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	var b bytes.Buffer
	event := func(t flow.EventType, state uint8, status flow.Status, port int, after time.Duration) {
		f := flow.Flow{Has: flow.HasStatus | flow.HasState | flow.HasReply, Status: status, State: state, Orig: flow.Tuple{
			Proto: flow.TCP, Src: netip.MustParseAddr("192.0.2.7"), Dst: netip.MustParseAddr("198.51.100.1"), SrcPort: uint16(40000 + port), DstPort: uint16(port)}}
		f.Reply, _ = f.Orig.Inverse()
		b.Write(p.AppendEvent(nil, &flow.Event{Type: t, Flow: f, Time: flow.Timestamp(begin.Add(after).UnixNano())}, "", begin))
	}
	for i := range n {
		after := time.Duration(i) * 100 * time.Millisecond
		event(flow.New, flow.TCPSynSent, flow.Confirmed, 1+i, after)
		event(flow.Update, flow.TCPClose, flow.Confirmed|flow.SeenReply, 1+i, after+time.Millisecond)
		if i == 5 {
			b.WriteString("this is no record\n")
		}
	}
	return b.String()
}

func TestGuardReplay(t *testing.T) {
	recording := scanRecording(50)
	out, errs, code := guardHere(recording, "replay", "-")
	times := regexp.MustCompile(`(?m)^\d{4}-\d\d-\d\d \d\d:\d\d:0[2-6] `)
	if code != exitOK || !strings.Contains(errs, "-: line 13, column 1: ") || !times.MatchString(out) ||
		!strings.Contains(out, "port-scan begins: 192.0.2.7 tried ") || !strings.Contains(out, " ports of 198.51.100.1 in vain") ||
		!strings.Contains(out, "block 192.0.2.7 for 1h (port-scan): not done, dry run (--enforce carries it out)\n") ||
		!strings.Contains(out, "\n100 events and 0 flows of before in 4s, judged in ") || !strings.Contains(out, "\nfound: 1 port-scan\n") {
		t.Errorf("exit %d\n%s%s", code, out, errs)
	}
	// What was not answered until the recording ended is judged as well.
	out, errs, code = guardHere("", "replay", "../guard/testdata/plays/sweep.jsonl.gz")
	if code != exitOK || errs != "" || !strings.Contains(out, "host-sweep begins: 10.1.0.2 tried tcp 22 on ") {
		t.Errorf("exit %d\n%s%s", code, out, errs)
	}
	// Compressed, as JSON, by other rules.
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	io.WriteString(z, recording)
	z.Close()
	file := writeFile(t, packed.String())
	out, errs, code = guardHere("", "replay", "--json", "--rules", writeFile(t, "port-scan ports=10 within=1m\n"), file)
	var found []guardObject
	for line := range strings.Lines(out) {
		var o guardObject
		if err := json.Unmarshal([]byte(line), &o); err != nil {
			t.Errorf("%v: %s", err, line)
		}
		found = append(found, o)
	}
	if code != exitOK || len(found) < 2 || found[0].Finding.Kind != "port-scan" || found[0].Finding.Offender != "192.0.2.7" || found[0].Finding.Limit != 10 {
		t.Fatalf("exit %d\n%s%s", code, out, errs)
	}
	if s := found[len(found)-1].Summary; s.Events != 100 || s.Bad != 1 || s.Findings["port-scan"] != 1 || s.From != "2026-11-21T12:00:00Z" {
		t.Errorf("%+v", s)
	}
	// The rule about it is off: nothing.
	if out, _, code = guardHere(recording, "replay", "--rules", writeFile(t, "upload bytes=10G\n"), "-"); code != exitOK || !strings.Contains(out, "found: nothing\n") {
		t.Errorf("exit %d\n%s", code, out)
	}
	if _, errs, code = guardHere("a\nb\nc\nd\ne\nf\ng\n", "replay", "-"); code != exitFailed || !strings.Contains(errs, "2 more lines of - could not be read") || !strings.Contains(errs, "is no recording") {
		t.Errorf("exit %d\n%s", code, errs)
	}
	if _, errs, code = guardHere("", "replay", "/nowhere"); code != exitFailed || !strings.Contains(errs, "/nowhere") {
		t.Errorf("exit %d\n%s", code, errs)
	}
	if out, _, code = guardHere("", "replay", "-"); code != exitOK || !strings.Contains(out, "0 events") {
		t.Errorf("exit %d\n%s", code, out)
	}
}

// guardObject is a line of JSON of the guard.
type guardObject struct {
	Type    string
	Result  string
	Finding struct {
		Kind, Phase, Offender string
		Limit                 float64
	}
	Action  struct{ Response, Offender, Held string }
	Summary struct {
		Events   int
		Bad      int `json:"bad_lines"`
		From     string
		Findings map[string]int
	}
}

// sentry is a spoor guard that is running in a namespace, beside which there is another with an attacker.
type sentry struct {
	t        *testing.T
	ns       *nstest.NS // is guarded
	attacker *nstest.NS
	spoor    string
	cmd      *nstest.Cmd
	dir      string

	mu       sync.Mutex
	out, log bytes.Buffer
}

var (
	guarded  = netip.MustParseAddr("10.99.0.1")
	attacker = netip.MustParseAddr("10.99.0.2")
)

func newSentry(t *testing.T) *sentry {
	t.Helper()
	nstest.NeedTool(t, "nft", "ip")
	s := &sentry{t: t, spoor: nstest.BuildCommand(t, "./cmd/spoor"), dir: t.TempDir()}
	s.ns, s.attacker = nstest.New(t), nstest.New(t)
	s.ns.LoopbackUp()
	nstest.Link(t, nstest.End{NS: s.ns, Dev: "wan", Addrs: []string{"10.99.0.1/24"}},
		nstest.End{NS: s.attacker, Dev: "out", Addrs: []string{"10.99.0.2/24"}})
	s.ns.MustRun(t, "nft", "table inet t { chain c { type filter hook input priority 0; ct state new accept; }; }")
	return s
}

// start starts the guard and waits until it watches.
func (s *sentry) start(args ...string) {
	s.t.Helper()
	s.startBy(nil, args...)
}

// startBy starts it by the words before.
func (s *sentry) startBy(before []string, args ...string) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	argv := slices.Concat(before, []string{s.spoor, "guard", "--node", "here"}, args)
	s.cmd = s.ns.Command(ctx, argv[0], argv[1:]...)
	out, outW := io.Pipe()
	errs, errsW := io.Pipe()
	s.cmd.Stdout, s.cmd.Stderr = outW, errsW
	s.cmd.WaitDelay = time.Second
	keep := func(to *bytes.Buffer, from io.Reader) {
		for in := bufio.NewScanner(from); in.Scan(); {
			s.mu.Lock()
			to.WriteString(in.Text() + "\n")
			s.mu.Unlock()
		}
	}
	go keep(&s.out, out)
	go keep(&s.log, errs)
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		cancel()
		s.cmd.Wait()
		outW.Close()
		errsW.Close()
		if s.t.Failed() {
			s.t.Logf("%s%s", s.told(), s.logged())
		}
	})
	nstest.Wait(s.t, "the guard", func() bool { return strings.Contains(s.logged(), "msg=watching") })
}

func (s *sentry) told() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.out.String()
}

func (s *sentry) logged() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.String()
}

// ends tells it to end and returns its exit code.
func (s *sentry) ends(with syscall.Signal) int {
	s.t.Helper()
	if err := s.cmd.Process.Signal(with); err != nil {
		s.t.Fatal(err)
	}
	s.cmd.Wait()
	return nstest.ExitCode(s.cmd.ProcessState)
}

// scan tries ports that nobody listens on.
func (s *sentry) scan(first, n int) {
	s.t.Helper()
	s.attacker.Do(func() {
		for port := first; port < first+n; port++ {
			c, err := net.DialTimeout("tcp", netip.AddrPortFrom(guarded, uint16(port)).String(), 500*time.Millisecond)
			if err == nil {
				c.Close()
			}
		}
	})
}

// reaches reports whether the attacker gets an answer, even if that is a refusal.
func (s *sentry) reaches() (is bool) {
	s.attacker.Do(func() {
		c, err := net.DialTimeout("tcp", netip.AddrPortFrom(guarded, 9).String(), 500*time.Millisecond)
		if err == nil {
			c.Close()
		}
		is = err == nil || strings.Contains(err.Error(), "refused")
	})
	return is
}

// TestGuardStopsAScan: from the first packet to the set of nftables, and back.
func TestGuardStopsAScan(t *testing.T) {
	s := newSentry(t)
	s.ns.MustRun(t, "sh", "-c", s.spoor+" guard setup | nft -f -")
	audit := s.dir + "/audit"
	s.start("--enforce", "--json", "--audit", audit, "--listen", "127.0.0.1:9821")
	if !s.reaches() {
		t.Fatal("the attacker does not get there before")
	}
	s.scan(1000, 40)
	nstest.Wait(t, "the block", func() bool { return strings.Contains(s.told(), `"result":"done"`) })
	if s.reaches() {
		t.Error("the attacker still gets there")
	}
	kinds := make(map[string]int)
	for line := range strings.Lines(s.told()) {
		var o guardObject
		if err := json.Unmarshal([]byte(line), &o); err != nil {
			t.Errorf("%v: %s", err, line)
		}
		kinds[o.Type+o.Finding.Kind+o.Finding.Phase+o.Action.Response+o.Result]++
	}
	if kinds["findingport-scanbegins"] != 1 || kinds["responseblockdone"] != 1 {
		t.Errorf("%v", kinds)
	}
	blocked := s.ns.MustRun(t, s.spoor, "guard", "blocked")
	if !regexp.MustCompile(`(?m)^10\.99\.0\.2 +port-scan +here +\d{4}-`).MatchString(blocked) {
		t.Error(blocked)
	}
	var objects []struct{ Address, Kind, Node string }
	if err := json.Unmarshal([]byte(s.ns.MustRun(t, s.spoor, "guard", "blocked", "--json")), &objects); err != nil || len(objects) != 1 || objects[0].Kind != "port-scan" {
		t.Errorf("%v %v", err, objects)
	}
	nstest.Wait(t, "the figures", func() bool {
		text := s.ns.MustRun(t, "curl", "-s", "http://127.0.0.1:9821/metrics")
		return strings.Contains(text, `spoor_guard_findings_total{kind="port-scan"} 1`) && strings.Contains(text, `spoor_guard_actions_total{response="block",result="done"} 1`) &&
			strings.Contains(text, "spoor_guard_readings_total 1\n")
	})
	if text := s.ns.MustRun(t, "curl", "-s", "--fail", "http://127.0.0.1:9821/healthz"); !strings.Contains(text, `"ok":true`) {
		t.Error(text)
	}
	if out := s.ns.MustRun(t, s.spoor, "guard", "undo", "10.99.0.2", "--audit", audit); out != "10.99.0.2 is not blocked any more\n" {
		t.Error(out)
	}
	if !s.reaches() {
		t.Error("the attacker does not get there any more")
	}
	if _, errs, code := s.ns.Run(t, s.spoor, "guard", "undo", "10.99.0.2", "--audit", audit); code != exitFailed || !strings.Contains(errs, "10.99.0.2 is not blocked") {
		t.Errorf("exit %d, %s", code, errs)
	}
	if code := s.ends(syscall.SIGTERM); code != exitOK {
		t.Errorf("exit %d", code)
	}
	text, err := os.ReadFile(audit)
	if err != nil || strings.Count(string(text), `"action":"block","result":"done","offender":"10.99.0.2"`) != 1 || strings.Count(string(text), `"action":"undo"`) != 1 {
		t.Errorf("%v %s", err, text)
	}
}

// TestReadmeShowsAnAttackBeingStopped runs what README.md says can be pasted, with nmap and without.
func TestReadmeShowsAnAttackBeingStopped(t *testing.T) {
	nstest.NeedTool(t, "bash", "ip", "nft", "nmap", "sysctl", "unshare")
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile("(?s)\n```sh\nmake build && bash <<'END'\n(.*?)END\n```\n").FindSubmatch(readme)
	if m == nil {
		t.Fatal("nothing to paste")
	}
	for name, script := range map[string]string{"nmap": string(m[1]), "bash": strings.Replace(string(m[1]), "command -v nmap", "false", 1)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			if err := os.Mkdir(dir+"/bin", 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(nstest.BuildCommand(t, "./cmd/spoor"), dir+"/bin/spoor"); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			cmd := nstest.New(t).Command(ctx, "unshare", "--mount", "bash", "-c",
				"mount --make-rprivate / && mkdir -p /run/netns && mount -t tmpfs none /run/netns || exit\n"+script)
			cmd.Dir, cmd.WaitDelay = dir, time.Second
			out, err := cmd.CombinedOutput()
			if text := string(out); err != nil || !strings.Contains(text, "port-scan begins: 10.9.9.2 tried ") || !strings.Contains(text, "\n10.9.9.2  port-scan  fw ") {
				t.Errorf("%v\n%s", err, text)
			}
		})
	}
}

// TestGuardWithoutEnforceOnlyTells what it would do.
func TestGuardWithoutEnforceOnlyTells(t *testing.T) {
	s := newSentry(t)
	s.ns.MustRun(t, "sh", "-c", s.spoor+" guard setup | nft -f -")
	s.start()
	s.scan(1000, 30)
	nstest.Wait(t, "what it would do", func() bool {
		return strings.Contains(s.told(), "block 10.99.0.2 for 1h (port-scan): not done, dry run (--enforce carries it out)\n")
	})
	if !s.reaches() {
		t.Error("it has been blocked")
	}
	if out, errs, _ := s.ns.Run(t, s.spoor, "guard", "blocked"); out != "" || errs != "spoor: nobody is blocked\n" {
		t.Error(out, errs)
	}
	if code := s.ends(syscall.SIGINT); code != exitOK {
		t.Errorf("exit %d", code)
	}
}

// TestGuardsOfAPairBlockTogether: one sees the scan, both block, and what happens once per pair happens where it was seen.
func TestGuardsOfAPairBlockTogether(t *testing.T) {
	first := newSentry(t)
	second := &sentry{t: t, ns: nstest.New(t), spoor: first.spoor, dir: t.TempDir()}
	nstest.Link(t, nstest.End{NS: first.ns, Dev: "sync", Addrs: []string{"10.98.0.1/24"}}, nstest.End{NS: second.ns, Dev: "sync", Addrs: []string{"10.98.0.2/24"}})
	key := writeFile(t, "a secret of more than sixteen bytes\n")
	rules := writeFile(t, "port-scan ports=20 within=1m then block 1h, run /usr/bin/touch "+first.dir+"/ran-%o\n")
	for i, s := range []*sentry{first, second} {
		s.ns.MustRun(t, "sh", "-c", s.spoor+" guard setup | nft -f -")
		s.start("--node", []string{"first", "second"}[i], "--enforce", "--rules", rules, "--audit", s.dir+"/audit", "--pair-key", key,
			"--pair", []string{"10.98.0.1:3782,10.98.0.2:3782", "10.98.0.2:3782,10.98.0.1:3782"}[i])
	}
	first.scan(1000, 40)
	blocked := func(s *sentry) string {
		out, _, _ := s.ns.Run(t, s.spoor, "guard", "blocked")
		return squeezed(out)
	}
	for _, s := range []*sentry{first, second} {
		nstest.Wait(t, "the block", func() bool { return strings.Contains(blocked(s), "\n10.99.0.2 port-scan ") })
	}
	nstest.Wait(t, "the command", func() bool { return strings.Contains(first.told(), "run /usr/bin/touch") })
	if !strings.Contains(second.told(), "(port-scan, decided by node first): done") || strings.Contains(second.told(), "run /usr/bin/touch") || strings.Contains(second.told(), "begins") {
		t.Errorf("the second has told: %s", second.told())
	}
	nstest.Wait(t, "its outcome", func() bool { _, err := os.Stat(first.dir + "/ran-10.99.0.2"); return err == nil })
	// A key that others can read is none.
	os.Chmod(key, 0o644)
	if _, errs, code := first.ns.Run(t, first.spoor, "guard", "--pair", "10.98.0.1:3783,10.98.0.2:3783", "--pair-key", key, "--for", "1s"); code != exitFailed || !strings.Contains(errs, "chmod 600") {
		t.Errorf("exit %d, %s", code, errs)
	}
}

// TestGuardNeedsItsSet: it is told before the first attack.
func TestGuardNeedsItsSet(t *testing.T) {
	s := newSentry(t)
	for _, args := range [][]string{{"--enforce", "--for", "1s", "--audit", s.dir + "/a"}, {"blocked"}, {"undo", "192.0.2.1"}, {"undo", "all"}} {
		if _, errs, code := s.ns.Run(t, append([]string{s.spoor, "guard"}, args...)...); code != exitFailed || !strings.Contains(errs, "spoor guard setup | nft -f -") {
			t.Errorf("%v: exit %d, %s", args, code, errs)
		}
	}
	// Rules that never block do without.
	file := writeFile(t, "port-scan ports=20 then delete\n")
	if _, errs, code := s.ns.Run(t, s.spoor, "guard", "--enforce", "--rules", file, "--for", "100ms", "--audit", s.dir+"/a"); code != exitOK {
		t.Errorf("exit %d, %s", code, errs)
	}
}

// TestGuardReadsItsRulesAgain: with SIGHUP, and bad ones change nothing.
func TestGuardReadsItsRulesAgain(t *testing.T) {
	s := newSentry(t)
	file := s.dir + "/rules"
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("port-scan ports=500 within=1m\n")
	s.start("--rules", file)
	s.scan(1000, 15)
	hup := func(want string) {
		t.Helper()
		if err := s.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		nstest.Wait(t, want, func() bool { return strings.Contains(s.logged(), want) })
	}
	write("port-scan ports=five\n")
	hup(file + ":1:17: ")
	write("port-scan ports=20 within=1m\n")
	hup("rules read again")
	if s.told() != "" {
		t.Error(s.told())
	}
	// It has not forgotten the first fifteen.
	s.scan(2000, 10)
	nstest.Wait(t, "the finding", func() bool { return strings.Contains(s.told(), "port-scan begins: 10.99.0.2 tried 2") })
}

// TestGuardTellsWhatItCannotSee, and the commands that mend it.
func TestGuardTellsWhatItCannotSee(t *testing.T) {
	s := newSentry(t)
	s.ns.Sysctl("net/netfilter/nf_conntrack_events", "0")
	s.ns.Sysctl("net/netfilter/nf_conntrack_acct", "0")
	s.start("--for", "100ms")
	for _, want := range []string{"sysctl -w net.netfilter.nf_conntrack_events=1", "sysctl -w net.netfilter.nf_conntrack_acct=1"} {
		if !strings.Contains(s.logged(), want) {
			t.Errorf("no %q in %s", want, s.logged())
		}
	}
}

// TestGuardSurvivesALoss: what was lost shows in the table, and what follows is judged.
func TestGuardSurvivesALoss(t *testing.T) {
	s := newSentry(t)
	s.start("--listen", "127.0.0.1:9821")
	c, err := conntrack.Dial(&conntrack.Options{NetNS: s.ns.Path()})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	figure := func(name string) string {
		text := s.ns.MustRun(t, "curl", "-s", "http://127.0.0.1:9821/metrics")
		if m := regexp.MustCompile(`(?m)^` + name + ` (\S+)$`).FindStringSubmatch(text); m != nil {
			return m[1]
		}
		return ""
	}
	// It sleeps while more happens than its queue can take, with the same addresses again and again.
	s.cmd.Process.Signal(syscall.SIGSTOP)
	var last uint16
	for i := range 40_000 {
		last = uint16(1 + i%60_000)
		e := conntrack.Entry{Orig: flow.Tuple{Proto: flow.UDP, Src: attacker, Dst: guarded, SrcPort: last, DstPort: 53}}
		e.Reply, _ = e.Orig.Inverse()
		e.Timeout = new(10 * time.Minute)
		if err := c.Create(t.Context(), &e); err != nil {
			t.Fatal(err)
		}
	}
	s.cmd.Process.Signal(syscall.SIGCONT)
	nstest.Wait(t, "the loss", func() bool { return strings.Contains(s.logged(), "events were lost") })
	nstest.Wait(t, "all flows", func() bool {
		n, _ := strconv.Atoi(figure("spoor_guard_flows"))
		return n >= 40_000 && n < 41_000 // some are of those who ask
	})
	if lost := figure("spoor_guard_events_lost_total"); lost == "0" || lost == "" {
		t.Errorf("%s lost", lost)
	}
	s.scan(1000, 40)
	nstest.Wait(t, "the finding", func() bool { return strings.Contains(s.told(), "port-scan begins: 10.99.0.2") })
}

// TestGuardTellsLogs: syslog and the journal.
func TestGuardTellsLogs(t *testing.T) {
	nstest.NeedTool(t, "unshare", "socat")
	s := newSentry(t)
	before := []string{"unshare", "--mount", "sh", "-c", `set -e; mount --make-rprivate /; mount -t tmpfs none /run; mkdir -p /run/systemd/journal
timeout 30 socat -u UNIX-RECV:/run/systemd/journal/socket OPEN:` + s.dir + `/journal,creat & journal=$!
timeout 30 socat -u UNIX-RECV:/run/log OPEN:` + s.dir + `/syslog,creat & syslog=$!
trap 'kill $journal $syslog' EXIT
until [ -S /run/log ] && [ -S /run/systemd/journal/socket ]; do sleep 0.05; done
"$@" & guard=$!
trap 'kill $journal $syslog $guard' EXIT; wait $guard`, "sh"}
	s.startBy(before, "--syslog", "--journal", "--for", "4s")
	s.scan(1000, 30)
	s.cmd.Wait()
	for file, want := range map[string]string{"journal": "SPOOR_KIND=port-scan\n", "syslog": "spoor-guard["} {
		text, err := os.ReadFile(filepath.Join(s.dir, file))
		if err != nil || !strings.Contains(string(text), want) || !strings.Contains(string(text), "port-scan begins: 10.99.0.2 tried") {
			t.Errorf("%s: %v %s", file, err, text)
		}
	}
}

// TestGuardTellsSystemd: that it is ready, that it reads its rules again, and that it ends.
func TestGuardTellsSystemd(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	systemd, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer systemd.Close()
	systemd.SetReadDeadline(time.Now().Add(20 * time.Second))
	s := newSentry(t)
	t.Setenv("NOTIFY_SOCKET", path)
	t.Setenv("WATCHDOG_USEC", "200000")
	s.start()
	next := func(want string) {
		t.Helper()
		b := make([]byte, 100)
		for {
			n, err := systemd.Read(b)
			if err != nil {
				t.Fatalf("%s: %v", want, err)
			}
			if got := string(b[:n]); strings.HasPrefix(got, want) {
				return
			} else if got != "WATCHDOG=1" {
				t.Errorf("%s, want %s", got, want)
			}
		}
	}
	next("READY=1")
	next("WATCHDOG=1")
	s.cmd.Process.Signal(syscall.SIGHUP)
	next("RELOADING=1\nMONOTONIC_USEC=")
	next("READY=1")
	s.ends(syscall.SIGTERM)
	next("STOPPING=1")
}

// TestGuardThatIsStuckIsNotHealthy: neither one that sees nothing.
func TestGuardThatIsStuckIsNotHealthy(t *testing.T) {
	if h := healthOf(duty.State{}, time.Now()); h.OK || h.Reasons[0] != "it has only just begun" {
		t.Errorf("%+v", h)
	}
	now := time.Now()
	if h := healthOf(duty.State{Time: now.Add(-time.Second)}, now); !h.OK || h.Reasons == nil || h.NetNS == nil {
		t.Errorf("%+v", h)
	}
	if h := healthOf(duty.State{Time: now.Add(-time.Minute), Amiss: []string{"deaf"}}, now); h.OK || strings.Join(h.Reasons, ", ") != "deaf, nothing has been judged for 1m0s" {
		t.Errorf("%+v", h)
	}
}
