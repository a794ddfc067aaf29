//go:build linux

package nstest_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/spoor-project/spoor/internal/nstest"
)

func TestPairCarriesTraffic(t *testing.T) {
	t.Parallel()
	a, b := nstest.Pair(t)
	for _, network := range []string{"udp", "tcp"} {
		for _, host := range []string{"10.0.0.2", "[fd00::2]"} {
			to := nstest.ServeEcho(t, b, network, host+":0")
			nstest.Exchange(t, a, network, netip.AddrPort{}, to, 3)
		}
	}
}

func TestRoutedTrafficCrossesTheRouter(t *testing.T) {
	t.Parallel()
	nstest.NeedTool(t, "nft")
	r := nstest.NewRouted(t)
	r.Router.MustRun(t, "nft", "add table inet t; add counter inet t echo; "+
		"add chain inet t f { type filter hook forward priority 0; }; add rule inet t f udp dport 7 counter name echo")
	for _, host := range []string{"10.2.0.2", "[fd02::2]"} {
		to := nstest.ServeEcho(t, r.Server, "udp", host+":7")
		nstest.Exchange(t, r.Client, "udp", netip.AddrPort{}, to, 2)
	}
	if got := r.Router.MustRun(t, "nft", "list counter inet t echo"); !strings.Contains(got, "packets 4 ") {
		t.Errorf("the router counted:\n%s\nwant 4 packets", got)
	}
}

func TestExchangeUsesTheSourcePortTwice(t *testing.T) {
	t.Parallel()
	a, b := nstest.Pair(t)
	from := netip.MustParseAddrPort("10.0.0.1:4444")
	for _, network := range []string{"udp", "tcp"} {
		for range 2 {
			to := nstest.ServeEcho(t, b, network, "10.0.0.2:0")
			nstest.Exchange(t, a, network, from, to, 1)
		}
	}
}

func TestSendNeedsNoListener(t *testing.T) {
	t.Parallel()
	ns := nstest.New(t)
	ns.LoopbackUp()
	nstest.Send(t, ns, netip.MustParseAddrPort("127.0.0.1:4444"), netip.MustParseAddrPort("127.0.0.1:9"), "hi")
}

func TestPing(t *testing.T) {
	t.Parallel()
	a, _ := nstest.Pair(t)
	for _, to := range []string{"10.0.0.2", "fd00::2"} {
		nstest.Ping(t, a, netip.MustParseAddr(to), 77)
	}
}
