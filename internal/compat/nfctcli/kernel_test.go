//go:build linux

package nfctcli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"testing"

	"github.com/spoor-project/spoor/conntrack"
	"github.com/spoor-project/spoor/internal/nstest"
)

// live runs command lines in a namespace of the test's own.
func live(t *testing.T) (*nstest.NS, func(words ...string) result) {
	t.Helper()
	ns := nstest.New(t)
	return ns, func(words ...string) result {
		t.Helper()
		var stdout, stderr strings.Builder
		code := Main(append([]string{"nfct"}, words...), &Env{Stdout: &stdout, Stderr: &stderr, Protocols: "testdata/protocols",
			dial: func() (kernel, error) { return conntrack.Dial(&conntrack.Options{NetNS: ns.Path()}) }})
		return result{stdout.String(), stderr.String(), code}
	}
}

// The variables that the manual names are those that default-set changes.
func TestDefaultsAreTheVariablesOfTheManual(t *testing.T) {
	t.Parallel()
	ns, nfct := live(t)
	for _, row := range manProtocols {
		word := ""
		for _, p := range protocolWords {
			if p.proto == row.proto {
				word = p.word
			}
		}
		for i, state := range states(row.proto) {
			if row.sysctls[i] == "none" {
				continue
			}
			var text []byte
			var err error
			read := func() {
				ns.Do(func() { text, err = os.ReadFile("/proc/sys/net/netfilter/" + row.sysctls[i]) })
			}
			// The kernel that has no variables of a protocol does not track it either.
			if read(); errors.Is(err, fs.ErrNotExist) {
				if got := nfct("default-get", "timeout", "inet", word); got.exit == 0 {
					t.Errorf("%s has no variable %s, and timeouts: %+v", word, row.sysctls[i], got)
				}
				continue
			}
			value := fmt.Sprint(1000 + i)
			if got := nfct("default-set", "timeout", "inet", word, state.String(), value); got != (result{}) {
				t.Errorf("%s %v: %+v", word, state, got)
			}
			if read(); err != nil || strings.TrimSpace(string(text)) != value {
				t.Errorf("%s %v: the variable is %s, %v, want %s", word, state, text, err, value)
			}
		}
	}
}

// What JSON says is what the text says.
func TestJSONOfTheKernel(t *testing.T) {
	t.Parallel()
	_, nfct := live(t)
	for _, words := range []string{"add timeout a inet tcp established 5", "add timeout b inet6 sctp closed 6", "add timeout c inet generic timeout 7"} {
		if got := nfct(strings.Split(words, " ")...); got != (result{}) {
			t.Fatalf("%s: %+v", words, got)
		}
	}
	var policies []struct {
		Name     string
		Timeouts map[string]uint32
		Use      int
	}
	got := nfct("list", "timeout", "-o", "json")
	if err := json.Unmarshal([]byte(got.stdout), &policies); err != nil || len(policies) != 3 {
		t.Fatalf("%v: %+v", err, got)
	}
	text := nfct("list", "timeout").stdout
	for _, p := range policies {
		_, block, ok := strings.Cut(text, "."+p.Name+" = {\n")
		block, _, _ = strings.Cut(block, "\n};\n")
		if !ok || p.Use != 1 {
			t.Errorf("%+v is not in the text", p)
		}
		for state, n := range p.Timeouts {
			line := fmt.Sprintf("\t\t.%s = %d,\n", state, n)
			if !strings.HasPrefix(state, "HEARTBEAT_") && !strings.Contains(block, line) {
				t.Errorf("%s: no %q in %s", p.Name, line, block)
			}
		}
		if n := strings.Count(block, "\t\t."); n > len(p.Timeouts) || n < len(p.Timeouts)-2 {
			t.Errorf("%s: %d states in the text, %d in JSON", p.Name, n, len(p.Timeouts))
		}
	}
	one := nfct("get", "timeout", "a", "-o", "json").stdout
	if !strings.Contains(got.stdout, strings.TrimSpace(one)) {
		t.Errorf("%s is not in %s", one, got.stdout)
	}
}

// What the distribution's program does with helpers, on a kernel that has them, ours does.
// They belong to no namespace: the test keeps away from those of others.
func TestHelpersAsTheDistributionsProgram(t *testing.T) {
	nstest.NeedTool(t, "nfct")
	ns, nfct := live(t)
	c, err := conntrack.Dial(&conntrack.Options{NetNS: ns.Path()})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for h, err := range c.Helpers(t.Context()) {
		if errors.Is(err, conntrack.ErrNotSupported) {
			nstest.KernelLacks(t, "CONFIG_NF_CT_NETLINK_HELPER", err.Error())
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Skipf("the helper %s is registered: somebody uses them", h.Name)
	}
	lines := []string{"list", "flush", "get ftp", "get ftp inet", "get ftp inet tcp", "delete ftp", "delete ftp inet", "disable ftp inet tcp"}
	for _, h := range helperTable {
		for _, p := range h.protos {
			for _, family := range []string{"inet", "inet6"} {
				lines = append(lines, "add "+h.name+" "+family+" "+p.String())
			}
		}
	}
	lines = append(lines, "list", "add ftp inet tcp", "add ftp inet tcp and more", "get ftp", "get ftp inet", "get ftp inet tcp", "get ftp inet6 tcp",
		"get ftp inet udp", "get nonsense", "get nonsense inet tcp", "disable ftp inet tcp", "get ftp inet tcp", "disable ftp inet udp", "delete nonsense",
		"delete ftp inet", "delete ftp inet udp", "delete ftp inet6 tcp", "get ftp", "delete ftp inet tcp", "get ftp", "delete rpc", "list",
		"get", "list x", "add ftp", "get 0123456789abcdef", "delete "+strings.Repeat("x", 40), "flush x", "flush", "list", "delete ftp inet tcp", "get ftp inet tcp")
	scenario := func(run func(words ...string) result) (all []result) {
		for _, line := range lines {
			command, args, _ := strings.Cut(line, " ")
			all = append(all, run(append([]string{command, "helper"}, strings.Fields(args)...)...))
		}
		return all
	}
	want := scenario(func(words ...string) result {
		stdout, stderr, code := ns.Run(t, append([]string{"nfct"}, words...)...)
		return result{stdout, strings.ReplaceAll(stderr, "nfct v1.4.7: ", prefix), code}
	})
	for i, got := range scenario(nfct) {
		// 1.4.7 does not give this advice yet.
		if at := strings.Index(got.stderr, "Maybe unload"); at >= 0 && !strings.Contains(want[i].stderr, "Maybe") {
			got.stderr = got.stderr[:at]
		}
		if got != want[i] {
			t.Errorf("%s: %+v, want %+v", lines[i], got, want[i])
		}
	}
}
