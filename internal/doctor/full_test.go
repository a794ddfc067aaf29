//go:build linux && guest

package doctor

import (
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/spoor-project/spoor/conntrack"
	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/nstest"
)

// TestFullTable lowers the limit of all namespaces, fills one, and looks while packets are dropped. Others would lose connections
// by it: it runs in virtual machines only,
//
//	GOFLAGS=-tags=guest interop/kernels/run ./internal/doctor -test.run FullTable
func TestFullTable(t *testing.T) {
	ns := nstest.New(t)
	nstest.NeedTool(t, "nft")
	const limit = 200
	const file = "/proc/sys/net/netfilter/nf_conntrack_max"
	was, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.WriteFile(file, was, 0) })
	if err := (&Host{}).Apply(&Setting{netfilter + "nf_conntrack_max", "200"}); err != nil {
		t.Fatal(err)
	}
	if text, _ := os.ReadFile(file); strings.TrimSpace(string(text)) != "200" {
		t.Fatalf("Apply has set %s", text)
	}

	ns.LoopbackUp()
	ns.MustRun(t, "nft", "table ip t { chain c { type filter hook input priority 0; ct state new accept; }; }")
	client, err := conntrack.Dial(&conntrack.Options{NetNS: ns.Path()})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for i := range limit {
		e := conntrack.Entry{Orig: flow.Tuple{Proto: flow.TCP, Src: netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}),
			Dst: netip.MustParseAddr("192.0.2.1"), SrcPort: 1000, DstPort: 443}}
		e.Reply, _ = e.Orig.Inverse()
		e.Timeout = new(time.Hour)
		e.TCP = &conntrack.TCP{State: new(flow.TCPEstablished)}
		e.Status = new(flow.SeenReply | flow.Assured) // so that none is evicted
		if err := client.Create(t.Context(), &e); err != nil {
			t.Fatal(err)
		}
	}
	sent := make(chan int)
	go func() {
		n := 0
		ns.Do(func() {
			for begin := time.Now(); time.Since(begin) < 2*time.Second; n++ {
				if conn, err := net.Dial("udp", "127.0.0.1:9"); err == nil {
					conn.Write([]byte("dropped")) // and told so
					conn.Close()
				}
				time.Sleep(5 * time.Millisecond)
			}
		})
		sent <- n
	}()
	f, err := (&Host{NetNS: ns.Path()}).Look(t.Context(), time.Second)
	n := <-sent
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range Examine(f, "usage", "drops", "log", "timeouts") {
		if v.Level != Bad {
			t.Errorf("%s: %s, %q", v.Check, v.Level, v.Found)
		}
		t.Logf("%d packets: %s: %s", n, v.Check, v.Found)
	}
	if v := Examine(f, "usage")[0]; len(v.Remedies) == 0 || v.Remedies[0].Safe {
		t.Errorf("in a namespace: %+v", v.Remedies)
	}
}
