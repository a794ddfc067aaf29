//go:build linux

package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/spoor-project/spoor/conntrack"
	"github.com/spoor-project/spoor/filter"
	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/nstest"
	"github.com/spoor-project/spoor/internal/render"
)

func TestMain(m *testing.M) { os.Exit(nstest.Main(m)) }

// shell runs command lines of spoor in a namespace.
type shell struct {
	t      *testing.T
	ns     *nstest.NS
	client *conntrack.Client
	env    map[string]string
	answer string // of the user; "": there is none
}

func newShell(t *testing.T) *shell {
	t.Helper()
	nstest.NeedRoot(t)
	s := &shell{t: t, ns: nstest.New(t), env: map[string]string{"XDG_STATE_HOME": t.TempDir()}}
	var err error
	if s.client, err = conntrack.Dial(&conntrack.Options{NetNS: s.ns.Path()}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.client.Close() })
	return s
}

func (s *shell) run(args ...string) (stdout, stderr string, code int) {
	s.t.Helper()
	var out, errs bytes.Buffer
	env := &Env{Stdin: strings.NewReader(s.answer), Stdout: &out, Stderr: &errs, Interactive: s.answer != "",
		Getenv: func(name string) string { return s.env[name] }}
	code = Main(append(args, "--netns", s.ns.Path()), env)
	return out.String(), errs.String(), code
}

// must runs a command that is to succeed.
func (s *shell) must(args ...string) (stdout, stderr string) {
	s.t.Helper()
	stdout, stderr, code := s.run(args...)
	if code != exitOK {
		s.t.Fatalf("spoor %s: exit %d\n%s%s", strings.Join(args, " "), code, stdout, stderr)
	}
	return stdout, stderr
}

func (s *shell) create(change func(*conntrack.Entry), p flow.Proto, src, dst string) *conntrack.Entry {
	s.t.Helper()
	a, b := netip.MustParseAddrPort(src), netip.MustParseAddrPort(dst)
	e := conntrack.Entry{Orig: flow.Tuple{Proto: p, Src: a.Addr(), SrcPort: a.Port(), Dst: b.Addr(), DstPort: b.Port()}}
	e.Reply, _ = e.Orig.Inverse()
	e.Timeout = new(10 * time.Minute)
	if p == flow.TCP {
		e.TCP = &conntrack.TCP{State: new(flow.TCPEstablished)}
		e.Status = new(flow.SeenReply | flow.Assured)
	}
	if change != nil {
		change(&e)
	}
	if err := s.client.Create(s.t.Context(), &e); err != nil {
		s.t.Fatal(err)
	}
	return &e
}

// populate makes three TCP and two UDP flows.
func (s *shell) populate() {
	s.t.Helper()
	s.create(nil, flow.TCP, "10.0.0.1:1001", "192.0.2.1:443")
	s.create(nil, flow.TCP, "10.0.0.2:1002", "192.0.2.1:443")
	s.create(func(e *conntrack.Entry) { e.DstNAT = &conntrack.NAT{Addr: netip.MustParseAddr("10.9.9.9")} },
		flow.TCP, "10.0.0.3:1003", "192.0.2.2:80")
	s.create(func(e *conntrack.Entry) { e.Mark = new(uint32(7)) }, flow.UDP, "10.0.0.1:53000", "192.0.2.53:53")
	s.create(nil, flow.UDP, "[2001:db8::1]:53001", "[2001:db8::53]:53")
}

func (s *shell) count(query string) string {
	s.t.Helper()
	out, _ := s.must("count", query)
	return strings.TrimSpace(out)
}

