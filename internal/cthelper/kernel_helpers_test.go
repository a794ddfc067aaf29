//go:build linux

package cthelper

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spoor-project/spoor/conntrack"
	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/nstest"
)

// These tests run helpers as the daemon does: registered in the kernel, attached to connections by rules. Registrations belong
// to no namespace, so one test runs at a time.

// step is something that one end says and the other end hears.
type step struct {
	server bool // says it
	say    string
	hear   string // "" is what was said
}

func client(say string) step { return step{say: say} }
func server(say string) step { return step{server: true, say: say} }
func (s step) heard(as string) step {
	s.hear = as
	return s
}

// scene is a conversation through a router that runs a helper.
//
//	client 10.1.0.2 ── router 10.1.0.1 | 10.2.0.1 ── server 10.2.0.2     and the same with fd01:: and fd02::
type scene struct {
	daemon    int // process that runs the helper; 0: none
	name      string
	helper    string
	transport flow.Proto
	six       bool
	port      uint16
	nat       string // "", "snat": the client is hidden behind 10.2.0.1, "dnat": the server is published at 10.1.0.1
	max       uint32 // expectations that the flow may have; 0: as many as usual
	// group is an address of multicast that the client sends to: the helper runs there.
	group string
	steps []step
	// answer is what somebody else then sends to the client.
	answer string
	want   []string
	// timeout is that of the flow afterwards, in seconds, if it is not the usual one.
	timeout int
	// original is what conntrackd of conntrack-tools expects instead, and why that is so.
	original []string
	why      string
	// data is a connection that must be an expected one afterwards: to this end, at that port, as the other end knows it.
	data *data
}

type data struct {
	toClient bool
	udp      bool
	listen   string // where it really is
	dial     string // what the other end was told
}

const (
	clientAddr  = "10.1.0.2:40000"
	clientAddr6 = "[fd01::2]:40000"
)

// rpcGetPort asks for the port of program 100003 over TCP.
const rpcGetPort = "\x0b\xad\xca\xfe\x00\x00\x00\x00\x00\x00\x00\x02\x00\x01\x86\xa0\x00\x00\x00\x02\x00\x00\x00\x03" +
	"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x86\xa3\x00\x00\x00\x03\x00\x00\x00\x06\x00\x00\x00\x00"
const rpcPort2049 = "\x0b\xad\xca\xfe\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x08\x01"

