package duty

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/spoor-project/spoor/conntrack"
	"github.com/spoor-project/spoor/filter"
	"github.com/spoor-project/spoor/internal/guard"
	"github.com/spoor-project/spoor/internal/nstest"
)

var (
	noon     = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	intruder = netip.MustParseAddr("192.0.2.7")
)

// shell is where sh is: not everywhere in /bin.
var shell, _ = nstest.LookTool("sh")

func portScan() *guard.Finding {
	return &guard.Finding{ID: 7, Kind: guard.PortScan, Offender: intruder, Since: noon, Time: noon, Measured: 24, Limit: 20, Unit: "ports",
		Subject: guard.Subject{Source: intruder, Destination: netip.MustParseAddr("10.0.0.1")}}
}

func TestOnlyTheFlowsOfTheOffenderAreDeleted(t *testing.T) {
	a, b := nstest.Pair(t)
	b.MustRun(t, "nft", "add table inet t; add chain inet t c { type filter hook prerouting priority filter; }; add rule inet t c ct state new accept")
	for i, addr := range []string{"10.0.0.2:7000", "[fd00::2]:7000"} {
		to := netip.MustParseAddrPort(addr)
		nstest.ServeEcho(t, b, "udp", addr)
		for range 3 + i {
			nstest.Exchange(t, a, "udp", netip.AddrPort{}, to, 1)
		}
	}
	// What the victim itself opens to the offender stays.
	nstest.ServeEcho(t, a, "udp", "10.0.0.1:7001")
	nstest.Exchange(t, b, "udp", netip.AddrPort{}, netip.MustParseAddrPort("10.0.0.1:7001"), 1)
	client, err := conntrack.Dial(&conntrack.Options{NetNS: b.Path()})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for offender, want := range map[string]int{"::ffff:10.0.0.1": 3, "fd00::1": 4, "10.0.0.9": 0} {
		if n, err := DeleteFlows(t.Context(), client, netip.MustParseAddr(offender)); n != want || err != nil {
			t.Errorf("%s: %d flows, %v; want %d", offender, n, err, want)
		}
	}
	left := 0
	for f, err := range client.Flows(t.Context(), &filter.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		if left++; f.Orig.Dst != netip.MustParseAddr("10.0.0.1") {
			t.Errorf("left: %+v", f.Orig)
		}
	}
	if left != 1 {
		t.Errorf("%d flows are left", left)
	}
	if _, err := DeleteFlows(t.Context(), client, netip.Addr{}); err == nil {
		t.Error("flows of nobody were deleted")
	}
}

func TestCommandsAreToldOfTheFinding(t *testing.T) {
	f := portScan()
	out, err := NewRunner().Run(t.Context(), []string{shell, "-c", `echo "$1|$2|$3"; echo "$SPOOR_OFFENDER $SPOOR_KIND"; echo "$SPOOR_FINDING"; cat; pwd >&2`,
		"%o", "%o %k %i 100%% %x %", "%m", "$(id); `id`"}, f)
	document, _ := json.Marshal(f)
	want := "192.0.2.7 port-scan 7 100% %x %|" + f.Line() + "|$(id); `id`\n192.0.2.7 port-scan\n" + string(document) + "\n" + string(document) + "\n/\n"
	if err != nil || out != want {
		t.Errorf("%v\ngot  %s\nwant %s", err, out, want)
	}
	if out, err := NewRunner().Run(t.Context(), []string{shell, "-c", `echo "<$1>$SPOOR_OFFENDER"`, "", "%o"}, &guard.Finding{}); out != "<>\n" || err != nil {
		t.Errorf("without an offender: %q %v", out, err)
	}
}