func TestListHasColumns(t *testing.T) {
	s := newShell(t)
	s.populate()
	for _, way := range []string{"off", "on"} {
		s.env["SPOOR_SNAPSHOT"] = way
		out, _ := s.must("list", "--sort", "src", "-c", "proto,state,src,dst,nat,mark,timeout", "any")
		want := `
PROTO   STATE        SOURCE                 DESTINATION            TRANSLATED TO             MARK  EXPIRES
tcp     ESTABLISHED  10.0.0.1:1001          192.0.2.1:443          -                            -    10m00s
udp     UNREPLIED    10.0.0.1:53000         192.0.2.53:53          -                          0x7    10m00s
tcp     ESTABLISHED  10.0.0.2:1002          192.0.2.1:443          -                            -    10m00s
tcp     ESTABLISHED  10.0.0.3:1003          192.0.2.2:80           to 10.9.9.9:80               -    10m00s
udp     UNREPLIED    [2001:db8::1]:53001    [2001:db8::53]:53      -                            -    10m00s
`
		times := regexp.MustCompile(`(9m5\ds|10m00s)`)
		if got, want := squeezed(times.ReplaceAllString(out, "TIME")), squeezed(times.ReplaceAllString(want[1:], "TIME")); got != want {
			t.Errorf("SPOOR_SNAPSHOT=%s:\n%s\nwant\n%s", way, got, want)
		}
	}
}

// squeezed makes one blank of many: how wide columns are is not what tests are about.
func squeezed(text string) string { return regexp.MustCompile(` +`).ReplaceAllString(text, " ") }

func TestListSelectsSortsAndLimits(t *testing.T) {
	s := newShell(t)
	s.populate()
	for _, c := range []struct{ args, want string }{
		{"tcp and dport 443 --sort src", "10.0.0.1:1001 10.0.0.2:1002"},
		{"tcp and dport 443 --sort src --reverse", "10.0.0.2:1002 10.0.0.1:1001"},
		{"tcp --sort src --limit 1", "10.0.0.1:1001"},
		{"mark 7", "10.0.0.1:53000"},
		{"dnat to 10.9.9.0/24", "10.0.0.3:1003"},
		{"dport domain and ipv6", "[2001:db8::1]:53001"},
		{"sctp", ""},
	} {
		for _, way := range []string{"off", "on"} {
			s.env["SPOOR_SNAPSHOT"] = way
			out, _ := s.must(append([]string{"list", "-c", "src", "--no-header"}, strings.Fields(c.args)...)...)
			if got := strings.Join(strings.Fields(out), " "); got != c.want {
				t.Errorf("list %s (SPOOR_SNAPSHOT=%s): %s, want %s", c.args, way, got, c.want)
			}
		}
	}
	out, _ := s.must("list", "--no-header", "--limit", "2")
	if n := strings.Count(out, "\n"); n != 2 {
		t.Errorf("--limit 2: %d lines", n)
	}
	out, _ = s.must("list", "-c", "dst", "--no-header", "--names", "mark", "7")
	if strings.TrimSpace(out) != "192.0.2.53:domain" {
		t.Errorf("--names: %q", out)
	}
}

func TestListInFormats(t *testing.T) {
	s := newShell(t)
	s.populate()
	for _, args := range [][]string{{"--json"}, {"--json", "--sort", "dst"}, {"-o", "json", "--limit", "5"}, {"--json", "sctp"}} {
		out, _ := s.must(append([]string{"list"}, args...)...)
		var flows []struct {
			Proto string
			Orig  struct{ Src string }
		}
		if err := json.Unmarshal([]byte(out), &flows); err != nil {
			t.Errorf("%v: %v\n%s", args, err, out)
		} else if args[len(args)-1] != "sctp" && len(flows) != 5 {
			t.Errorf("%v: %d flows", args, len(flows))
		}
	}
	for format, want := range map[string]string{"text": "udp      17 ", "save": "-A -t ", "csv": "tcp,", "xml": "<conntrack>", "jsonl": `{"family":"ipv4"`} {
		if out, _ := s.must("list", "-o", format); !strings.Contains(out, want) {
			t.Errorf("-o %s: no %q in\n%s", format, want, out)
		}
	}
}

