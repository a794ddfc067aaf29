//go:build linux

package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/spoor-project/spoor/conntrack"
	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/nstest"
)

// server is a spoor serve that is running, in a namespace whose connections are tracked.
type server struct {
	t    *testing.T
	ns   *nstest.NS
	cmd  *nstest.Cmd
	addr string

	mu  sync.Mutex
	log bytes.Buffer
}

func trackedNS(t *testing.T) *nstest.NS {
	t.Helper()
	nstest.NeedTool(t, "nft")
	ns := nstest.New(t)
	ns.LoopbackUp()
	ns.MustRun(t, "nft", "table inet t { chain c { type filter hook input priority 0; ct state new accept; }; }")
	return ns
}

// startServer starts the program, by the words before it if there are some, and waits until it listens.
func startServer(t *testing.T, ns *nstest.NS, before []string, args ...string) *server {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	argv := append(append(before, nstest.BuildCommand(t, "./cmd/spoor"), "serve", "--listen", "127.0.0.1:0"), args...)
	s := &server{t: t, ns: ns, cmd: ns.Command(ctx, argv[0], argv[1:]...)}
	r, w := io.Pipe()
	s.cmd.Stderr = w
	s.cmd.WaitDelay = time.Second
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	listening := regexp.MustCompile(`msg"?[=:]"?listening.*address"?[=:]"?(127\.0\.0\.1:\d+)`)
	found := make(chan string, 1)
	go func() {
		for in := bufio.NewScanner(r); in.Scan(); {
			s.mu.Lock()
			s.log.WriteString(in.Text() + "\n")
			s.mu.Unlock()
			if m := listening.FindStringSubmatch(in.Text()); m != nil {
				found <- m[1]
			}
		}
	}()
	t.Cleanup(func() {
		cancel()
		s.cmd.Wait()
		w.Close()
	})
	select {
	case s.addr = <-found:
	case <-ctx.Done():
		t.Fatalf("it does not listen: %s", s.logged())
	}
	return s
}

func (s *server) logged() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.String()
}

// client asks from inside the namespace.
func (s *server) client() *http.Client {
	dial := func(ctx context.Context, network, addr string) (conn net.Conn, err error) {
		s.ns.Do(func() { conn, err = net.DialTimeout(network, addr, 5*time.Second) })
		return conn, err
	}
	return &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}
}

func (s *server) get(path string) (body string, status int, header http.Header) {
	s.t.Helper()
	return get(s.t, s.client(), "http://"+s.addr+path)
}

func get(t *testing.T, c *http.Client, url string) (body string, status int, header http.Header) {
	t.Helper()
	r, err := c.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text), r.StatusCode, r.Header
}

// ends tells it to end and returns its exit code.
func (s *server) ends(with syscall.Signal) int {
	s.t.Helper()
	if err := s.cmd.Process.Signal(with); err != nil {
		s.t.Fatal(err)
	}
	s.cmd.Wait()
	return nstest.ExitCode(s.cmd.ProcessState)
}