func TestCommandsThatFailSayHow(t *testing.T) {
	r := NewRunner()
	r.time = 200 * time.Millisecond
	for _, c := range []struct {
		command  []string
		out, err string
	}{
		{[]string{shell, "-c", "echo no; exit 3"}, "no\n", "run " + shell + ": exit status 3"},
		{[]string{"/nowhere/x"}, "", "run /nowhere/x: no such file or directory"},
		{[]string{shell, "-c", "echo on; sleep 60"}, "on\n", "run " + shell + ": killed after 200ms"},
		{nil, "", "run: no command"},
	} {
		if out, err := r.Run(t.Context(), c.command, portScan()); err == nil || err.Error() != c.err || out != c.out {
			t.Errorf("%q: %q %v", c.command, out, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.Run(ctx, []string{"/bin/true"}, portScan()); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

func TestWhatACommandWritesIsBounded(t *testing.T) {
	out, err := NewRunner().Run(t.Context(), []string{shell, "-c", "head -c 1000000 /dev/zero | tr '\\0' x"}, portScan())
	if err != nil || out != strings.Repeat("x", runOutput) {
		t.Errorf("%v, %d bytes", err, len(out))
	}
}

func TestNothingOfACommandIsLeft(t *testing.T) {
	r := NewRunner()
	start := time.Now()
	out, err := r.Run(t.Context(), []string{shell, "-c", "sleep 300 & echo $!"}, portScan())
	if err != nil || time.Since(start) > 20*time.Second {
		t.Fatalf("%v after %v", err, time.Since(start))
	}
	pid, err := strconv.Atoi(strings.TrimSpace(out))
	if err != nil {
		t.Fatal(err)
	}
	nstest.Wait(t, "the end of what was left behind", func() bool {
		stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
		return err != nil || strings.Contains(string(stat), ") Z ")
	})
	// One that leaves the group and holds the output does not keep the guard waiting.
	out, err = r.Run(t.Context(), []string{shell, "-c", "setsid sleep 60 & sleep 0.2; echo $!"}, portScan())
	if err != nil || time.Since(start) > 20*time.Second {
		t.Errorf("%v after %v", err, time.Since(start))
	}
	if pid, err = strconv.Atoi(strings.TrimSpace(out)); err != nil || syscall.Kill(pid, syscall.SIGKILL) != nil {
		t.Errorf("%q: %v, or it was gone", out, err)
	}
}

func TestOneCommandRunsAtATime(t *testing.T) {
	r, dir := NewRunner(), t.TempDir()
	var work sync.WaitGroup
	for range 4 {
		work.Go(func() {
			if out, err := r.Run(t.Context(), []string{shell, "-c", "mkdir $1/alone && sleep 0.05 && rmdir $1/alone", "", dir}, portScan()); err != nil {
				t.Errorf("%v %s", err, out)
			}
		})
	}
	work.Wait()
}

// FuzzExpand: what has no percent sign stays, and what is doubled comes back single.
func FuzzExpand(f *testing.F) {
	for _, w := range []string{"", "%", "%%", "%o", "a%kb", "%%o", "%m%i", "%é", "100%", "%\xff"} {
		f.Add(w)
	}
	f.Fuzz(func(t *testing.T, word string) {
		finding := portScan()
		if got := expand(strings.ReplaceAll(word, "%", "%%"), finding); got != word {
			t.Errorf("%q: %q", word, got)
		}
		got := expand(word, finding)
		if !strings.Contains(word, "%") && got != word {
			t.Errorf("%q: %q", word, got)
		}
		parts := strings.NewReplacer("%o", "192.0.2.7", "%k", "port-scan", "%m", finding.Line(), "%i", "7", "%%", "%").Replace(word)
		if got != parts {
			t.Errorf("%q: %q, want %q", word, got, parts)
		}
	})
}

// poster is one that does not wait.
func poster() *Poster {
	p := NewPoster()
	p.pause = time.Millisecond
	return p
}

func TestFindingsArePosted(t *testing.T) {
	var got []byte
	var header http.Header
	var user, password string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got, _ = io.ReadAll(r.Body)
		header = r.Header
		user, password, _ = r.BasicAuth()
	}))
	defer s.Close()
	f := portScan()
	if err := poster().Post(t.Context(), strings.Replace(s.URL, "http://", "http://u:p@", 1)+"/hook?x=y", f); err != nil {
		t.Fatal(err)
	}
	if want, _ := json.Marshal(f); string(got) != string(want) || header.Get("Content-Type") != "application/json" || user != "u" || password != "p" {
		t.Errorf("%s %v", got, header)
	}
}

func TestPostingIsTriedAgainWhereThatMayHelp(t *testing.T) {
	for code, want := range map[int]int{200: 1, 204: 1, 400: 1, 404: 1, 429: 3, 500: 3, 503: 3} {
		tries := 0
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			tries++
			w.WriteHeader(code)
		}))
		err := poster().Post(t.Context(), s.URL, portScan())
		s.Close()
		if tries != want || (err == nil) != (code < 300) {
			t.Errorf("%d: %d tries, %v", code, tries, err)
		}
		if err != nil && !strings.Contains(err.Error(), "answered "+strconv.Itoa(code)) {
			t.Errorf("%v", err)
		}
	}
	tries := 0
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if tries++; tries < 3 {
			w.WriteHeader(502)
		}
	}))
	defer s.Close()
	if err := poster().Post(t.Context(), s.URL, portScan()); err != nil || tries != 3 {
		t.Errorf("%d tries, %v", tries, err)
	}
}