func TestCount(t *testing.T) {
	s := newShell(t)
	if out, _ := s.must("count"); out != "0\n" {
		t.Errorf("an empty table: %q", out)
	}
	s.populate()
	for _, way := range []string{"off", "on"} {
		s.env["SPOOR_SNAPSHOT"] = way
		for query, want := range map[string]string{"": "5", "tcp": "3", "unreplied": "2", "not tcp and not udp": "0"} {
			if got := s.count(query); got != want {
				t.Errorf("count %s: %s, want %s", query, got, want)
			}
		}
		out, note := s.must("count", "--by", "proto,dport", "--top", "2")
		if want := "PROTO DPORT FLOWS SHARE PACKETS BYTES\ntcp 443 2 40.0% - -\nudp 53 2 40.0% - -\n"; squeezed(out) != want {
			t.Errorf("count --by proto,dport:\n%s", out)
		}
		if note != "spoor: 5 flows in 3 groups, of which 1 is not shown\n" {
			t.Errorf("note: %q", note)
		}
		out, _ = s.must("count", "--by", "nat-dst", "--json")
		var sum struct {
			Flows, AllGroups int
			Groups           []map[string]any
		}
		if err := json.Unmarshal([]byte(strings.Replace(out, "all_groups", "AllGroups", 1)), &sum); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		if sum.Flows != 5 || sum.AllGroups != 2 || sum.Groups[0]["nat-dst"] != nil || sum.Groups[1]["nat-dst"] != "10.9.9.9" {
			t.Errorf("count --json: %s", out)
		}
	}
}

func TestDeleteAsksAndCanBeUndone(t *testing.T) {
	s := newShell(t)
	s.populate()
	files := func() []string {
		all, _ := filepath.Glob(s.env["XDG_STATE_HOME"] + "/spoor/*")
		return all
	}
	out, note := s.must("delete", "--dry-run", "tcp")
	if !strings.Contains(out, "10.0.0.3:1003") || note != "spoor: 3 flows would be deleted\n" || s.count("") != "5" {
		t.Errorf("--dry-run: %s%s", out, note)
	}
	if _, note, code := s.run("delete", "tcp"); code != exitUsage || !strings.Contains(note, "add --yes") || s.count("") != "5" {
		t.Errorf("with nobody to ask: exit %d, %s", code, note)
	}
	s.answer = "n\n"
	if _, note := s.must("delete", "tcp"); !strings.Contains(note, "Delete 3 flows? [y/N] nothing done") || s.count("") != "5" {
		t.Errorf("refused: %s", note)
	}
	if _, note := s.must("delete", "sctp"); note != "spoor: no flow is selected\n" {
		t.Errorf("of nothing: %s", note)
	}
	if left := files(); len(left) > 0 {
		t.Errorf("nothing was deleted, but there is %s", left)
	}
	s.answer = "yes\n"
	out, note = s.must("delete", "tcp")
	if !strings.Contains(out, "10.0.0.1:1001") || !strings.Contains(note, "3 flows deleted; conntrack -R ") || s.count("") != "2" {
		t.Errorf("agreed: %s%s", out, note)
	}
	undo := files()
	if len(undo) != 1 {
		t.Fatalf("undo files: %s", undo)
	}
	conntrack := nstest.BuildCommand(t, "./cmd/conntrack")
	s.ns.MustRun(t, conntrack, "-R", undo[0])
	if s.count("tcp and state established and assured") != "3" || s.count("dnat to 10.9.9.9") != "1" {
		t.Errorf("not everything came back: %s", s.count(""))
	}
	s.answer = ""
	if out, _ := s.must("delete", "--json", "--dry-run", "tcp"); out != `{"selected":3,"done":0,"gone":0,"kept":0,"dry_run":true}`+"\n" {
		t.Errorf("--json --dry-run: %s", out)
	}
	if out, _ := s.must("update", "--json", "--yes", "--mark", "9", "tcp"); out != `{"selected":3,"done":3,"gone":0,"kept":0}`+"\n" {
		t.Errorf("--json: %s", out)
	}
	if _, note := s.must("delete", "--yes", "--limit", "2", "--undo", "-", "any"); note != "spoor: 2 flows deleted\n" || s.count("") != "3" {
		t.Errorf("--limit 2: %s", note)
	}
	name := t.TempDir() + "/undo"
	s.must("delete", "-y", "-q", "--undo", name, "any")
	if text, err := os.ReadFile(name); err != nil || strings.Count(string(text), "\n") != 3 {
		t.Errorf("--undo: %v %s", err, text)
	}
	if _, note, code := s.run("delete", "-y", "--undo", name, "any"); code != exitFailed || !strings.Contains(note, "undo file: ") {
		t.Errorf("an undo file that is there: exit %d, %s", code, note)
	}
}

