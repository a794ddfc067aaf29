//go:build linux

package metrics

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spoor-project/spoor/conntrack"
	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/nstest"
	"github.com/spoor-project/spoor/internal/table"
	"github.com/spoor-project/spoor/internal/tally"
)

func TestMain(m *testing.M) { os.Exit(nstest.Main(m)) }

// journal is a log that a test can read.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(b)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

func (j *journal) has(text string) bool { return strings.Contains(j.String(), text) }

func export(t *testing.T, opts Options) (*Exporter, *journal) {
	t.Helper()
	j := &journal{}
	opts.Log = slog.New(slog.NewTextHandler(j, nil))
	opts.Look = 10 * time.Millisecond
	if opts.Way == table.Fastest {
		opts.Way = table.Netlink
	}
	e, err := Open(t.Context(), &opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return e, j
}

var sample = regexp.MustCompile(`^([a-z_]+(?:\{.*\})?) (\S+)$`)

// scrape returns all samples, by name and labels.
func scrape(t *testing.T, e *Exporter) map[string]float64 {
	t.Helper()
	w := httptest.NewRecorder()
	e.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if w.Code != 200 {
		t.Fatalf("%d: %s", w.Code, w.Body)
	}
	all := make(map[string]float64)
	for line := range strings.Lines(w.Body.String()) {
		line = strings.TrimSuffix(line, "\n")
		if strings.HasPrefix(line, "#") {
			continue
		}
		m := sample.FindStringSubmatch(line)
		if m == nil {
			t.Fatalf("%q", line)
		}
		v, err := strconv.ParseFloat(m[2], 64)
		if err != nil {
			t.Fatal(err)
		}
		all[m[1]] = v
	}
	return all
}

// eventually waits until scrapes show all that is wanted. NaN is for what is not to be there.
func eventually(t *testing.T, e *Exporter, want map[string]float64) {
	t.Helper()
	var wrong string
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		got := scrape(t, e)
		wrong = ""
		for name, v := range want {
			if has, ok := got[name]; !ok || has != v {
				wrong += fmt.Sprintf("%s is %v, want %v\n", name, has, v)
			}
		}
		if wrong == "" {
			return
		}
	}
	t.Error(wrong)
}

// tracked is a namespace with loopback and with connection tracking on.
func tracked(t *testing.T) *nstest.NS {
	t.Helper()
	nstest.NeedTool(t, "nft")
	ns := nstest.New(t)
	ns.LoopbackUp()
	ns.MustRun(t, "nft", "table inet t { chain c { type filter hook input priority 0; ct state new accept; }; }")
	return ns
}

