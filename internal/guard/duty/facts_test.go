package duty

import (
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spoor-project/spoor/internal/guard"
	"github.com/spoor-project/spoor/internal/nstest"
)

func sorted(set map[netip.Addr]struct{}) string {
	var words []string
	for _, a := range slices.SortedFunc(maps.Keys(set), netip.Addr.Compare) {
		words = append(words, a.String())
	}
	return strings.Join(words, " ")
}

func TestOwnAddressesAndGatewaysAreFound(t *testing.T) {
	a, _ := nstest.Pair(t)
	nstest.NeedTool(t, "ip")
	for _, route := range []string{
		"default via 10.0.0.254", "192.0.2.0/24 via 10.0.0.253 table 100",
		"198.51.100.0/24 nexthop via 10.0.0.251 nexthop via 10.0.0.252", "203.0.113.0/24 via inet6 fd00::fd dev eth0", "192.0.2.128/25 dev eth0",
	} {
		a.MustRun(t, append([]string{"ip", "route", "add"}, strings.Fields(route)...)...)
	}
	for _, route := range []string{"default via fe80::1 dev eth0", "2001:db8::/32 via fd00::ff", "2001:db8:1::/48 nexthop via fd00::f1 nexthop via fd00::f2"} {
		a.MustRun(t, append([]string{"ip", "-6", "route", "add"}, strings.Fields(route)...)...)
	}
	o := NewObserver(a.Path())
	facts, err := o.Facts()
	if err != nil {
		t.Fatal(err)
	}
	if got, want := sorted(facts.Gateways), "10.0.0.251 10.0.0.252 10.0.0.253 10.0.0.254 fd00::f1 fd00::f2 fd00::fd fd00::ff fe80::1"; got != want {
		t.Errorf("gateways %s\nwant     %s", got, want)
	}
	own := " " + sorted(facts.Own) + " "
	for _, want := range []string{"10.0.0.1", "10.0.0.255", "127.0.0.1", "::1", "fd00::1"} {
		if !strings.Contains(own, " "+want+" ") {
			t.Errorf("own:%slack %s", own, want)
		}
	}
	if strings.Contains(own, "10.0.0.2 ") {
		t.Errorf("own:%s", own)
	}
	// Nobody is asked again at once, and later what is new is found.
	a.MustRun(t, "ip", "route", "add", "198.18.0.0/15", "via", "10.0.0.77")
	o.due = time.Now().Add(time.Minute)
	if again, err := o.Facts(); err != nil || sorted(again.Gateways) != sorted(facts.Gateways) {
		t.Errorf("%v %v", again, err)
	}
	o.due = time.Time{}
	if later, err := o.Facts(); err != nil || !strings.Contains(sorted(later.Gateways), "10.0.0.77") {
		t.Errorf("%v %v", later, err)
	}
	// Where nothing can be found out any more, what was known counts.
	o.netns, o.due = "/nowhere", time.Time{}
	if blind, err := o.Facts(); err == nil || !strings.Contains(sorted(blind.Gateways), "10.0.0.254") || !strings.Contains(sorted(blind.Own), "fd00::1") {
		t.Errorf("%v %v", blind, err)
	}
	rules, err := guard.ParseRules("port-scan then block 1h")
	if err != nil {
		t.Fatal(err)
	}
	brakes := guard.NewBrakes(rules, guard.BrakeOptions{Enforce: true})
	brakes.SetFacts(facts)
	for offender, want := range map[string]string{"10.0.0.1": "allowed: own address", "10.0.0.255": "allowed: own address", "fe80::1%eth0": "allowed: gateway", "10.0.0.2": ""} {
		f := portScan()
		f.Offender = netip.MustParseAddr(offender)
		if got := brakes.Decide(noon, f); len(got) != 1 || got[0].Held != want {
			t.Errorf("%s: %+v", offender, got)
		}
	}
}

// FuzzRouteMessages: whatever a datagram holds, what is found are addresses.
func FuzzRouteMessages(f *testing.F) {
	gateway := []byte{8, 0, 5, 0, 10, 0, 0, 254}
	hops := append([]byte{28, 0, 9, 0, 16, 0, 0, 0, 1, 0, 0, 0}, append(slices.Clone(gateway), 8, 0, 0, 0, 2, 0, 0, 0)...)
	for _, attributes := range [][]byte{nil, gateway, hops, {10, 0, 18, 0, 2, 0, 10, 0, 0, 253, 0, 0}, {3, 0, 5, 0}, {20, 0, 5, 0, 1}} {
		message := append([]byte{byte(28 + len(attributes)), 0, 0, 0, 24, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 254, 0, 0, 1, 0, 0, 0, 0}, attributes...)
		f.Add(message)
		f.Add(append(message, 16, 0, 0, 0, 3, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0))
	}
	f.Add([]byte{20, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255})
	f.Fuzz(func(t *testing.T, b []byte) {
		found := make(map[netip.Addr]struct{})
		routeMessages(b, found)
		for a := range found {
			if !a.IsValid() || a.IsUnspecified() || a.Is4In6() || a.Zone() != "" {
				t.Errorf("%v", a)
			}
		}
	})
}