// TestOwnSessionStays runs the program as a shell of ssh would.
func TestOwnSessionStays(t *testing.T) {
	s := newShell(t)
	spoor := nstest.BuildCommand(t, "./cmd/spoor")
	s.create(nil, flow.TCP, "10.0.0.7:40000", "192.0.2.1:22")
	s.create(nil, flow.TCP, "10.0.0.8:40000", "192.0.2.1:22")
	ssh := func(args ...string) string {
		t.Helper()
		argv := append([]string{"env", "SSH_CONNECTION=10.0.0.7 40000 192.0.2.1 22", "sh", "-c", `unset SSH_CONNECTION; "$@"; exit $?`, "sh", spoor}, args...)
		_, note, code := s.ns.Run(t, argv...)
		if code != exitOK {
			t.Fatalf("%v: exit %d, %s", args, code, note)
		}
		return note
	}
	if note := ssh("delete", "--yes", "--undo", "-", "any"); !strings.Contains(note, "1 flow left alone: you are logged in by it") || s.count("src 10.0.0.7") != "1" || s.count("") != "1" {
		t.Errorf("%s", note)
	}
	ssh("delete", "--yes", "--undo", "-", "--keep-session", "no", "any")
	if s.count("") != "0" {
		t.Error("--keep-session no kept it")
	}
}

func TestUpdate(t *testing.T) {
	s := newShell(t)
	s.ns.MustRun(t, "nft", "table inet t { chain c { type filter hook input priority 0; meta mark 0xdead ct label set 5; }; }")
	s.populate()
	_, note := s.must("update", "--yes", "--mark", "0x10/0xf0", "--timeout", "1h", "--label", "3,5", "--assured", "udp")
	if note != "spoor: 2 flows updated\n" {
		t.Error(note)
	}
	for query, want := range map[string]string{
		"mark 0x17": "1", "mark 0x10": "1", "timeout > 50m": "2", "label 3 and label 5": "2", "udp and assured": "2", "tcp and timeout > 50m": "0",
	} {
		if got := s.count(query); got != want {
			t.Errorf("count %s: %s, want %s", query, got, want)
		}
	}
	s.must("update", "--yes", "--unlabel", "3", "udp")
	if s.count("label 3") != "0" || s.count("label 5") != "2" {
		t.Error("--unlabel 3")
	}
	for _, args := range [][]string{{"udp"}, {"--mark", "x", "udp"}, {"--mark", "1/x", "udp"}, {"--timeout", "soon", "udp"}, {"--label", "500", "udp"}} {
		if _, note, code := s.run(append([]string{"update", "-y"}, args...)...); code != exitUsage {
			t.Errorf("update %v: exit %d, %s", args, code, note)
		}
	}
}

// recorder notes what a watcher shows.
type recorder struct{ lines []string }

func (r *recorder) change(e *flow.Event) error {
	sign := "="
	if e.Type != 0 {
		sign = e.Type.String()
	}
	r.lines = append(r.lines, sign+" "+e.Flow.Orig.Src.String())
	return nil
}
func (r *recorder) gap(n uint64) error { r.lines = append(r.lines, "gap"); return nil }
func (r *recorder) caught(begun, changed, gone int) error {
	r.lines = append(r.lines, strings.Repeat("+", begun)+strings.Repeat("~", changed)+strings.Repeat("-", gone))
	return nil
}
func (r *recorder) flush() error { return nil }
func (r *recorder) end() error   { return nil }