func dial(t *testing.T, ns *nstest.NS) *conntrack.Client {
	t.Helper()
	c, err := conntrack.Dial(&conntrack.Options{NetNS: ns.Path()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// create makes n UDP flows, each with another source.
func create(t *testing.T, ns *nstest.NS, n int) {
	t.Helper()
	c := dial(t, ns)
	for i := range n {
		e := conntrack.Entry{Orig: flow.Tuple{Proto: flow.UDP, Src: netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), Dst: addr("192.0.2.1"), SrcPort: 9, DstPort: 53}}
		e.Reply, _ = e.Orig.Inverse()
		e.Timeout = new(10 * time.Minute)
		if err := c.Create(t.Context(), &e); err != nil {
			t.Fatal(err)
		}
	}
}

func flush(t *testing.T, ns *nstest.NS) {
	t.Helper()
	if err := dial(t, ns).Flush(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
}

// TestRealTraffic: what is shown is what happened.
func TestRealTraffic(t *testing.T) {
	ns := tracked(t)
	e, _ := export(t, Options{NetNS: []string{ns.Path()}, Events: true, CountInterval: 50 * time.Millisecond, Top: []Top{{tally.DstPort, 1}}})
	here := addr("127.0.0.1")
	echo := nstest.ServeEcho(t, ns, "tcp", "127.0.0.1:0")
	for range 2 { // which stay silent from now on
		nstest.Dial(t, ns, "tcp", netip.AddrPort{}, echo)
	}
	nstest.Send(t, ns, netip.AddrPortFrom(here, 5000), netip.AddrPortFrom(here, 9), "nobody answers")
	nstest.Exchange(t, ns, "udp", netip.AddrPort{}, nstest.ServeEcho(t, ns, "udp", "127.0.0.1:0"), 3)
	l := func(name, labels string) string {
		if labels != "" {
			name += "{" + labels + ","
		} else {
			name += "{"
		}
		return name + `netns="` + ns.Path() + `"}`
	}
	// by is a name whose labels come before and behind netns.
	by := func(name, before, after string) string {
		return name + "{" + before + `netns="` + ns.Path() + `",` + after + "}"
	}
	established := by("spoor_conntrack_entries", `family="ipv4",`, `protocol="tcp",state="ESTABLISHED"`)
	// The refusal of the datagram is an ICMP error, of the same flow.
	eventually(t, e, map[string]float64{
		l("node_nf_conntrack_entries", ""): 4,
		l("spoor_conntrack_up", ""):        1,
		established:                        2,
		by("spoor_conntrack_entries", `family="ipv4",`, `protocol="udp",state="UNREPLIED"`):      1,
		by("spoor_conntrack_entries", `family="ipv4",`, `protocol="udp",state="REPLIED"`):        1,
		by("spoor_conntrack_status_entries", "", `status="unreplied"`):                           1,
		by("spoor_conntrack_zone_entries", "", `zone="0"`):                                       4,
		by("spoor_conntrack_top_entries", `by="dport",`, fmt.Sprintf(`value="%d"`, echo.Port())): 2,
		l("spoor_conntrack_top_other_entries", `by="dport"`):                                     2,
		by("spoor_conntrack_new_total", "", `protocol="tcp"`):                                    2,
		by("spoor_conntrack_new_total", "", `protocol="udp"`):                                    2,
		by("spoor_conntrack_destroyed_total", "", `protocol="tcp"`):                              0,
	})
	flush(t, ns)
	eventually(t, e, map[string]float64{
		l("node_nf_conntrack_entries", ""):                          0,
		by("spoor_conntrack_destroyed_total", "", `protocol="tcp"`): 2,
		by("spoor_conntrack_destroyed_total", "", `protocol="udp"`): 2,
		l("spoor_conntrack_events_lost_total", ""):                  0,
	})
	nstest.Wait(t, "the end of a state that no flow has any more", func() bool {
		_, there := scrape(t, e)[established]
		return !there
	})
	// A packet that is of no flow, neither when it leaves nor when it arrives.
	before := scrape(t, e)[l("spoor_conntrack_invalid_total", "")]
	raw(t, ns)
	eventually(t, e, map[string]float64{l("spoor_conntrack_invalid_total", ""): before + 2, l("node_nf_conntrack_stat_invalid", ""): before + 2})
}

// raw sends a TCP packet without any flags to the namespace itself.
func raw(t *testing.T, ns *nstest.NS) {
	t.Helper()
	ns.Do(func() {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_TCP)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
		header := make([]byte, 20)
		header[1], header[3], header[12] = 1, 2, 5<<4
		if err := unix.Sendto(fd, header, 0, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
			t.Fatal(err)
		}
	})
}

// TestScrapesDoNotReadTheTable: however many there are.
func TestScrapesDoNotReadTheTable(t *testing.T) {
	ns := tracked(t)
	create(t, ns, 3)
	e, _ := export(t, Options{NetNS: []string{ns.Path()}, CountInterval: time.Hour})
	readings := `spoor_conntrack_counts_total{netns="` + ns.Path() + `",way="netlink"}`
	entries := `spoor_conntrack_entries{family="ipv4",netns="` + ns.Path() + `",protocol="udp",state="UNREPLIED"}`
	live := `node_nf_conntrack_entries{netns="` + ns.Path() + `"}`
	eventually(t, e, map[string]float64{readings: 1, entries: 3, live: 3})
	flush(t, ns)
	for range 50 {
		scrape(t, e)
	}
	eventually(t, e, map[string]float64{readings: 1, entries: 3, live: 0})
	none, _ := export(t, Options{NetNS: []string{ns.Path()}})
	for name := range scrape(t, none) {
		if strings.HasPrefix(name, "spoor_conntrack_entries") || strings.HasPrefix(name, "spoor_conntrack_new") || strings.HasPrefix(name, "spoor_conntrack_count") {
			t.Errorf("neither counted nor followed, but there is %s", name)
		}
	}
}

// TestBothWaysCountTheSame: a snapshot and netlink.
func TestBothWaysCountTheSame(t *testing.T) {
	ns := tracked(t)
	create(t, ns, 300)
	path := ns.Path()
	for _, way := range []table.Way{table.Netlink, table.Snapshot} {
		e, j := export(t, Options{NetNS: []string{path}, CountInterval: time.Hour, Way: way, Top: []Top{{tally.Src, 2}}})
		nstest.Wait(t, "a count", func() bool { return j.has("the table is read") || j.has("were not counted") })
		if j.has("snapshot not available") {
			nstest.Unavailable(t, []string{"snapshot"}, j.String())
		}
		name, reason := "netlink", table.ReasonOff
		if way == table.Snapshot {
			name, reason = "snapshot", ""
		}
		eventually(t, e, map[string]float64{
			`spoor_conntrack_entries{family="ipv4",netns="` + path + `",protocol="udp",state="UNREPLIED"}`: 300,
			`spoor_conntrack_count_info{netns="` + path + `",reason="` + reason + `",way="` + name + `"}`:  1,
			`spoor_conntrack_top_entries{by="src",netns="` + path + `",value="10.0.0.0"}`:                  1,
			`spoor_conntrack_top_entries{by="src",netns="` + path + `",value="10.0.0.1"}`:                  1,
			`spoor_conntrack_top_other_entries{by="src",netns="` + path + `"}`:                             298,
		})
	}
}

// name gives a namespace a name in a directory, as ip-netns does, until unname.
func name(t *testing.T, dir, name string, ns *nstest.NS) (unname func()) {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, nil, 0o444); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount(ns.Path(), path, "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	unname = sync.OnceFunc(func() {
		if err := unix.Unmount(path, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
		if err := os.Remove(path); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(unname)
	return unname
}

// TestNamespacesComeAndGo: with and without a name.
func TestNamespacesComeAndGo(t *testing.T) {
	dir := t.TempDir()
	blue, green := tracked(t), tracked(t)
	create(t, blue, 2)
	create(t, green, 5)
	if err := os.WriteFile(dir+"/not-yet", nil, 0o444); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/dev/null", dir+"/never"); err != nil {
		t.Fatal(err)
	}
	unblue := name(t, dir, "blue", blue)
	e, j := export(t, Options{NetNS: []string{All}, Named: dir, Events: true, CountInterval: 50 * time.Millisecond})
	entries := func(name string) string { return `node_nf_conntrack_entries{netns="` + name + `"}` }
	counted := func(name string) string {
		return `spoor_conntrack_entries{family="ipv4",netns="` + name + `",protocol="udp",state="UNREPLIED"}`
	}
	eventually(t, e, map[string]float64{"spoor_conntrack_namespaces": 2, entries("blue"): 2, counted("blue"): 2, "spoor_conntrack_up": 1})
	name(t, dir, "green", green)
	name(t, dir, "zwei", green) // another name of the same
	eventually(t, e, map[string]float64{"spoor_conntrack_namespaces": 3, entries("blue"): 2, entries("green"): 5, counted("green"): 5})
	unblue()
	eventually(t, e, map[string]float64{"spoor_conntrack_namespaces": 2, entries("green"): 5})
	for sample := range scrape(t, e) {
		if strings.Contains(sample, "blue") {
			t.Errorf("it is gone, but there is %s", sample)
		}
	}
	if h := e.Health(t.Context()); !h.OK || len(h.NetNS) != 2 {
		t.Errorf("%+v", h)
	}
	// Another namespace of the same name begins anew.
	name(t, dir, "blue", tracked(t))
	eventually(t, e, map[string]float64{"spoor_conntrack_namespaces": 3, entries("blue"): 0})
	if !j.has(`msg="namespace has gone" netns=blue`) || !j.has(`msg="namespace has come" netns=green`) {
		t.Error(j.String())
	}
}

// TestNamespacesAreBounded: those too many are told of.
func TestNamespacesAreBounded(t *testing.T) {
	dir := t.TempDir()
	name(t, dir, "blue", tracked(t))
	name(t, dir, "green", tracked(t))
	e, j := export(t, Options{NetNS: []string{All}, Named: dir, MaxNetNS: 2})
	eventually(t, e, map[string]float64{"spoor_conntrack_namespaces": 2, `spoor_conntrack_up{netns="blue"}`: 1, `spoor_conntrack_up{netns="all"}`: 0})
	if h := e.Health(t.Context()); h.OK || !strings.Contains(h.Reasons[0], "more namespaces than are exported") || !j.has("more namespaces") {
		t.Errorf("%+v", h)
	}
}

// TestNamespaceAskedForByName: it is missed while it is not there.
func TestNamespaceAskedForByName(t *testing.T) {
	dir := t.TempDir()
	path := dir + "/blue"
	e, j := export(t, Options{NetNS: []string{path, tracked(t).Path()}, Events: true})
	up := `spoor_conntrack_up{netns="` + path + `"}`
	eventually(t, e, map[string]float64{up: 0})
	if h := e.Health(t.Context()); h.OK || len(h.Reasons) != 1 || h.Reasons[0] != "namespace "+path+": file does not exist" || !h.NetNS[0].OK {
		t.Errorf("%+v", h)
	}
	ns := tracked(t)
	unname := name(t, dir, "blue", ns)
	eventually(t, e, map[string]float64{up: 1})
	create(t, ns, 4)
	eventually(t, e, map[string]float64{`node_nf_conntrack_entries{netns="` + path + `"}`: 4, `spoor_conntrack_new_total{netns="` + path + `",protocol="udp"}`: 4})
	if h := e.Health(t.Context()); !h.OK {
		t.Errorf("%+v", h)
	}
	unname()
	eventually(t, e, map[string]float64{up: 0})
	// Between its unmounting and its removal the name can be met as a plain file, which is another reason.
	told := func() int { return strings.Count(j.String(), "file does not exist") }
	for end := time.Now().Add(time.Minute); told() < 2 && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond)
	}
	time.Sleep(100 * time.Millisecond) // some more looks, which have nothing new to tell
	if n := told(); n != 2 {
		t.Errorf("told %d times:\n%s", n, j.String())
	}
}

