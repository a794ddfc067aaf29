//go:build linux

package interop_test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spoor-project/spoor/internal/nstest"
)

// dissected is a line of --dissect --json.
type dissected struct {
	Proto, Src, Dst string
	Messages        []struct {
		TypeName string `json:"type_name"`
		Seq      uint32
		Attrs    []struct {
			Name  string
			Value any
		}
		Error any
	}
}

// TestConntrackdDissectsCaptures reads what a sniffer has seen between our daemon and theirs: every message is there, in order, and
// every flow that was told of. SPOOR_KEEP_CAPTURE is what the names of files begin with to which they are copied.
func TestConntrackdDissectsCaptures(t *testing.T) {
	t.Parallel()
	nstest.NeedTool(t, "tcpdump")
	their, our := theirDaemon(t), ourDaemon(t)
	for _, s := range []struct {
		setup
		device string
	}{
		{setup{}, "any"}, {setup{v6: true}, "eth0"}, {setup{channel: "Multicast"}, "eth0"}, {setup{channel: "TCP"}, "eth0"},
		{setup{channel: "TCP", v6: true}, "any"}, {setup{mode: "NOTRACK", channel: "TCP"}, "eth0"},
	} {
		t.Run(s.setup.String(), func(t *testing.T) {
			t.Parallel()
			p := idlePair(t, s.setup, our, their)
			file := filepath.Join(p.a.dir, "pcap")
			// All that there is, also ARP and the flows' own; packets are written as they come.
			sniffer := p.a.begin(job{argv: []string{"tcpdump", "-U", "-i", s.device, "-w", file, "-Z", "root", "-B", "8192"}})
			t.Cleanup(sniffer.cancel)
			nstest.Wait(t, "the sniffer", func() bool { return strings.Contains(sniffer.stderr.String(), "listening") })
			p.a.start()
			p.b.start()
			const flows = 300
			for _, n := range []*node{p.a, p.b} {
				var lines strings.Builder
				for i := range flows {
					fmt.Fprintf(&lines, "-I -p udp -s 192.0.2.%d -d 198.51.100.%d --sport %d --dport 53 -t 5000\n", len(n.name), map[string]int{"a": 1, "b": 2}[n.name], 1024+i)
				}
				n.load(lines.String())
			}
			for _, n := range []*node{p.a, p.b} {
				other := map[*node]*node{p.a: p.b, p.b: p.a}[n]
				settles(t, "flows of "+n.name, fmt.Sprint(flows), func() string { return fmt.Sprint(strings.Count(other.external(), "\n")) })
			}
			p.a.stop()
			p.b.stop()
			nstest.Wait(t, "the end of the stream in the capture", func() bool {
				return strings.Count(p.a.must("conntrackd", "--dissect", "--json", file), "198.51.100.") >= 2*flows
			})
			sniffer.cmd.Process.Signal(os.Interrupt)
			<-sniffer.ended
			if name := os.Getenv("SPOOR_KEEP_CAPTURE"); name != "" {
				b, _ := os.ReadFile(file)
				os.WriteFile(name+"."+strings.ReplaceAll(s.String(), "/", "-"), b, 0o644)
			}
			checkDissected(t, p.a.run(job{argv: []string{"conntrackd", "--dissect", "--json", file}}), cmp.Or(s.channel, "UDP"), flows)
			content, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			text := p.a.must("conntrackd", "--dissect", "--port", "3780", file)
			if piped := p.a.run(job{argv: []string{"conntrackd", "--dissect", "--port", "3780", "-"}, stdin: string(content)}); piped.stdout != text {
				t.Errorf("from a pipe: %v", piped)
			}
			if n := strings.Count(text, "\nCT_"); n < 2*flows {
				t.Errorf("the text has %d messages about flows", n)
			}
		})
	}
}

func checkDissected(t *testing.T, r result, channel string, flows int) {
	t.Helper()
	if r.exit != 0 || strings.Contains(r.stderr, "gaps") || strings.Contains(r.stderr, "incomplete") {
		t.Errorf("exit %d, %s", r.exit, r.stderr)
	}
	next, told := map[string]uint32{}, map[string]bool{}
	for in := json.NewDecoder(bytes.NewReader([]byte(r.stdout))); in.More(); {
		var d dissected
		if err := in.Decode(&d); err != nil {
			t.Fatal(err)
		}
		if d.Proto != map[string]string{"UDP": "udp", "Multicast": "udp", "TCP": "tcp"}[channel] || !strings.HasSuffix(d.Dst, ":3780") {
			t.Errorf("from %s to %s by %s", d.Src, d.Dst, d.Proto)
		}
		node := d.Src[:strings.LastIndexByte(d.Src, ':')]
		for _, m := range d.Messages {
			if want, ok := next[node]; ok && m.Seq != want {
				t.Errorf("%s: message %d, want %d", node, m.Seq, want)
			}
			if next[node] = m.Seq + 1; m.Error != nil {
				t.Errorf("%s: %v", node, m.Error)
			}
			if strings.HasPrefix(m.TypeName, "CT_") {
				flow := ""
				for _, a := range m.Attrs {
					if a.Name == "IPV4" || a.Name == "PORT" {
						flow += fmt.Sprint(a.Value)
					}
				}
				told[flow] = true
			}
		}
	}
	if len(next) != 2 || len(told) != 2*flows {
		t.Errorf("%d nodes told of %d flows, want 2 and %d", len(next), len(told), 2*flows)
	}
}
