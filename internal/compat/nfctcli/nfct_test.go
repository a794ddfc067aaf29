package nfctcli

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"
	"syscall"
	"testing"

	"github.com/spoor-project/spoor/conntrack"
	"github.com/spoor-project/spoor/flow"
)

const ftpBlock = "{\n\t.name = ftp,\n\t.queuenum = 0,\n\t.l3protonum = 2,\n\t.l4protonum = 6,\n\t.priv_data_len = 24,\n\t.status = disabled,\n};\n"

// The kernel of most machines has no user-space helpers, so this is what is known of them
// on one that has.
func TestHelpers(t *testing.T) {
	k := newFakeKernel()
	refusal := func(text string) result { return result{"", "nfct v1.4.9: netlink error: " + text + "\n", 1} }
	absent := refusal("No such file or directory")
	for _, step := range []struct {
		line string
		want result
	}{
		{"nfct list helper", result{}},
		{"nfct flush helper", result{}},
		{"nfct delete helper ftp", result{}}, // nothing at all is registered
		{"nfct get helper ftp", absent},
		{"nfct disable helper ftp inet tcp", refusal("Invalid argument")},
		{"nfct add helper ftp inet tcp", result{}},
		{"nfct add helper ftp inet tcp", result{}},
		{"nfct list helper", result{ftpBlock, "", 0}},
		{"nfct helper list", result{ftpBlock, "", 0}},
		{"nfct l h", result{ftpBlock, "", 0}},
		{"nfct add helper ftp inet6 tcp and more", result{}},
		{"nfct get helper ftp", result{ftpBlock, "", 0}},
		{"nfct get helper ftp inet tcp", result{ftpBlock, "", 0}},
		{"nfct get helper ftp inet", result{}}, // a family without a protocol fits nothing, and is no error
		{"nfct get helper ftp inet -o json", absent},
		{"nfct delete helper ftp inet", absent},
		{"nfct get helper ftp inet6 tcp", result{strings.Replace(ftpBlock, "l3protonum = 2", "l3protonum = 10", 1), "", 0}},
		{"nfct get helper ftp inet udp", result{}},
		{"nfct get helper nonsense", absent},
		{"nfct disable helper ftp inet tcp and more", result{}},
		{"nfct delete helper ftp inet6 tcp", result{}},
		{"nfct list helper", result{ftpBlock, "", 0}},
		{"nfct delete helper nonsense", absent},
		{"nfct delete helper ftp", result{}},
		{"nfct list helper", result{}},
		{"nfct add helper rpc inet udp", result{}},
		{"nfct add helper rpc inet tcp", result{}},
		{"nfct flush helper", result{}},
		{"nfct list helper", result{}},
	} {
		if got := k.run(t, step.line); got != step.want {
			t.Errorf("%s: %+v, want %+v", step.line, got, step.want)
		}
	}
	k.helpers = []conntrack.UserHelper{{HelperKey: conntrack.HelperKey{Name: "tns", Family: flow.IPv4, Proto: flow.TCP}, Queue: 3, Enabled: true}}
	if got := k.run(t, "nfct list helper").stdout; !strings.Contains(got, ".queuenum = 3,\n") || !strings.Contains(got, ".status = enabled,\n") {
		t.Errorf("an enabled helper: %s", got)
	}
	k.inUse["tns"] = true
	if got := k.run(t, "nfct delete helper tns"); got != refusal("Device or resource busy") {
		t.Errorf("delete of a helper in use: %+v", got)
	}
}

// The original tells what may be in the way, though only old kernels answer in the way it
// looks for.
func TestTheKernelsOwnHelperIsInTheWay(t *testing.T) {
	k := newFakeKernel()
	for errno, want := range map[syscall.Errno]string{
		syscall.EBUSY:  "nfct v1.4.9: netlink error: Device or resource busy\nMaybe unload nf_conntrack_tftp.ko first?\n",
		syscall.EEXIST: "nfct v1.4.9: netlink error: File exists\n",
	} {
		k.own = errno
		if got := k.run(t, "nfct add helper tftp inet udp"); got != (result{"", want, 1}) {
			t.Errorf("%v: %+v, want %s", errno, got, want)
		}
	}
}