// TestNamespacesOfProcessesEnd: one without a name ends although it was watched.
func TestNamespacesOfProcessesEnd(t *testing.T) {
	ns := tracked(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	cmd := ns.Command(ctx, "sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pid := strconv.Itoa(cmd.Process.Pid)
	e, _ := export(t, Options{NetNS: []string{pid}, CountInterval: time.Hour})
	eventually(t, e, map[string]float64{`spoor_conntrack_up{netns="` + pid + `"}`: 1})
	cancel()
	cmd.Wait()
	eventually(t, e, map[string]float64{`spoor_conntrack_up{netns="` + pid + `"}`: 0, "spoor_conntrack_namespaces": 0})
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	inode, kept := "", 0
	if target, err := os.Readlink(ns.Path()); err == nil {
		inode = target
	}
	for _, f := range files {
		if target, _ := os.Readlink("/proc/self/fd/" + f.Name()); target == inode {
			kept++
		}
	}
	if inode == "" || kept != 1 { // the test's own
		t.Errorf("%d descriptors of %s", kept, inode)
	}
}

// TestLostEventsAreCounted: a queue that is too small for what happens in a moment.
func TestLostEventsAreCounted(t *testing.T) {
	ns := tracked(t)
	e, j := export(t, Options{NetNS: []string{ns.Path()}, Events: true})
	n := e.list()[0].namespace
	// As the loop does, with a follower that has a queue of its own choice.
	follower, err := n.client.Subscribe(&conntrack.FollowOptions{Buffer: 4096, MaxBuffer: 1})
	if err != nil {
		t.Fatal(err)
	}
	create(t, ns, 500)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- n.countEvents(ctx, follower) }()
	nstest.Wait(t, "a loss", func() bool { return j.has("events were lost") })
	cancel()
	<-done
	all := scrape(t, e)
	label := `{netns="` + ns.Path() + `"}`
	if all["spoor_conntrack_event_losses_total"+label] < 1 || all["spoor_conntrack_events_lost_total"+label] < 100 {
		t.Errorf("%v losses of %v events", all["spoor_conntrack_event_losses_total"+label], all["spoor_conntrack_events_lost_total"+label])
	}
	if all["spoor_conntrack_following"+label] != 1 {
		t.Error("it has given up")
	}
}

// TestFollowingBeginsAgain: whatever ended it.
func TestFollowingBeginsAgain(t *testing.T) {
	ns := tracked(t)
	e, j := export(t, Options{NetNS: []string{ns.Path()}})
	n := e.list()[0].namespace
	n.opts.Events = true
	n.events.following = true
	broken, err := n.subscribe()
	if err != nil {
		t.Fatal(err)
	}
	broken.Close()
	ctx, cancel := context.WithCancel(t.Context())
	var loop sync.WaitGroup
	loop.Go(func() { n.follow(ctx, broken) })
	defer loop.Wait()
	defer cancel()
	nstest.Wait(t, "the error", func() bool { return j.has("events are not followed") })
	if h := e.Health(t.Context()); h.OK || !strings.Contains(h.Reasons[0], "events are not followed: ") {
		t.Errorf("%+v", h)
	}
	label := `{netns="` + ns.Path() + `"}`
	eventually(t, e, map[string]float64{"spoor_conntrack_following" + label: 1, "spoor_conntrack_event_losses_total" + label: 1})
	create(t, ns, 1)
	eventually(t, e, map[string]float64{`spoor_conntrack_new_total{netns="` + ns.Path() + `",protocol="udp"}`: 1})
	if h := e.Health(t.Context()); !h.OK {
		t.Errorf("%+v", h)
	}
}

// TestSameNamesAndTypesAsNodeExporter: compared with the program itself, where it is installed.
func TestSameNamesAndTypesAsNodeExporter(t *testing.T) {
	nstest.NeedTool(t, "prometheus-node-exporter", "curl")
	ns := tracked(t)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	cmd := ns.Command(ctx, "prometheus-node-exporter", "--collector.disable-defaults", "--collector.conntrack", "--web.listen-address=127.0.0.1:9100")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { cancel(); cmd.Wait() }()
	var text string
	nstest.Wait(t, "node_exporter", func() bool {
		out, _, code := ns.Run(t, "curl", "-s", "http://127.0.0.1:9100/metrics")
		text = out
		return code == 0
	})
	recorded, err := os.ReadFile("testdata/exposition.txt")
	if err != nil {
		t.Fatal(err)
	}
	lines := regexp.MustCompile(`(?m)^# TYPE node_nf_conntrack_.*$`)
	theirs, ours := lines.FindAllString(text, -1), lines.FindAllString(string(recorded), -1)
	if len(theirs) == 0 || strings.Join(theirs, "\n") != strings.Join(ours, "\n") {
		t.Errorf("theirs:\n%s\nours:\n%s", strings.Join(theirs, "\n"), strings.Join(ours, "\n"))
	}
}

// TestWithoutPrivilegeThereIsNoExport: which a child without any finds out.
func TestWithoutPrivilegeThereIsNoExport(t *testing.T) {
	const child = "SPOOR_METRICS_UNPRIVILEGED"
	if os.Getenv(child) != "" {
		e, err := Open(t.Context(), &Options{Events: true})
		if err == nil {
			e.Close()
		}
		fmt.Printf("refused: %v\n", err)
		return
	}
	nstest.NeedRoot(t)
	nstest.NeedTool(t, "setpriv")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("setpriv", "--bounding-set=-all", "--inh-caps=-all", "--reuid=65534", "--regid=65534", "--clear-groups",
		"/proc/self/fd/3", "-test.run", t.Name())
	f, err := os.Open(self)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	cmd.ExtraFiles, cmd.Dir, cmd.Env = []*os.File{f}, "/", append(os.Environ(), child+"=1")
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "refused: ") || !strings.Contains(string(out), "operation not permitted") {
		t.Errorf("%v: %s", err, out)
	}
}