// TestWatchCatchesUp changes the table behind the watcher's back, as when events are lost.
func TestWatchCatchesUp(t *testing.T) {
	for _, way := range []string{"off", "on"} {
		t.Run("SPOOR_SNAPSHOT="+way, func(t *testing.T) { catchUp(t, way) })
	}
}

func catchUp(t *testing.T, way string) {
	s := newShell(t)
	env := &Env{Getenv: func(string) string { return way }}
	stays := s.create(nil, flow.UDP, "10.0.0.1:1", "192.0.2.1:1")
	changes := s.create(nil, flow.UDP, "10.0.0.2:1", "192.0.2.1:1")
	ends := s.create(nil, flow.UDP, "10.0.0.3:1", "192.0.2.1:1")
	s.create(nil, flow.UDP, "10.7.0.3:1", "192.0.2.1:1") // not selected
	q, err := filter.Parse("src 10.0.0.0/16")
	if err != nil {
		t.Fatal(err)
	}
	r := &recorder{}
	w := &watcher{call: &call{ctx: t.Context(), env: env}, show: r, known: make(map[flow.Key]known),
		source: &source{client: s.client, netns: s.ns.Path(), query: q, narrow: q.Filter(), now: time.Now()}}
	if err := w.begin(false); err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	if err := errors.Join(
		s.client.Update(ctx, changes.Orig, 0, conntrack.Change{Mark: new(uint32(1))}),
		s.client.Update(ctx, stays.Orig, 0, conntrack.Change{Timeout: new(time.Hour)}),
		s.client.Delete(ctx, &flow.Flow{Orig: ends.Orig})); err != nil {
		t.Fatal(err)
	}
	s.create(nil, flow.UDP, "10.0.0.4:1", "192.0.2.1:1")
	s.create(nil, flow.UDP, "10.7.0.4:1", "192.0.2.1:1")
	if err := w.catchUp(9); err != nil {
		t.Fatal(err)
	}
	got := map[string]int{}
	for _, line := range r.lines {
		got[line]++
	}
	if len(r.lines) != 5 || r.lines[0] != "gap" || got["NEW 10.0.0.4"] != 1 || got["UPDATE 10.0.0.2"] != 1 || got["DESTROY 10.0.0.3"] != 1 || r.lines[4] != "+~-" {
		t.Errorf("%q", r.lines)
	}
	r.lines = nil
	if err := w.catchUp(9); err != nil || len(r.lines) != 2 || r.lines[1] != "" {
		t.Errorf("again: %q %v", r.lines, err)
	}
	// What was queued before the table was read says nothing new.
	for f, err := range s.client.Flows(ctx, q.Filter()) {
		if err != nil {
			t.Fatal(err)
		}
		if w.concerns(&flow.Event{Type: flow.New, Flow: f}) {
			t.Errorf("%v is told again", f.Orig)
		}
		before := f
		before.ID++
		if w.concerns(&flow.Event{Type: flow.Destroy, Flow: before}) {
			t.Errorf("the flow before %v is told to end", f.Orig)
		}
	}
}