func TestEveryHelperOfTheTableCanBeRegistered(t *testing.T) {
	type row struct {
		proto            flow.Proto
		expects, timeout uint32
		private          uint32
	}
	for name, rows := range map[string][]row{
		"amanda": {{flow.UDP, 3, 180, 0}}, "dhcpv6": {{flow.UDP, 1, 300, 0}}, "ftp": {{flow.TCP, 1, 300, 24}}, "mdns": {{flow.UDP, 8, 30, 0}},
		"rpc": {{flow.TCP, 1, 300, 16}, {flow.UDP, 1, 300, 16}}, "sane": {{flow.TCP, 1, 300, 4}}, "slp": {{flow.UDP, 8, 16, 0}},
		"ssdp": {{flow.TCP, 8, 300, 0}, {flow.UDP, 8, 300, 0}}, "tftp": {{flow.UDP, 1, 300, 0}}, "tns": {{flow.TCP, 1, 300, 1}},
		"sip": nil, "FTP": nil, "": nil, "ftp0123456789abcdef": nil,
	} {
		for _, proto := range []flow.Proto{flow.TCP, flow.UDP} {
			k := newFakeKernel()
			got := k.main(t, "nfct", "add", "helper", name, "inet6", proto.String())
			var want []conntrack.UserHelper
			for _, r := range rows {
				if r.proto == proto {
					want = append(want, conntrack.UserHelper{HelperKey: conntrack.HelperKey{Name: name, Family: flow.IPv6, Proto: proto}, PrivateLen: r.private,
						Classes: []conntrack.HelperClass{{Name: name, MaxExpects: r.expects, Timeout: timeoutOf(r.timeout)}}})
				}
			}
			if !reflect.DeepEqual(k.helpers, want) {
				t.Errorf("%s %v: %+v, want %+v", name, proto, k.helpers, want)
			}
			if unknown := (result{"", "nfct v1.4.9: that helper is not supported\n", 1}); want == nil && got != unknown || want != nil && got != (result{}) {
				t.Errorf("%s %v: %+v", name, proto, got)
			}
		}
	}
}

// A reply of another kind than usual is printed as far as it goes.
func TestWhatTheKernelDoesNotTellIsNotPrinted(t *testing.T) {
	k := newFakeKernel()
	k.policies = []conntrack.TimeoutPolicy{{Name: "bare", Family: flow.IPv4, Proto: flow.UDP},
		{Name: "half", Family: flow.IPv6, Proto: flow.UDP, Timeouts: conntrack.Timeouts{conntrack.UDPTimeoutReplied: timeoutOf(5), flowState(flow.UDP, 9): timeoutOf(9)}}}
	const want = ".bare = {\n\t.l3proto = 2,\n\t.l4proto = 17,\n};\n" +
		".half = {\n\t.l3proto = 10,\n\t.l4proto = 17,\n\t.policy = {\n\t\t.UNREPLIED = 0,\n\t\t.REPLIED = 5,\n\t},\n};\n"
	if got := k.run(t, "nfct list timeout"); got != (result{want, "", 0}) {
		t.Errorf("%+v, want %s", got, want)
	}
	k.policies[0].Proto, k.policies[0].Timeouts = 50, conntrack.Timeouts{}
	if got := k.run(t, "nfct get timeout bare").stdout; got != ".bare = {\n\t.l3proto = 2,\n\t.l4proto = 50,\n\t.policy = {\n\t},\n};\n" {
		t.Errorf("a protocol without states: %s", got)
	}
	k.fails = &conntrack.OpError{Op: "list", Err: syscall.EINTR}
	if got := k.run(t, "nfct list timeout"); got.exit != 1 || !strings.HasPrefix(got.stdout, ".bare") || got.stderr != "nfct v1.4.9: netlink error: Interrupted system call\n" {
		t.Errorf("a list that breaks off: %+v", got)
	}
}

func flowState(p flow.Proto, n uint8) conntrack.TimeoutState {
	return conntrack.TimeoutState(p)<<8 | conntrack.TimeoutState(n)
}