func TestServePages(t *testing.T) {
	s := startServer(t, trackedNS(t), nil, "--log-format", "json", "--top", "src=3", "--top", "dport=2")
	text, status, header := s.get("/metrics")
	for _, want := range []string{"\nnode_nf_conntrack_entries ", "\nspoor_conntrack_up 1\n", "\nspoor_build_info{", "\nprocess_resident_memory_bytes ", "\ngo_goroutines "} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if status != 200 || !strings.HasPrefix(header.Get("Content-Type"), "text/plain; version=0.0.4") {
		t.Errorf("%d %s", status, header)
	}
	text, status, header = s.get("/healthz")
	var health struct {
		OK      bool
		Reasons []string
	}
	if err := json.Unmarshal([]byte(text), &health); err != nil || status != 200 || !health.OK || health.Reasons == nil || header.Get("Content-Type") != "application/json" {
		t.Errorf("%v %d %s", err, status, text)
	}
	if text, status, _ = s.get("/"); status != 200 || !strings.Contains(text, `<a href="/metrics">`) || !strings.Contains(text, "fine") {
		t.Errorf("%d %s", status, text)
	}
	if _, status, _ = s.get("/etc/passwd"); status != 404 {
		t.Errorf("another page: %d", status)
	}
	r, err := s.client().Post("http://"+s.addr+"/metrics", "text/plain", strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	r.Body.Close()
	if r.StatusCode != 405 {
		t.Errorf("POST: %d", r.StatusCode)
	}
	if code := s.ends(syscall.SIGTERM); code != exitOK {
		t.Errorf("exit %d: %s", code, s.logged())
	}
	for line := range strings.Lines(s.logged()) {
		var o struct{ Time, Level, Msg string }
		if err := json.Unmarshal([]byte(line), &o); err != nil || o.Msg == "" {
			t.Errorf("%v: %s", err, line)
		}
	}
}

// TestServeUnhealthy: 503, with the reason.
func TestServeUnhealthy(t *testing.T) {
	gone := filepath.Join(t.TempDir(), "gone")
	s := startServer(t, trackedNS(t), nil, "--netns", gone, "--events", "off", "--count-interval", "0")
	text, status, _ := s.get("/healthz")
	if status != 503 || !strings.Contains(text, `"ok":false`) || !strings.Contains(text, "namespace "+gone+": file does not exist") {
		t.Errorf("%d %s", status, text)
	}
	if text, _, _ := s.get("/"); !strings.Contains(text, "amiss") || !strings.Contains(text, "file does not exist") {
		t.Error(text)
	}
	text, status, _ = s.get("/metrics")
	if status != 200 || !strings.Contains(text, `spoor_conntrack_up{netns="`+gone+`"} 0`) || strings.Contains(text, "spoor_conntrack_count") || strings.Contains(text, "spoor_conntrack_new") {
		t.Errorf("%d %s", status, text)
	}
}

// TestServeAllNamespaces: its own, and those that have a name.
func TestServeAllNamespaces(t *testing.T) {
	nstest.NeedTool(t, "unshare", "ip")
	// The names are in a mount namespace of the program's own.
	before := []string{"unshare", "--mount", "sh", "-c", `set -e; mount --make-rprivate /; mkdir -p /run/netns; mount -t tmpfs none /run/netns
ip netns add blue; ip netns exec blue nft 'table inet t { chain c { type filter hook input priority 0; ct state new accept; }; }'
exec "$@"`, "sh"}
	s := startServer(t, trackedNS(t), before, "--netns", "all", "--count-interval", "1s")
	text, _, _ := s.get("/metrics")
	for _, want := range []string{"\nspoor_conntrack_namespaces 2\n", "\nspoor_conntrack_up 1\n", "\nspoor_conntrack_up{netns=\"blue\"} 1\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	// It vanishes, and the server goes on.
	s.ns.MustRun(t, "nsenter", "--mount=/proc/"+fmt.Sprint(s.cmd.Process.Pid)+"/ns/mnt", "ip", "netns", "del", "blue")
	nstest.Wait(t, "the end of the namespace", func() bool {
		text, _, _ := s.get("/metrics")
		return strings.Contains(text, "\nspoor_conntrack_namespaces 1\n") && !strings.Contains(text, "blue")
	})
	if text, status, _ := s.get("/healthz"); status != 200 {
		t.Error(text)
	}
}

// TestServeSurvivesClients that hang, do not read, or are many.
func TestServeSurvivesClients(t *testing.T) {
	s := startServer(t, trackedNS(t), nil)
	var hung []net.Conn
	s.ns.Do(func() {
		for i := range mostConnections + 20 {
			c, err := net.Dial("tcp", s.addr)
			if err != nil {
				t.Errorf("connection %d: %v", i, err)
				return
			}
			if i%2 == 0 {
				io.WriteString(c, "GET /metrics HTTP/1.1\r\nHost: x\r\n")
			}
			hung = append(hung, c)
		}
	})
	defer func() {
		for _, c := range hung {
			c.Close()
		}
	}()
	// They are cut off when their patience, or the server's, has ended.
	if text, status, _ := s.get("/metrics"); status != 200 || !strings.Contains(text, "spoor_conntrack_up 1") {
		t.Errorf("%d", status)
	}
	if code := s.ends(syscall.SIGINT); code != exitOK {
		t.Errorf("exit %d: %s", code, s.logged())
	}
}

// TestServeTellsSystemd: that it is ready, and that it ends.
func TestServeTellsSystemd(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	systemd, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer systemd.Close()
	systemd.SetReadDeadline(time.Now().Add(20 * time.Second))
	s := startServer(t, trackedNS(t), []string{"env", "NOTIFY_SOCKET=" + path})
	next := func() string {
		b := make([]byte, 100)
		n, err := systemd.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		return string(b[:n])
	}
	if got := next(); got != "READY=1" {
		t.Error(got)
	}
	s.ends(syscall.SIGTERM)
	if got := next(); got != "STOPPING=1" {
		t.Error(got)
	}
}

// TestUnits: systemd understands them.
func TestUnits(t *testing.T) {
	nstest.NeedTool(t, "systemd-analyze")
	for _, name := range []string{"spoor-serve.service", "spoor-guard.service"} {
		text, err := os.ReadFile("../../packaging/systemd/" + name)
		if err != nil {
			t.Fatal(err)
		}
		unit := filepath.Join(t.TempDir(), name)
		own := strings.Replace(string(text), "/usr/local/sbin/spoor", nstest.BuildCommand(t, "./cmd/spoor"), 1)
		if err := os.WriteFile(unit, []byte(own), 0o644); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command("systemd-analyze", "verify", "--man=no", unit).CombinedOutput()
		if err != nil || bytes.Contains(out, []byte(name)) {
			t.Errorf("%v: %s", err, out)
		}
	}
}

func TestServeCommandLinesThatMakeNoSense(t *testing.T) {
	for line, want := range map[string]string{
		"tcp and dport 80":               "serve takes no query",
		"--listen 9820":                  "expected an address and a port",
		"--count-interval soon":          "expected a time from 1s on, or 0",
		"--count-interval 10ms":          "expected a time from 1s on, or 0",
		"--count-interval -5s":           "expected a time from 1s on, or 0",
		"--top src":                      "--top src: expected src= and a number from 1 to 100",
		"--top src=0":                    "a number from 1 to 100",
		"--top source=5":                 `there is no field "source": choose from family,`,
		"--top src=5 --top src=6":        "src is there already",
		"--top src=5 --count-interval 0": "needs the flows to be counted",
		"--events maybe":                 "choose from on and off",
		"--log-format xml":               "choose from text and json",
		"--netns ..":                     "not a network namespace",
	} {
		var out, errs bytes.Buffer
		env := &Env{Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errs, Getenv: func(string) string { return "" }}
		if code := Main(append([]string{"serve"}, strings.Fields(line)...), env); code != exitUsage || !strings.Contains(errs.String(), want) {
			t.Errorf("spoor serve %s: exit %d, %s", line, code, errs.String())
		}
	}
}

func TestServeCannotListen(t *testing.T) {
	nstest.NeedRoot(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for address, want := range map[string]string{taken.Addr().String(): "address already in use", "127.0.0.1:99999": "invalid port", "192.0.2.1:1": "cannot assign"} {
		var out, errs bytes.Buffer
		env := &Env{Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errs, Getenv: func(string) string { return "" }}
		if code := Main([]string{"serve", "--listen", address}, env); code != exitFailed || !strings.Contains(errs.String(), want) {
			t.Errorf("%s: exit %d, %s", address, code, errs.String())
		}
	}
}

// prometheus is a real one, inside a namespace.
type prometheus struct {
	t      *testing.T
	client *http.Client
}

// startPrometheus has one scrape a server every second, with our alert rules.
func startPrometheus(t *testing.T, s *server) *prometheus {
	t.Helper()
	nstest.NeedTool(t, "prometheus")
	dir := t.TempDir()
	rules, err := filepath.Abs("../../packaging/prometheus/alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	config := fmt.Sprintf("global: {scrape_interval: 1s, evaluation_interval: 1s}\nrule_files: [%q]\nscrape_configs:\n  - job_name: spoor\n    static_configs: [{targets: [%q]}]\n", rules, s.addr)
	if err := os.WriteFile(dir+"/prometheus.yml", []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	cmd := s.ns.Command(ctx, "prometheus", "--config.file="+dir+"/prometheus.yml", "--storage.tsdb.path="+dir+"/data", "--web.listen-address=127.0.0.1:9090")
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		cmd.Wait()
		if t.Failed() {
			t.Logf("%s", log.Bytes())
		}
	})
	p := &prometheus{t, s.client()}
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		if r, err := p.client.Get("http://127.0.0.1:9090/-/ready"); err == nil {
			r.Body.Close()
			if r.StatusCode == 200 {
				return p
			}
		}
		if time.Now().After(end) {
			t.Fatal("Prometheus does not become ready")
		}
	}
}

// query returns the values of an instant query, each behind the labels that distinguish it.
func (p *prometheus) query(expr string) []string {
	p.t.Helper()
	text, status, _ := get(p.t, p.client, "http://127.0.0.1:9090/api/v1/query?query="+url.QueryEscape(expr))
	var answer struct {
		Data struct {
			Result []struct {
				Value [2]any
			}
		}
	}
	if err := json.Unmarshal([]byte(text), &answer); err != nil || status != 200 {
		p.t.Fatalf("%s: %v %d %s", expr, err, status, text)
	}
	var values []string
	for _, r := range answer.Data.Result {
		values = append(values, fmt.Sprint(r.Value[1]))
	}
	return values
}

// TestPrometheusScrapes: a real one, of real traffic.
func TestPrometheusScrapes(t *testing.T) {
	s := startServer(t, trackedNS(t), nil, "--count-interval", "1s", "--top", "dport=2")
	p := startPrometheus(t, s)
	scraped := func(expr string, want ...string) {
		t.Helper()
		var got []string
		for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
			if got = p.query(expr); strings.Join(got, " ") == strings.Join(want, " ") {
				return
			}
		}
		t.Errorf("%s is %v, want %v", expr, got, want)
	}
	scraped(`up{job="spoor"}`, "1")
	scraped(`spoor_conntrack_new_total{protocol="udp",netns=""}`, "0")
	here := netip.MustParseAddr("127.0.0.1")
	for port := range uint16(5) {
		nstest.Send(t, s.ns, netip.AddrPortFrom(here, 5000+port), netip.AddrPortFrom(here, 9999), "nobody answers")
	}
	conn := nstest.Dial(t, s.ns, "tcp", netip.AddrPort{}, nstest.ServeEcho(t, s.ns, "tcp", "127.0.0.1:7777"))
	defer conn.Close()
	scraped(`spoor_conntrack_new_total{protocol="udp"}`, "5")
	scraped(`spoor_conntrack_entries{family="ipv4",protocol="udp",state="UNREPLIED"}`, "5")
	scraped(`spoor_conntrack_top_entries{by="dport",value="9999"}`, "5")
	scraped(`spoor_conntrack_entries{protocol="tcp",state="ESTABLISHED"} >= bool 1`, "1")
	scraped(`increase(spoor_conntrack_new_total{protocol="udp"}[1m]) > bool 4`, "1")
	c, err := conntrack.Dial(&conntrack.Options{NetNS: s.ns.Path()})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for port := range uint16(5) {
		o := flow.Tuple{Proto: flow.UDP, Src: here, Dst: here, SrcPort: 5000 + port, DstPort: 9999}
		if err := c.Delete(t.Context(), &flow.Flow{Orig: o}); err != nil {
			t.Fatal(err)
		}
	}
	scraped(`spoor_conntrack_destroyed_total{protocol="udp"}`, "5")
	scraped(`count(spoor_conntrack_entries{protocol="udp"})`)
	text, _, _ := get(t, p.client, "http://127.0.0.1:9090/api/v1/rules")
	if strings.Count(text, `"health":"ok"`) < 12 || strings.Contains(text, `"health":"err"`) || strings.Contains(text, `"state":"firing"`) {
		t.Error(text)
	}
	if code := s.ends(syscall.SIGTERM); code != exitOK {
		t.Errorf("exit %d", code)
	}
	scraped(`ALERTS{alertname="SpoorDown",alertstate="pending"}`, "1")
}

// FuzzServeOptions: whatever is asked for, it is refused as a command line that makes no sense, or within the limits.
func FuzzServeOptions(f *testing.F) {
	f.Add("all", "src=20", "15s", "on")
	f.Add("blue/../..", "dport=100", "0", "off")
	f.Add("\x00", "=", "-1s", "")
	f.Add("12", "src=1e3", "1h1ns", "ON")
	f.Fuzz(func(t *testing.T, netns, top, interval, events string) {
		c := &call{env: &Env{Stderr: io.Discard, Getenv: func(string) string { return "" }}, cmd: &serveCommand,
			given: map[string][]string{"netns": {netns}, "top": {top}, "count-interval": {interval}, "events": {events}}}
		opts, err := c.exported()
		var usage *usageError
		if err != nil {
			if !errors.As(err, &usage) {
				t.Errorf("%q %q %q %q: %v", netns, top, interval, events, err)
			}
			return
		}
		if opts.CountInterval < time.Second || len(opts.Top) != 1 || opts.Top[0].N < 1 || netns == "" || netns == ".." || opts.Events != (events == "on") {
			t.Errorf("%q %q %q %q: %+v", netns, top, interval, events, opts)
		}
	})
}