var scenes = []scene{
	{name: "rpc", helper: "rpc", transport: flow.UDP, port: 111, steps: []step{client(rpcGetPort), server(rpcPort2049)},
		want: []string{"tcp 10.1.0.2 -> 10.2.0.2:2049 permanent"}, data: &data{listen: "10.2.0.2:2049", dial: "10.2.0.2:2049"}},
	{name: "rpc over IPv6 and TCP", helper: "rpc", transport: flow.TCP, six: true, port: 111,
		steps: []step{client("\x80\x00\x00\x38" + rpcGetPort), server("\x80\x00\x00\x1c" + rpcPort2049)},
		want:  []string{"tcp [fd01::2] -> [fd02::2]:2049 permanent"}, data: &data{listen: "[fd02::2]:2049", dial: "[fd02::2]:2049"}},
	{name: "rpc, published server", helper: "rpc", transport: flow.UDP, port: 111, nat: "dnat", steps: []step{client(rpcGetPort), server(rpcPort2049)},
		want: []string{"tcp 10.1.0.2 -> 10.1.0.1:2049 permanent nat original 10.2.0.2:2049"}, data: &data{listen: "10.2.0.2:2049", dial: "10.1.0.1:2049"}},
	{name: "tns", helper: "tns", transport: flow.TCP, port: 1521, steps: []step{
		client("\x00\x0a\x00\x00\x01\x00\x00\x00\x01\x36"),
		server("\x00\x3d\x00\x00\x05\x00\x00\x00\x00\x33(ADDRESS=(PROTOCOL=tcp)(HOST=10.2.0.2)(PORT=9999))ab")},
		want: []string{"tcp 10.1.0.2 -> 10.2.0.2:9999"}, data: &data{listen: "10.2.0.2:9999", dial: "10.2.0.2:9999"}},
	{name: "tns, published server", helper: "tns", transport: flow.TCP, port: 1521, nat: "dnat", steps: []step{
		client("\x00\x0a\x00\x00\x01\x00\x00\x00\x01\x36"),
		server("\x00\x3d\x12\x34\x05\x00\x56\x78\x00\x33(ADDRESS=(PROTOCOL=tcp)(HOST=10.2.0.2)(PORT=9999))ab").
			heard("\x00\x3d\x00\x00\x05\x00\x00\x00\x00\x33(ADDRESS=(PROTOCOL=tcp)(HOST=10.1.0.1)(PORT=9999))ab"),
		client("more"), server("and more")},
		want: []string{"tcp 10.1.0.2 -> 10.1.0.1:9999 nat original 10.2.0.2:9999"}, data: &data{listen: "10.2.0.2:9999", dial: "10.1.0.1:9999"}},
	{name: "tns, text of its own", helper: "tns", transport: flow.TCP, port: 1521, steps: []step{
		client("\x00\x0a\x00\x00\x01\x00\x00\x00\x01\x36"), server("\x00\x0a\x00\x00\x05\x00\x00\x00\x00\x00"),
		server("\x00\x3d\x00\x00\x06\x00\x00\x00\x00\x40(ADDRESS=(PROTOCOL=tcp)(HOST=10.2.0.2)(PORT=9999))ab")},
		want:     []string{"tcp 10.1.0.2 -> 10.2.0.2:9999"},
		original: []string{}, why: "it does not find the text behind an empty REDIRECT"},
	{name: "ftp, half a line", helper: "ftp", transport: flow.TCP, port: 21, steps: []step{client("USER a\r\n"), server("230 ok\r\n"), client("PORT 10,1,0,"), client("2,7,208\r\n")}},
	{name: "ftp, active", helper: "ftp", transport: flow.TCP, port: 21, steps: []step{
		server("220 ready\r\n"), client("USER a\r\n"), server("230 ok\r\n"), client("PORT 10,1,0,2,7,208\r\n"), server("200 ok\r\n")},
		want: []string{"tcp 10.2.0.2 -> 10.1.0.2:2000"}, data: &data{toClient: true, listen: "10.1.0.2:2000", dial: "10.1.0.2:2000"}},
	{name: "ftp, EPRT", helper: "ftp", transport: flow.TCP, port: 21, steps: []step{
		server("220 ready\r\n"), client("USER a\r\n"), server("230 ok\r\n"), client("EPRT |1|10.1.0.2|2000|\r\n"), server("200 ok\r\n")},
		want: []string{"tcp 10.2.0.2 -> 10.1.0.2:2000"}},
	{name: "ftp, passive", helper: "ftp", transport: flow.TCP, port: 21, steps: []step{
		server("220 ready\r\n"), client("USER a\r\n"), server("230 ok\r\n"), client("PASV\r\n"), server("227 Entering Passive Mode (10,2,0,2,7,208).\r\n")},
		want: []string{"tcp 10.1.0.2 -> 10.2.0.2:2000"}, data: &data{listen: "10.2.0.2:2000", dial: "10.2.0.2:2000"}},
	{name: "ftp, first line", helper: "ftp", transport: flow.TCP, port: 21, steps: []step{client("PORT 10,1,0,2,7,208\r\n"), server("200 ok\r\n")}},
	{name: "ftp, third host", helper: "ftp", transport: flow.TCP, port: 21, steps: []step{client("USER a\r\n"), server("230 ok\r\n"), client("PORT 10,9,9,9,7,208\r\n")}},
	{name: "ftp, EPSV", helper: "ftp", transport: flow.TCP, port: 21, steps: []step{
		server("220 ready\r\n"), client("EPSV\r\n"), server("229 Entering Extended Passive Mode (|||2000|)\r\n")}},
	{name: "ftp over IPv6, EPRT", helper: "ftp", transport: flow.TCP, six: true, port: 21, steps: []step{
		server("220 ready\r\n"), client("USER a\r\n"), server("230 ok\r\n"), client("EPRT |2|fd01::2|2000|\r\n"), server("200 ok\r\n")}},
	{name: "ftp, hidden client", helper: "ftp", transport: flow.TCP, port: 21, nat: "snat", steps: []step{
		server("220 ready\r\n"), client("USER a\r\n"), server("230 ok\r\n"),
		client("PORT 10,1,0,2,7,208\r\n").heard("PORT 10,2,0,1,7,208\r\n"), server("200 ok\r\n"), client("STOR a\r\n")},
		want: []string{"tcp 10.2.0.2 -> 10.2.0.1:2000 nat reply 10.1.0.2:2000"}, data: &data{toClient: true, listen: "10.1.0.2:2000", dial: "10.2.0.1:2000"}},
	{name: "ftp, behind a longer address", helper: "ftp", transport: flow.TCP, port: 21, nat: "snat-long", steps: []step{
		server("220 ready\r\n"), client("USER a\r\n"), server("230 ok\r\n"),
		client("PORT 10,1,0,2,7,208\r\n").heard("PORT 10,2,0,101,7,208\r\n"), server("200 ok\r\n"), client("STOR a\r\n"), server("150 go\r\n"), client("QUIT\r\n")},
		want: []string{"tcp 10.2.0.2 -> 10.2.0.101:2000 nat reply 10.1.0.2:2000"}, data: &data{toClient: true, listen: "10.1.0.2:2000", dial: "10.2.0.101:2000"}},
	{name: "ftp, published server", helper: "ftp", transport: flow.TCP, port: 21, nat: "dnat", steps: []step{
		server("220 ready\r\n"), client("PASV\r\n"),
		server("227 Entering Passive Mode (10,2,0,2,7,208).\r\n").heard("227 Entering Passive Mode (10,1,0,1,7,208).\r\n"), client("RETR a\r\n"), server("150 go\r\n")},
		want: []string{"tcp 10.1.0.2 -> 10.1.0.1:2000 nat original 10.2.0.2:2000"}, data: &data{listen: "10.2.0.2:2000", dial: "10.1.0.1:2000"}},
	{name: "tftp", helper: "tftp", transport: flow.UDP, port: 69, steps: []step{client("\x00\x01a\x00octet\x00")},
		want: []string{"udp 10.2.0.2 -> 10.1.0.2:40000"}, data: &data{toClient: true, udp: true, dial: clientAddr}},
	{name: "tftp over IPv6", helper: "tftp", transport: flow.UDP, six: true, port: 69, steps: []step{client("\x00\x02a\x00octet\x00")},
		want: []string{"udp [fd02::2] -> [fd01::2]:40000"}},
	{name: "tftp, hidden client", helper: "tftp", transport: flow.UDP, port: 69, nat: "snat", steps: []step{client("\x00\x01a\x00octet\x00")},
		want: []string{"udp 10.2.0.2 -> 10.2.0.1:40000 nat reply 10.1.0.2:40000"}, data: &data{toClient: true, udp: true, dial: "10.2.0.1:40000"}},
	{name: "amanda", helper: "amanda", transport: flow.UDP, port: 10080, steps: []step{client("REQ\n"), server("CONNECT DATA 50001 MESG 50002 INDEX 50003\nOPTIONS ;\n")},
		want:     []string{"tcp 10.1.0.2 -> 10.2.0.2:50001", "tcp 10.1.0.2 -> 10.2.0.2:50002", "tcp 10.1.0.2 -> 10.2.0.2:50003"},
		original: []string{"tcp 10.1.0.2 -> 10.2.0.2:40000"}, why: "it takes the port of the flow for the announced one, and keeps one of three"},
	{name: "amanda, four streams", helper: "amanda", transport: flow.UDP, port: 10080, steps: []step{client("REQ\n"), server("CONNECT DATA 50001 MESG 50002 INDEX 50003 STATE 50004\n")},
		want:     []string{"tcp 10.1.0.2 -> 10.2.0.2:50001", "tcp 10.1.0.2 -> 10.2.0.2:50002", "tcp 10.1.0.2 -> 10.2.0.2:50003", "tcp 10.1.0.2 -> 10.2.0.2:50004"},
		original: []string{"tcp 10.1.0.2 -> 10.2.0.2:40000"}, why: "it does not know the fourth"},
	{name: "amanda, three at most", helper: "amanda", transport: flow.UDP, port: 10080, max: 3, steps: []step{client("REQ\n"), server("CONNECT DATA 50001 MESG 50002 INDEX 50003 STATE 50004\n")},
		want:     []string{"tcp 10.1.0.2 -> 10.2.0.2:50001", "tcp 10.1.0.2 -> 10.2.0.2:50002", "tcp 10.1.0.2 -> 10.2.0.2:50003"},
		original: []string{"tcp 10.1.0.2 -> 10.2.0.2:40000"}, why: "the kernel gives up the oldest"},
	{name: "amanda, acknowledgement", helper: "amanda", transport: flow.UDP, port: 10080, steps: []step{client("REQ\n"), server("ACK\n")}, timeout: 300},
	{name: "sane", helper: "sane", transport: flow.TCP, port: 6566, steps: []step{
		client("\x00\x00\x00\x07\x00\x00\x00\x00"), server("\x00\x00\x00\x00\x00\x00\xc3\xcb\x00\x00\x12\x34")},
		want: []string{"tcp 10.1.0.2 -> 10.2.0.2:50123"}, data: &data{listen: "10.2.0.2:50123", dial: "10.2.0.2:50123"}},
	{name: "ssdp, search", helper: "ssdp", transport: flow.UDP, port: 1900, group: "239.255.255.250", steps: []step{client("M-SEARCH * HTTP/1.1\r\n\r\n")},
		want: []string{"udp * -> 10.1.0.2:40000 permanent"}},
	{name: "ssdp, answer", helper: "ssdp", transport: flow.UDP, port: 1900, group: "239.255.255.250", steps: []step{client("M-SEARCH * HTTP/1.1\r\n\r\n")},
		answer: "HTTP/1.1 200 OK\r\nLocation: http://10.1.0.1:49152/desc.xml\r\nST: upnp:rootdevice\r\n\r\n",
		want:   []string{"tcp * -> 10.1.0.1:49152 permanent", "udp * -> 10.1.0.2:40000 permanent"}},
	{name: "ssdp, search over IPv6", helper: "ssdp", transport: flow.UDP, six: true, port: 1900, group: "ff05::c", steps: []step{client("M-SEARCH * HTTP/1.1\r\n\r\n")},
		want: []string{"udp * -> [fd01::2]:40000 permanent"}},
	{name: "ssdp, subscription", helper: "ssdp", transport: flow.TCP, port: 49152, steps: []step{
		client("SUBSCRIBE /event HTTP/1.1\r\nHOST: 10.2.0.2:49152\r\nCALLBACK: <http://10.1.0.2:5004/cb>\r\nNT: upnp:event\r\n\r\n")},
		want: []string{"tcp 10.2.0.2 -> 10.1.0.2:5004"}, data: &data{toClient: true, listen: "10.1.0.2:5004", dial: "10.1.0.2:5004"}},
	{name: "ssdp, subscription over IPv6", helper: "ssdp", transport: flow.TCP, six: true, port: 49152, steps: []step{
		client("SUBSCRIBE /event HTTP/1.1\r\nCALLBACK: <http://[fd01::2]:5004/cb>\r\n\r\n")},
		want:     []string{"tcp [fd02::2] -> [fd01::2]:5004"},
		original: []string{"tcp [fd02::2] -> [fd01::2]:80"}, why: "it does not find the port behind an address of IPv6"},
	{name: "ssdp, hidden subscriber", helper: "ssdp", transport: flow.TCP, port: 49152, nat: "snat-long", steps: []step{
		client("SUBSCRIBE /event HTTP/1.1\r\nCALLBACK: <http://10.1.0.2:5004/cb>\r\n\r\n").
			heard("SUBSCRIBE /event HTTP/1.1\r\nCALLBACK: <http://10.2.0.101:5004/cb>\r\n\r\n"), server("HTTP/1.1 200 OK\r\n\r\n"), client("more")},
		want: []string{"tcp 10.2.0.2 -> 10.2.0.101:5004 nat reply 10.1.0.2:5004"}, data: &data{toClient: true, listen: "10.1.0.2:5004", dial: "10.2.0.101:5004"}},
	{name: "ssdp, event", helper: "ssdp", transport: flow.TCP, port: 49152, steps: []step{client("NOTIFY /cb HTTP/1.1\r\nHOST: 10.2.0.2:49152\r\n\r\n")},
		want: []string{"tcp 10.1.0.2 -> 10.2.0.2:49152"}},
	{name: "mdns", helper: "mdns", transport: flow.UDP, port: 5353, group: "224.0.0.251", steps: []step{client("query")},
		want: []string{"udp *:5353 -> 10.1.0.2:40000 permanent"}},
	{name: "mdns over IPv6", helper: "mdns", transport: flow.UDP, six: true, port: 5353, group: "ff02::fb", steps: []step{client("query")},
		want: []string{"udp *:5353 -> [fd01::2]:40000 permanent"}},
	{name: "slp", helper: "slp", transport: flow.UDP, port: 427, group: "239.255.255.253", steps: []step{client("query")},
		want: []string{"udp *:427 -> 10.1.0.2:40000 permanent"}},
	{name: "dhcpv6", helper: "dhcpv6", transport: flow.UDP, six: true, port: 547, group: "ff05::1:3", steps: []step{client("\x01\x10\x08\x74")},
		want: []string{"udp * -> [fd01::2]:546 permanent"}, timeout: 120},
	{name: "dhcpv6, renewal", helper: "dhcpv6", transport: flow.UDP, six: true, port: 547, group: "ff05::1:3", steps: []step{client("\x05\x10\x08\x74")},
		want: []string{"udp * -> [fd01::2]:546 permanent"}, timeout: 600},
	{name: "dhcpv6, bad type", helper: "dhcpv6", transport: flow.UDP, six: true, port: 547, group: "ff05::1:3", steps: []step{client("\xff\x10\x08\x74")}},
}