// JSON is new: these are its shapes, as docs/output.md has them.
func TestJSON(t *testing.T) {
	k := newFakeKernel()
	for _, line := range []string{"add timeout dns inet udp unreplied 5", "add timeout \xff\"\n inet6 sctp closed 4294967295", "add helper ftp inet tcp",
		"add helper rpc inet6 udp"} {
		if got := k.run(t, "nfct "+line); got != (result{}) {
			t.Fatalf("%s: %+v", line, got)
		}
	}
	const (
		dns  = `{"name":"dns","family":"ipv4","proto":"udp","protonum":17,"timeouts":{"UNREPLIED":5,"REPLIED":120},"use":1}`
		odd  = `{"name":"\ufffd\"\u000a","family":"ipv6","proto":"sctp","protonum":132,"timeouts":{"CLOSED":4294967295,"ESTABLISHED":210,"HEARTBEAT_SENT":30},"use":1}`
		udp  = `{"family":"ipv6","proto":"udp","protonum":17,"timeouts":{"UNREPLIED":30,"REPLIED":120}}`
		ftp  = `{"name":"ftp","family":"ipv4","proto":"tcp","protonum":6,"queue":0,"status":"disabled","private_len":24,"classes":[{"name":"ftp","max_expects":1,"timeout":300}]}`
		rpc  = `{"name":"rpc","family":"ipv6","proto":"udp","protonum":17,"queue":0,"status":"disabled","private_len":16,"classes":[{"name":"rpc","max_expects":1,"timeout":300}]}`
		none = "[]\n"
	)
	check := func(line, want string) {
		t.Helper()
		if got := k.run(t, line); got != (result{want, "", 0}) {
			t.Errorf("%s: %+v, want %s", line, got, want)
		}
		if !json.Valid([]byte(want)) {
			t.Errorf("%s: not JSON: %s", line, want)
		}
	}
	for _, words := range []string{"-o json list timeout", "--output json list timeout", "--output=json list timeout", "list timeout -o json",
		"list timeout --output json", "timeout list --output=json", "-o json l t"} {
		check("nfct "+words, "[\n"+dns+",\n"+odd+"\n]\n")
	}
	check("nfct get timeout dns -o json", dns+"\n")
	check("nfct default-get timeout inet6 udp -o json", udp+"\n")
	check("nfct -o json default-get timeout inet6 udp", udp+"\n")
	check("nfct list helper -o json", "[\n"+ftp+",\n"+rpc+"\n]\n")
	check("nfct get helper rpc inet6 udp -o json", rpc+"\n")
	k.policies = []conntrack.TimeoutPolicy{{Name: "g", Family: flow.IPv4, Proto: conntrack.Generic, Timeouts: conntrack.Timeouts{conntrack.GenericTimeout: timeoutOf(7)}},
		{Name: "e", Family: flow.IPv4, Proto: 50, Use: 3}}
	check("nfct list timeout -o json", "[\n"+`{"name":"g","family":"ipv4","proto":"generic","protonum":255,"timeouts":{"TIMEOUT":7},"use":0}`+",\n"+
		`{"name":"e","family":"ipv4","protonum":50,"use":3}`+"\n]\n")
	k.policies, k.helpers = nil, nil
	check("nfct list timeout -o json", none)
	check("nfct -o json list helper", none)
}