func TestPostingStaysWithItsHost(t *testing.T) {
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { t.Errorf("%s came to another host", r.URL) }))
	defer other.Close()
	posted := 0
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/other":
			http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
		case "/page":
			http.Redirect(w, r, "/end", http.StatusFound)
		case "/here":
			http.Redirect(w, r, "/end", http.StatusPermanentRedirect)
		case "/round":
			http.Redirect(w, r, "/round", http.StatusPermanentRedirect)
		case "/end":
			if body, _ := io.ReadAll(r.Body); r.Method == http.MethodPost && len(body) > 0 {
				posted++
			}
		}
	}))
	defer s.Close()
	for path, want := range map[string]string{"/other": "redirected to another host", "/page": "redirected to a page", "/round": "redirected too often"} {
		if err := poster().Post(t.Context(), s.URL+path, portScan()); err == nil || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("%s: %v", path, err)
		}
	}
	if err := poster().Post(t.Context(), s.URL+"/here", portScan()); err != nil || posted != 1 {
		t.Errorf("%v, %d posted", err, posted)
	}
}

func TestErrorsOfPostingKeepSecrets(t *testing.T) {
	s := httptest.NewServer(http.NotFoundHandler())
	closed := strings.TrimPrefix(s.URL, "http://")
	s.Close()
	for _, to := range []string{"http://u:secret@" + closed + "/secret?token=secret#secret", "http://[secret", "secret", "ftp://h/secret", "http://h\x7fsecret/"} {
		if err := poster().Post(t.Context(), to, portScan()); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%v", err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := NewPoster().Post(ctx, "http://"+closed+"/secret", portScan()); !errors.Is(err, context.Canceled) || strings.Contains(err.Error(), "secret") {
		t.Errorf("%v", err)
	}
}

// outcomes gathers what a queue tells.
type outcomes struct {
	mu  sync.Mutex
	all []Outcome
}

func (o *outcomes) add(one Outcome) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.all = append(o.all, one)
}

func (o *outcomes) len() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.all)
}

func action(do guard.Response) guard.Action {
	return guard.Action{Respond: guard.Respond{Do: do, Command: []string{"/bin/x"}, URL: "http://h/"}, Until: time.Now().Add(time.Hour), Finding: *portScan()}
}