// TestWatch follows real traffic.
func TestWatch(t *testing.T) {
	s := newShell(t)
	s.ns.LoopbackUp()
	s.ns.MustRun(t, "nft", "table inet t { chain c { type filter hook input priority 0; ct state new accept; }; }")
	s.create(nil, flow.UDP, "10.0.0.9:1", "127.0.0.1:9000")
	watching := func(args ...string) (wait func() string) {
		t.Helper()
		spoor := nstest.BuildCommand(t, "./cmd/spoor")
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		cmd := s.ns.Command(ctx, spoor, append([]string{"watch"}, args...)...)
		out := t.TempDir() + "/out"
		f, err := os.Create(out)
		if err != nil {
			t.Fatal(err)
		}
		cmd.Stdout, cmd.Stderr = f, f
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		nstest.Wait(t, "the table", func() bool {
			text, _ := os.ReadFile(out)
			return strings.Contains(string(text), "10.0.0.9")
		})
		return func() string {
			defer cancel()
			defer f.Close()
			if err := cmd.Wait(); err != nil {
				text, _ := os.ReadFile(out)
				t.Fatalf("%v\n%s", err, text)
			}
			text, _ := os.ReadFile(out)
			return string(text)
		}
	}
	here := netip.MustParseAddr("127.0.0.1")
	act := func() {
		nstest.Send(t, s.ns, netip.AddrPortFrom(here, 5000), netip.AddrPortFrom(here, 9000), "a")
		nstest.Send(t, s.ns, netip.AddrPortFrom(here, 5001), netip.AddrPortFrom(here, 9999), "not selected")
		nstest.Wait(t, "the flow", func() bool { return s.count("dport 9000 and sport 5000") == "1" })
		s.must("delete", "--yes", "--undo", "-", "dport 9000 and sport 5000")
	}
	lines, objects, templates := watching("dport", "9000", "--limit", "2"), watching("dport", "9000", "--limit", "2", "-o", "jsonl"),
		watching("dport", "9000", "--limit", "2", "--template", "{{.Type}} {{.Flow.Orig.Src}}:{{.Flow.Orig.SrcPort}}")
	act()
	times := regexp.MustCompile(`(?m)^\d\d:\d\d:\d\d\.\d{3} `)
	if got := squeezed(times.ReplaceAllString(lines(), "")); got != "= udp UNREPLIED 10.0.0.9:1 127.0.0.1:9000 - -\n"+
		"+ udp UNREPLIED 127.0.0.1:5000 127.0.0.1:9000 - -\n- udp UNREPLIED 127.0.0.1:5000 127.0.0.1:9000 - dying\n" {
		t.Errorf("lines:\n%s", got)
	}
	var types []string
	for line := range strings.Lines(objects()) {
		var o struct {
			Type string
			Time time.Time
		}
		if err := json.Unmarshal([]byte(line), &o); err != nil || time.Since(o.Time) > time.Minute {
			t.Errorf("%v: %s", err, line)
		}
		types = append(types, o.Type)
	}
	if strings.Join(types, " ") != "present new destroy" {
		t.Errorf("types: %s", types)
	}
	if got := templates(); got != "NONE 10.0.0.9:1\nNEW 127.0.0.1:5000\nDESTROY 127.0.0.1:5000\n" {
		t.Errorf("template:\n%s", got)
	}
}

// TestHelpFitsAScreen: 24 lines with the prompt, 80 columns.
func TestHelpFitsAScreen(t *testing.T) {
	texts := map[string]string{"overview": overview(), "query": queryHelp}
	for _, c := range commands() {
		texts[c.name] = c.help()
	}
	for name, text := range texts {
		if n := strings.Count(text, "\n"); n > 23 {
			t.Errorf("help %s has %d lines", name, n)
		}
		for line := range strings.Lines(text) {
			if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > 80 {
				t.Errorf("help %s: %d columns: %s", name, n, line)
			}
		}
	}
}