// The examples of docs/output.md are what is printed, and no member is left out.
func TestJSONIsDocumented(t *testing.T) {
	page, err := os.ReadFile("../../../docs/output.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, ok := strings.Cut(string(page), "\n## nfct\n")
	section, _, _ = strings.Cut(section, "\n## ")
	if !ok {
		t.Fatal("docs/output.md has no section about nfct")
	}
	k := newFakeKernel()
	k.run(t, "nfct add timeout dns inet udp unreplied 5")
	k.run(t, "nfct add helper ftp inet tcp")
	k.policies[0].Use = 2
	for _, line := range []string{"nfct get timeout dns -o json", "nfct get helper ftp -o json"} {
		printed := k.run(t, line).stdout
		if !strings.Contains(section, "\n"+printed) {
			t.Errorf("%s is not in docs/output.md: %s", line, printed)
		}
		var members map[string]any
		if err := json.Unmarshal([]byte(printed), &members); err != nil {
			t.Fatal(err)
		}
		for name := range members {
			if !strings.Contains(section, "`"+name+"`") {
				t.Errorf("docs/output.md does not describe %s of %s", name, line)
			}
		}
	}
}

// Our options are words that the original refuses; what it takes for something else stays
// that.
func TestOwnOptionsTakeNothingAway(t *testing.T) {
	k := newFakeKernel()
	k.policies = []conntrack.TimeoutPolicy{{Name: "-o", Family: flow.IPv4, Proto: flow.UDP}, {Name: "--output=json", Family: flow.IPv4, Proto: flow.UDP}}
	text := func(name string) result {
		return result{"." + name + " = {\n\t.l3proto = 2,\n\t.l4proto = 17,\n};\n", "", 0}
	}
	message := func(text string) result { return result{"", "nfct v1.4.9: " + text + "\n", 1} }
	usage := "\nUsage: nfct command subsystem [parameters]..."
	for line, want := range map[string]result{
		"nfct get timeout -o":                       text("-o"),
		"nfct get timeout --output=json":            text("--output=json"),
		"nfct get timeout -o json":                  message("too many arguments"),
		"nfct get helper -o json":                   message("unknown layer 3 protocol"),
		"nfct list timeout -o xml":                  message("too many arguments"),
		"nfct list timeout -o":                      message("too many arguments"),
		"nfct delete timeout x -o json":             message("too many arguments"),
		"nfct -o xml list timeout":                  message("unknown output format `xml': there is json"),
		"nfct -o json flush timeout":                message("-o is for the commands list, get and default-get"),
		"nfct -o json disable timeout":              message("-o is for the commands list, get and default-get"),
		"nfct -o":                                   {"", "Usage: nfct command subsystem [parameters]...\n", 1},
		"nfct -o json":                              {"", "Usage: nfct command subsystem [parameters]...\n", 1},
		"nfct -x list":                              message("Unknown subsystem: -x" + usage),
		"nfct list --help":                          message("Unknown subsystem: list" + usage),
		"nfct add timeout --help inet udp":          message("netlink error: Invalid argument"),
		"nfct help":                                 {"", "Usage: nfct command subsystem [parameters]...\n", 1},
		"nfct default-get timeout inet udp -o text": {"\t.l3proto = 2,\n\t.l4proto = 17,\n\t.policy = {\n\t\t.UNREPLIED = 30,\n\t\t.REPLIED = 120,\n\t},\n};\n", "", 0},
	} {
		if got := k.run(t, line); got != want {
			t.Errorf("%s: %+v, want %+v", line, got, want)
		}
	}
	for _, line := range []string{"nfct -h", "nfct --help", "nfct --help list timeout"} {
		got := k.run(t, line)
		if got.exit != 0 || got.stderr != "" || !strings.Contains(got.stdout, "\nUsage: nfct command subsystem [parameters]...\n") {
			t.Errorf("%s: %+v", line, got)
		}
		for i := range commandTable {
			for sub, a := range commandTable[i].actions {
				if a != nil && !strings.Contains(got.stdout, "  "+commandTable[i].name+" "+a.syntax(subsystem(sub))) {
					t.Errorf("the help does not have %s %s", commandTable[i].name, subsystemNames[sub])
				}
			}
		}
	}
	if got := k.run(t, "nfct --version"); got.exit != 0 || !strings.HasPrefix(got.stdout, "nfct v1.4.9 (spoor ") {
		t.Errorf("--version: %+v", got)
	}
}

func TestASocketThatCannotBeOpenedComesFirst(t *testing.T) {
	for _, line := range []string{"nfct list timeout", "nfct list timeout x", "nfct disable timeout", "nfct add helper", "nfct default-set helper"} {
		var stdout, stderr strings.Builder
		code := Main(strings.Split(line, " "), &Env{Stdout: &stdout, Stderr: &stderr, Protocols: "testdata/protocols",
			dial: func() (kernel, error) {
				return nil, &conntrack.OpError{Op: "open", Err: os.NewSyscallError("socket", syscall.EPROTONOSUPPORT)}
			}})
		if got, want := (result{stdout.String(), stderr.String(), code}), (result{"", "nfct v1.4.9: cannot open netlink: Protocol not supported\n", 255}); got != want {
			t.Errorf("%s: %+v, want %+v", line, got, want)
		}
	}
}

// Whatever is typed, the exit code and the streams fit together, and nothing that failed
// has changed anything but by the kernel's own rules.
func FuzzMain(f *testing.F) {
	for _, line := range []string{"", "list timeout", "add timeout a inet udp replied 5", "default-set timeout inet6 UDP unreplied -1", "a h ftp inet tcp",
		"-o json get timeout a", "default-get timeout inet mptcp x", "get helper a inet", "--output= l", "add timeout \xff inet icmpv6 timeout", "disable t"} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		k := newFakeKernel()
		got := k.run(t, "nfct "+line)
		switch {
		case got.exit == 0 && got.stderr != "", got.exit != 0 && got.exit != 1:
			t.Errorf("%q: %+v", line, got)
		case got.exit == 1 && !strings.HasPrefix(got.stderr, prefix) && !strings.HasPrefix(got.stderr, "Usage: "):
			t.Errorf("%q: %+v", line, got)
		case got.exit == 1 && (len(k.policies) > 0 || len(k.helpers) > 0):
			t.Errorf("%q failed and made something: %+v", line, k)
		}
		// What a policy was made of is understood again.
		for _, p := range k.policies {
			if len(p.Name) > conntrack.MaxTimeoutName || p.Timeouts == nil || p.Family != flow.IPv4 && p.Family != flow.IPv6 {
				t.Errorf("%q made %+v", line, p)
			}
			again := newFakeKernel()
			argv := []string{"nfct", "add", "timeout", p.Name, map[flow.Family]string{flow.IPv4: "inet", flow.IPv6: "inet6"}[p.Family], p.Proto.String()}
			for s, d := range p.Timeouts {
				if s != conntrack.SCTPTimeoutHeartbeatSent {
					argv = append(argv, s.String(), fmt.Sprint(seconds(d)))
				}
			}
			if again.main(t, argv...); !reflect.DeepEqual(again.policies, k.policies) {
				t.Errorf("%q: %+v, want %+v", argv, again.policies, k.policies)
			}
		}
	})
}

func TestErrorsWithoutANumberAreTold(t *testing.T) {
	k := newFakeKernel()
	k.fails = errors.New("malformed")
	if got := k.run(t, "nfct flush timeout"); got != (result{"", "nfct v1.4.9: netlink error: malformed\n", 1}) {
		t.Errorf("%+v", got)
	}
}