func TestABlockDoesNotWaitForARequest(t *testing.T) {
	var told outcomes
	blocked, hold := make(chan time.Duration, 1), make(chan struct{})
	q := NewQueue(Responders{
		Block:  func(_ netip.Addr, d time.Duration, _ guard.Kind) error { blocked <- d; return nil },
		Delete: func(context.Context, netip.Addr) (int, error) { return 5, nil },
		Post:   func(ctx context.Context, _ string, _ *guard.Finding) error { <-hold; return errors.New("broken") },
	}, told.add)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { q.Run(ctx); close(ended) }()
	q.Put(action(guard.Post))
	q.Put(action(guard.Block))
	if d := <-blocked; d > time.Hour || d < 59*time.Minute {
		t.Errorf("blocked for %v", d)
	}
	close(hold)
	late := action(guard.Block)
	late.Until = time.Now().Add(-time.Second)
	kept := action(guard.Block)
	kept.Held = "allowed: gateway"
	for _, a := range []guard.Action{action(guard.Delete), action(guard.Run), late, kept} {
		q.Put(a)
	}
	nstest.Wait(t, "six outcomes", func() bool { return told.len() == 6 })
	cancel()
	<-ended
	var words []string
	for _, o := range told.all {
		w := o.Action.Do.String() + " " + o.Result()
		if o.Err != nil {
			w += ": " + o.Err.Error()
		}
		if o.Time.IsZero() || (o.Flows == 5) != (o.Action.Do == guard.Delete) {
			t.Errorf("%+v", o)
		}
		words = append(words, w)
	}
	for _, want := range []string{"post failed: broken", "block done", "delete done", "run failed: " + ErrUnarmed.Error(), "block failed: " + errOver.Error(), "block held"} {
		if !strings.Contains(strings.Join(words, "\n")+"\n", want+"\n") {
			t.Errorf("%q is missing in %q", want, words)
		}
	}
}

func TestAFullQueueRefuses(t *testing.T) {
	var told outcomes
	q := NewQueue(Responders{}, told.add)
	for range mostQueued + 3 {
		q.Put(action(guard.Post))
	}
	if told.len() != 3 || !errors.Is(told.all[0].Err, ErrBusy) {
		t.Errorf("%d refused", told.len())
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	q.Run(ctx)
	if told.len() != mostQueued+3 || !errors.Is(told.all[10].Err, ErrEnding) {
		t.Errorf("%d told", told.len())
	}
}

// audited are the lines of an audit log.
func audited(t *testing.T, path string) []string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	for _, l := range lines {
		if !json.Valid([]byte(l)) {
			t.Errorf("not JSON: %s", l)
		}
	}
	return lines
}

// warnings gathers what is told.
type warnings []string

func (w *warnings) add(text string) { *w = append(*w, text) }

func TestTheAuditTellsWhatWasDone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit")
	var warned warnings
	a := OpenAudit(path, "a", warned.add)
	block := action(guard.Block)
	block.Until = noon.Add(time.Hour)
	broken, held := block, block
	held.Held, held.By = "allowed: gateway", "b"
	post, del := action(guard.Post), action(guard.Delete)
	post.Until, post.URL, del.Until, del.Command = time.Time{}, "https://u:p@h/token", time.Time{}, nil
	post.Command, block.Command, broken.Command, held.Command = nil, nil, nil, nil
	run := action(guard.Run)
	run.Until = time.Time{}
	for _, o := range []Outcome{{Action: block}, {Action: broken, Err: errors.New("no")}, {Action: held}, {Action: post}, {Action: del, Flows: 5}, {Action: run, Output: "on\n"}} {
		o.Time = noon
		a.Write(&o)
	}
	a.undone(noon, intruder, "", nil)
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	const head = `{"time":"2026-03-01T12:00:00.000Z","node":"a","action":`
	const about = `"offender":"192.0.2.7","finding":7,"kind":"port-scan"`
	want := []string{
		head + `"block","result":"done",` + about + `,"until":"2026-03-01T13:00:00.000Z","undo":"spoor guard undo 192.0.2.7"}`,
		head + `"block","result":"failed",` + about + `,"until":"2026-03-01T13:00:00.000Z","error":"no"}`,
		head + `"block","result":"held",` + about + `,"until":"2026-03-01T13:00:00.000Z","by":"b","held":"allowed: gateway"}`,
		head + `"post","result":"done",` + about + `,"url":"https://h"}`,
		head + `"delete","result":"done",` + about + `,"flows":5}`,
		head + `"run","result":"done",` + about + `,"command":["/bin/x"],"output":"on\n"}`,
		head + `"undo","result":"done","offender":"192.0.2.7"}`,
	}
	if got := audited(t, path); strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 || len(warned) != 0 {
		t.Errorf("%v %v %q", info, err, warned)
	}
	var none *Audit
	none.Write(&Outcome{})
	none.undone(noon, intruder, "", nil)
	none.Reopen()
	none.Close()
}