func TestCommandLinesThatMakeNoSense(t *testing.T) {
	for _, c := range []struct{ line, want string }{
		{"", "what shall be done?"},
		{"lists", `there is no command "lists"; did you mean list?`},
		{"list --frobnicate", "list has no option --frobnicate"},
		{"list --limit", "--limit needs a value"},
		{"list --limit 0", "expected a number from 1 on"},
		{"list --columns src,dest", `there is no column "dest": choose from proto,`},
		{"list -o yaml", `there is no format "yaml"`},
		{"list --json --columns src", "exclude each other"},
		{"list tcp and dprot 80", "did you mean dport?\n  tcp and dprot 80\n          ^"},
		{"list --netns nowhere", `no network namespace "nowhere"`},
		{"count --by source", `there is no field "source": choose from family,`},
		{"count --sort size", "choose from flows, packets and bytes"},
		{"delete", "A query selects flows; any selects all"},
		{"delete --keep-session perhaps any", "choose from yes, no and auto"},
		{"update tcp", "update what?"},
		{"delete --json tcp", "add --yes or --dry-run"},
		{"watch --json --rate", "exclude each other"},
		{"watch -o jsonl --rate", "exclude each other"},
		{"watch -o xml", `there is no format "xml": choose from text, json and jsonl`},
		{"watch --template {{.Foo", "--template: "},
		{"help frob", `there is no command "frob"`},
		{"top", "needs a terminal to show itself on; --once"},
		{"top --by sport", "choose from flow, src, dst, service, nat,"},
		{"top --sort size", "choose from rate, pps, bytes,"},
		{"top --interval soon", "expected a time from 100ms"},
		{"top --interval 1x", "expected a time from 100ms"},
		{"top --interval NaN", "expected a time from 100ms"},
		{"top --interval 1e300", "expected a time from 100ms"},
		{"top --interval 0.01", "expected a time from 100ms"},
		{"top --once tcp and dprot 80", "did you mean dport?\n  tcp and dprot 80\n          ^"},
	} {
		var out, errs bytes.Buffer
		env := &Env{Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errs, Getenv: func(string) string { return "" }}
		if code := Main(strings.Fields(c.line), env); code != exitUsage || !strings.Contains(errs.String(), c.want) {
			t.Errorf("spoor %s: exit %d, %s", c.line, code, errs.String())
		}
	}
}

func TestWithoutPrivilegeItSaysWhatIsMissing(t *testing.T) {
	nstest.NeedRoot(t)
	nstest.NeedTool(t, "setpriv")
	spoor := nstest.BuildCommand(t, "./cmd/spoor")
	ns := nstest.New(t)
	for _, args := range [][]string{{"list"}, {"count"}, {"count", "tcp"}, {"delete", "-y", "any"}, {"watch"}, {"top", "--once"}} {
		argv := append([]string{"setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "env", "HOME=/tmp", spoor}, args...)
		_, note, code := ns.Run(t, argv...)
		if code != exitFailed || !strings.Contains(note, "CAP_NET_ADMIN") {
			t.Errorf("spoor %v: exit %d, %s", args, code, note)
		}
	}
}

func TestShortNumbersAndTimes(t *testing.T) {
	for n, want := range map[uint64]string{0: "0", 999: "999", 1000: "1.0k", 1550: "1.5k", 99_949: "99.9k", 123_456: "123k",
		12_000_000: "12.0M", 999_999_999: "999M", 1 << 63: "9.2E"} {
		if got := string(render.AppendShort(nil, n)); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
	for d, want := range map[time.Duration]string{0: "0s", 59 * time.Second: "59s", 330 * time.Second: "5m30s", 3*time.Hour + 2*time.Minute: "3h02m",
		119 * time.Hour: "4d23h"} {
		if got := string(render.AppendSpan(nil, d)); got != want {
			t.Errorf("%v: %s, want %s", d, got, want)
		}
	}
	if got := render.Grouped(1234567); got != "1,234,567" {
		t.Error(got)
	}
}

// BenchmarkLine is what spoor list does with each flow.
func BenchmarkLine(b *testing.B) {
	cols, err := columnsNamed(usualColumns)
	if err != nil {
		b.Fatal(err)
	}
	l := look{now: time.Now()}
	flows := make([]flow.Flow, 512)
	for i := range flows {
		f := &flows[i]
		f.Has = flow.HasReply | flow.HasStatus | flow.HasTimeout | flow.HasState | flow.HasOrigCounters | flow.HasReplyCounters | flow.HasStart
		f.Orig = flow.Tuple{Proto: flow.TCP, Src: netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 7}), SrcPort: uint16(i * 127), Dst: netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), DstPort: 443}
		f.Reply, _ = f.Orig.Inverse()
		f.Status, f.State, f.Timeout = flow.SeenReply|flow.Assured|flow.Confirmed, flow.TCPEstablished, time.Duration(i)*time.Hour
		f.OrigCounters.Bytes, f.Start = uint64(i*i*1000), flow.Timestamp(l.now.Add(-time.Duration(i)*time.Minute).UnixNano())
	}
	var line []byte
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		line = appendLine(line[:0], cols, &l, &flows[i%len(flows)])
	}
}