// needHelpers skips where the kernel has no user-space helpers.
func needHelpers(t testing.TB) {
	t.Helper()
	nstest.NeedRoot(t)
	nstest.NeedTool(t, "nft")
	c, err := conntrack.Dial(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, err := range c.Helpers(t.Context()) {
		switch {
		case errors.Is(err, conntrack.ErrNotSupported):
			nstest.KernelLacks(t, "CONFIG_NF_CT_NETLINK_HELPER", err.Error())
		case errors.Is(err, conntrack.ErrPermission):
			t.Skipf("not in the initial user namespace: %v", err)
		}
	}
}

func TestKernelExpectsWhatHelpersRead(t *testing.T) {
	needHelpers(t)
	for _, s := range scenes {
		t.Run(s.name, func(t *testing.T) { s.play(t, startOurs, s.want, s.data) })
	}
}

// TestKernelExpectsWhatTheOriginalReads plays the same scenes with the original's daemon. It leaves out those with translation: the
// distribution's (1.4.7) makes such expectations without their translation, and does not rewrite a packet whose length stays.
func TestKernelExpectsWhatTheOriginalReads(t *testing.T) {
	needHelpers(t)
	nstest.NeedTool(t, "conntrackd")
	for _, s := range scenes {
		if s.nat != "" {
			continue
		}
		t.Run(s.name, func(t *testing.T) {
			want := s.want
			if s.original != nil {
				want = s.original
			}
			s.play(t, startOriginal, want, nil)
		})
	}
}

// start runs a helper, for both families, in a namespace, and returns the name by which rules attach it.
type start func(t *testing.T, ns *nstest.NS, s *scene) (attach string)

func (s *scene) instances() (all []Instance) {
	for _, transport := range []flow.Proto{flow.TCP, flow.UDP} {
		pr, ok := Lookup(s.helper, transport)
		if !ok {
			continue
		}
		for _, family := range []flow.Family{flow.IPv4, flow.IPv6} {
			all = append(all, Instance{Name: s.helper, Family: family, Transport: transport, Queue: testQueue + uint16(len(all)), QueueLen: 1000,
				ExpectMax: cmp.Or(s.max, pr.ExpectMax), ExpectTimeout: pr.ExpectTimeout})
		}
	}
	return all
}

func dial(t testing.TB, ns *nstest.NS) *conntrack.Client {
	t.Helper()
	c, err := conntrack.Dial(&conntrack.Options{NetNS: ns.Path()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// unregister takes the helper away at the end of the test, when no rule refers to it any more.
func (s *scene) unregister(t testing.TB, ns *nstest.NS) {
	c := dial(t, ns)
	t.Cleanup(func() {
		ns.Run(t, "nft", "flush", "ruleset")
		if err := c.DeleteHelper(context.Background(), conntrack.HelperKey{Name: s.helper}); err != nil && !errors.Is(err, conntrack.ErrNotFound) {
			t.Errorf("unregister: %v", err)
		}
	})
}

func startOurs(t *testing.T, ns *nstest.NS, s *scene) string {
	var log lines
	var service *Service
	var err error
	c := dial(t, ns)
	ns.Do(func() { service, err = Open(&Options{Instances: s.instances(), Register: true, Kernel: c, Log: &log}) })
	if errors.Is(err, conntrack.ErrExists) || errors.Is(err, syscall.EBUSY) {
		t.Skipf("the kernel has a helper %s of its own: %v", s.helper, err)
	}
	if err != nil {
		t.Fatal(err)
	}
	s.unregister(t, ns)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- service.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if text := log.String(); strings.Contains(text, "error:") {
			t.Errorf("log:\n%s", text)
		}
	})
	return s.helper
}

func startOriginal(t *testing.T, ns *nstest.NS, s *scene) string {
	return startDaemon(t, ns, s, "conntrackd")
}

// startDaemon has a program of conntrackd's command line run the helper.
func startDaemon(t testing.TB, ns *nstest.NS, s *scene, program string) string {
	t.Helper()
	dir := t.TempDir()
	config := fmt.Sprintf("General {\n LockFile %s/lock\n LogFile %s/log\n UNIX { Path %s/ctl }\n}\nHelper {\n Setup on\n", dir, dir, dir)
	for _, in := range s.instances() {
		config += fmt.Sprintf(" Type %s %s %s {\n  QueueNum %d\n  QueueLen %d\n  Policy %s {\n   ExpectMax %d\n   ExpectTimeout %d\n  }\n }\n", in.Name,
			map[flow.Family]string{flow.IPv4: "inet", flow.IPv6: "inet6"}[in.Family], in.Transport, in.Queue, in.QueueLen, in.Name, in.ExpectMax, in.ExpectTimeout/time.Second)
	}
	file := filepath.Join(dir, "conf")
	if err := os.WriteFile(file, []byte(config+"}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cmd := ns.Command(ctx, program, "-C", file)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s.daemon = cmd.Process.Pid
	ended := make(chan struct{})
	go func() { cmd.Wait(); close(ended) }()
	s.unregister(t, ns)
	t.Cleanup(func() {
		cancel()
		<-ended
		if text, _ := os.ReadFile(filepath.Join(dir, "log")); t.Failed() {
			t.Logf("log:\n%s", text)
		}
	})
	nstest.Wait(t, "the start of "+program, func() bool {
		select {
		case <-ended:
			text, _ := os.ReadFile(filepath.Join(dir, "log"))
			t.Fatalf("%s has ended:\n%s", program, text)
		default:
		}
		text, _ := os.ReadFile(filepath.Join(dir, "log"))
		return strings.Contains(string(text), "initialization completed")
	})
	return s.helper
}

// rules attach the helper, and translate.
func (s *scene) rules(attach string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "table inet helper {\n")
	for _, family := range []string{"ip", "ip6"} {
		fmt.Fprintf(&b, " ct helper on-%s { type %q protocol %s; l3proto %s; }\n", family, attach, s.transport, family)
	}
	for _, hook := range []string{"prerouting", "output"} {
		fmt.Fprintf(&b, " chain %s {\n  type filter hook %s priority 0;\n", hook, hook)
		fmt.Fprintf(&b, "  meta nfproto ipv4 %s dport %d ct helper set \"on-ip\"\n", s.transport, s.port)
		fmt.Fprintf(&b, "  meta nfproto ipv6 %s dport %d ct helper set \"on-ip6\"\n", s.transport, s.port)
		if s.answer != "" && attach != s.helper { // otherwise the expectation attaches it
			fmt.Fprintf(&b, "  meta nfproto ipv4 %s sport %d ct helper set \"on-ip\"\n", s.transport, s.port)
		}
		fmt.Fprintf(&b, " }\n")
	}
	fmt.Fprintf(&b, "}\n")
	switch s.nat {
	case "snat":
		fmt.Fprintf(&b, "table ip nat { chain post { type nat hook postrouting priority 100; oifname eth1 snat to 10.2.0.1; }; }\n")
	case "snat-long":
		fmt.Fprintf(&b, "table ip nat { chain post { type nat hook postrouting priority 100; oifname eth1 snat to 10.2.0.101; }; }\n")
	case "dnat":
		fmt.Fprintf(&b, "table ip nat { chain pre { type nat hook prerouting priority -100; ip daddr 10.1.0.1 %s dport %d dnat to 10.2.0.2; }; }\n", s.transport, s.port)
	}
	return b.String()
}

func (s *scene) play(t *testing.T, run start, want []string, related *data) {
	r := nstest.NewRouted(t)
	ns := r.Router
	if s.group != "" {
		ns = r.Client
	}
	if s.nat == "snat-long" {
		r.Router.MustRun(t, "ip", "address", "add", "10.2.0.101/24", "dev", "eth1")
	}
	attach := run(t, ns, s)
	file := filepath.Join(t.TempDir(), "rules")
	if err := os.WriteFile(file, []byte(s.rules(attach)), 0o600); err != nil {
		t.Fatal(err)
	}
	ns.MustRun(t, "nft", "-f", file)

	to, from, listen := netip.MustParseAddr("10.2.0.2"), netip.MustParseAddrPort(clientAddr), "10.2.0.2"
	if s.six {
		to, from, listen = netip.MustParseAddr("fd02::2"), netip.MustParseAddrPort(clientAddr6), "fd02::2"
	}
	if s.nat == "dnat" {
		to = netip.MustParseAddr("10.1.0.1")
	}
	if s.group != "" {
		s.shout(t, ns, from)
	} else {
		s.converse(t, r, netip.AddrPortFrom(to, s.port), from, net.JoinHostPort(listen, fmt.Sprint(s.port)))
	}
	c := dial(t, ns)
	if s.answer != "" {
		nstest.Wait(t, "an expectation", func() bool { return len(expectations(t, c)) > 0 })
		nstest.Send(t, r.Router, netip.MustParseAddrPort("10.1.0.1:1900"), from, s.answer)
	}
	// Nobody hears what is sent to a group, so nobody tells when it has passed.
	for end := time.Now().Add(10 * time.Second); len(expectations(t, c)) < len(want) && time.Now().Before(end); {
		time.Sleep(5 * time.Millisecond)
	}
	if s.timeout != 0 {
		s.checkTimeout(t, c)
	}
	if got := expectations(t, c); !slices.Equal(got, want) {
		t.Errorf("expectations\n%s\nwant\n%s\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"), s.why)
	}
	if related != nil && !t.Failed() {
		related.connect(t, r, c)
	}
}

func (s *scene) checkTimeout(t *testing.T, c *conntrack.Client) {
	t.Helper()
	nstest.Wait(t, fmt.Sprintf("a timeout of %d s", s.timeout), func() bool {
		for f, err := range c.Flows(t.Context(), nil) {
			if err != nil {
				t.Fatal(err)
			}
			// The kernel counts down, and the machine may be slow.
			if got := int(f.Timeout / time.Second); f.Orig.DstPort == s.port && f.Orig.Proto == s.transport && got <= s.timeout && got > s.timeout-20 {
				return true
			}
		}
		return false
	})
}

func expectations(t testing.TB, c *conntrack.Client) (all []string) {
	t.Helper()
	for e, err := range c.Expects(t.Context(), flow.AnyFamily) {
		if err != nil {
			t.Fatal(err)
		}
		e.Has &^= flow.ExpectHasHelper // that of the master
		all = append(all, describeExpect(&e))
	}
	slices.Sort(all)
	return all
}

// shout sends to a group.
func (s *scene) shout(t *testing.T, ns *nstest.NS, from netip.AddrPort) {
	t.Helper()
	to := netip.AddrPortFrom(netip.MustParseAddr(s.group), s.port)
	var conn net.Conn
	var err error
	ns.Do(func() {
		if s.six {
			var dev *net.Interface
			if dev, err = net.InterfaceByName("eth0"); err != nil {
				return
			}
			// By number: names are remembered from other namespaces.
			to = netip.AddrPortFrom(to.Addr().WithZone(strconv.Itoa(dev.Index)), s.port)
		}
		conn, err = net.DialUDP("udp", net.UDPAddrFromAddrPort(from), net.UDPAddrFromAddrPort(to))
	})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, st := range s.steps {
		if _, err := io.WriteString(conn, st.say); err != nil && !errors.Is(err, syscall.EPERM) { // the packet was dropped
			t.Fatal(err)
		}
	}
}

func (s *scene) converse(t *testing.T, r nstest.Routed, to, from netip.AddrPort, listen string) {
	t.Helper()
	near, far := s.connect(t, r, to, from, listen)
	for i, st := range s.steps {
		mouth, ear := near, far
		if st.server {
			mouth, ear = far, near
		}
		if _, err := io.WriteString(mouth, st.say); err != nil {
			t.Fatalf("step %d: %v", i, err)
		}
		hear := st.hear
		if hear == "" {
			hear = st.say
		}
		got := make([]byte, len(hear))
		if _, err := io.ReadFull(ear, got); err != nil || string(got) != hear {
			t.Fatalf("step %d: heard %q, %v, want %q", i, got, err, hear)
		}
	}
}

// connect returns both ends of the conversation.
func (s *scene) connect(t *testing.T, r nstest.Routed, to, from netip.AddrPort, listen string) (near, far io.ReadWriter) {
	t.Helper()
	if s.transport == flow.UDP {
		far := &peerConn{PacketConn: listenUDP(t, r.Server, listen)}
		return nstest.Dial(t, r.Client, "udp", from, to), far
	}
	accepted := accept(t, r.Server, listen)
	near = nstest.Dial(t, r.Client, "tcp", from, to)
	return near, accepted(t)
}

// accept listens, and returns a function that waits for the connection.
func accept(t *testing.T, ns *nstest.NS, addr string) func(*testing.T) net.Conn {
	t.Helper()
	var l net.Listener
	var err error
	lc := net.ListenConfig{KeepAlive: -1}
	lc.SetMultipathTCP(false)
	ns.Do(func() { l, err = lc.Listen(t.Context(), "tcp", addr) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return func(t *testing.T) net.Conn {
		t.Helper()
		l.(*net.TCPListener).SetDeadline(time.Now().Add(20 * time.Second))
		conn, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		conn.SetDeadline(time.Now().Add(20 * time.Second))
		return conn
	}
}

// peerConn answers to whom it has heard from last.
type peerConn struct {
	net.PacketConn
	peer net.Addr
}

func (p *peerConn) Read(b []byte) (n int, err error) {
	n, p.peer, err = p.ReadFrom(b)
	return n, err
}
func (p *peerConn) Write(b []byte) (int, error) { return p.WriteTo(b, p.peer) }

// connect makes the announced connection, which the kernel must know as expected.
func (d *data) connect(t *testing.T, r nstest.Routed, c *conntrack.Client) {
	t.Helper()
	listener, dialler := r.Server, r.Client
	if d.toClient {
		listener, dialler = r.Client, r.Server
	}
	to := netip.MustParseAddrPort(d.dial)
	transport := flow.TCP
	if d.udp { // to the port of the conversation, from another one
		transport = flow.UDP
		nstest.Send(t, dialler, netip.AddrPort{}, to, "data")
	} else {
		accepted := accept(t, listener, d.listen)
		conn := nstest.Dial(t, dialler, "tcp", netip.AddrPort{}, to)
		peer := accepted(t)
		if _, err := io.WriteString(conn, "data"); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, 4)
		if _, err := io.ReadFull(peer, got); err != nil || string(got) != "data" {
			t.Fatalf("data connection: %q, %v", got, err)
		}
	}
	var expected *flow.Flow
	nstest.Wait(t, "the data connection in the table", func() bool {
		for f, err := range c.Flows(t.Context(), nil) {
			if err != nil {
				t.Fatal(err)
			}
			if f.Orig.Proto == transport && f.Orig.Dst == to.Addr() && f.Orig.DstPort == to.Port() {
				expected = &f
			}
		}
		return expected != nil
	})
	if !expected.Status.Has(flow.Expected) || !expected.Has.Has(flow.HasMaster) {
		t.Errorf("the data connection was not expected: %+v", expected)
	}
}