func TestTheAuditOutlivesItsFile(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "not yet")
	path := filepath.Join(dir, "audit")
	var warned warnings
	a := OpenAudit(path, "", warned.add)
	defer a.Close()
	o := Outcome{Action: action(guard.Delete), Time: noon}
	for range 3 {
		a.Write(&o)
	}
	if len(warned) != 1 || !strings.Contains(warned[0], "no such file or directory") {
		t.Errorf("%q", warned)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	a.Write(&o)
	if got := audited(t, path); len(got) != 4 || len(warned) != 2 {
		t.Errorf("%d lines, %q", len(got), warned)
	}
	// Rotated.
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	a.Write(&o)
	a.Reopen()
	a.Write(&o)
	if old, now := audited(t, path+".1"), audited(t, path); len(old) != 5 || len(now) != 1 {
		t.Errorf("%d and %d lines", len(old), len(now))
	}
}

func TestAFullDiskStopsNothing(t *testing.T) {
	link := filepath.Join(t.TempDir(), "audit")
	if err := os.Symlink("/dev/full", link); err != nil {
		t.Fatal(err)
	}
	var warned warnings
	a := OpenAudit(link, "", warned.add)
	defer a.Close()
	o := Outcome{Action: action(guard.Run), Time: noon, Output: strings.Repeat("x", runOutput)}
	for range 2 * mostUnwritten / runOutput {
		a.Write(&o)
	}
	if len(warned) != 1 || !strings.Contains(warned[0], "no space left") || len(a.queue) > mostUnwritten {
		t.Errorf("%q, %d bytes are kept", warned, len(a.queue))
	}
	if err := os.Remove(link); err != nil {
		t.Fatal(err)
	}
	a.Reopen()
	if got := audited(t, link); len(got) < 200 || len(warned) != 2 || !strings.Contains(warned[1], "lines were lost") {
		t.Errorf("%d lines, %q", len(got), warned)
	}
}

func TestUndoLetsInAgain(t *testing.T) {
	l := blocklist(t, nstest.New(t))
	path := filepath.Join(t.TempDir(), "audit")
	var warned warnings
	a := OpenAudit(path, "", warned.add)
	defer a.Close()
	for _, addr := range []string{"192.0.2.7", "192.0.2.8", "2001:db8::7"} {
		if err := l.Block(netip.MustParseAddr(addr), time.Hour, guard.PortScan); err != nil {
			t.Fatal(err)
		}
	}
	if err := Undo(l, a, netip.MustParseAddr("::ffff:192.0.2.7")); err != nil {
		t.Error(err)
	}
	if err := Undo(l, a, intruder); err == nil || err.Error() != "192.0.2.7 is not blocked" {
		t.Errorf("%v", err)
	}
	if all, err := UndoAll(l, a); err != nil || len(all) != 2 || addresses(t, l) != "" {
		t.Errorf("%v %v", all, err)
	}
	got := audited(t, path)
	if len(got) != 3 || !strings.Contains(got[0], `"action":"undo","result":"done","offender":"192.0.2.7"`) {
		t.Errorf("%q", got)
	}
	bare := openBlocklist(t, nstest.New(t))
	if err := Undo(bare, a, intruder); !errors.Is(err, ErrNotSetUp) {
		t.Errorf("%v", err)
	}
	if _, err := UndoAll(bare, nil); !errors.Is(err, ErrNotSetUp) {
		t.Errorf("%v", err)
	}
}
