//go:build linux

package conntrack_test

import (
	"errors"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/spoor-project/spoor/conntrack"
	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/nstest"
)

// readFile asks for a file by TFTP, which makes the helper expect the answer: it will
// come from another port than 69. Nobody answers, though.
func readFile(t *testing.T, ns *nstest.NS, host string, port uint16) {
	t.Helper()
	nstest.Send(t, ns, netip.AddrPortFrom(addr(host), port), netip.AddrPortFrom(addr(host), 69), "\x00\x01f\x00octet\x00")
}

func listExpects(t *testing.T, c *conntrack.Client, family flow.Family) (all []flow.Expect) {
	t.Helper()
	for e, err := range c.Expects(limited(t), family) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, e)
	}
	return all
}

// tftp is what the helper expects after readFile.
func tftp(host string, port uint16) flow.Expect {
	a := addr(host)
	ones := addr("255.255.255.255")
	if a.Is6() {
		ones = addr("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")
	}
	return flow.Expect{
		Has: flow.ExpectHasMaster | flow.ExpectHasMask | flow.ExpectHasTimeout | flow.ExpectHasID | flow.ExpectHasHelper |
			flow.ExpectHasFlags | flow.ExpectHasClass,
		Tuple:   flow.Tuple{Src: a, Dst: a, DstPort: port, Proto: flow.UDP},
		Mask:    flow.Tuple{Src: ones, Dst: ones, DstPort: 65535, Proto: flow.UDP},
		Master:  flow.Tuple{Src: a, Dst: a, SrcPort: port, DstPort: 69, Proto: flow.UDP},
		Timeout: 5 * time.Minute, Helper: "tftp",
	}
}

// checkExpect compares what the kernel has with what was expected; the ID is its own.
func checkExpect(t *testing.T, got, want flow.Expect) {
	t.Helper()
	if got.ID == 0 || got.Timeout > want.Timeout || got.Timeout < want.Timeout-5*time.Second {
		t.Errorf("ID %d, timeout %v, want %v or a little less", got.ID, got.Timeout, want.Timeout)
	}
	want.ID, want.Timeout = got.ID, got.Timeout
	for _, diff := range differences(got, want) {
		t.Error(diff)
	}
}

func TestExpectationsOfAHelper(t *testing.T) {
	t.Parallel()
	ns, c := kernel(t)
	useHelpers(t, ns)
	ns.LoopbackUp()
	x, err := c.SubscribeExpects(nil)
	if err != nil {
		t.Fatal(err)
	}
	readFile(t, ns, "127.0.0.1", 40070)
	readFile(t, ns, "::1", 40071)
	want4, want6 := tftp("127.0.0.1", 40070), tftp("::1", 40071)

	if all := listExpects(t, c, flow.AnyFamily); len(all) != 2 {
		t.Errorf("%d expectations, want 2", len(all))
	}
	for _, want := range []flow.Expect{want4, want6} {
		all := listExpects(t, c, want.Tuple.Family())
		if len(all) != 1 {
			t.Fatalf("%v: %d expectations, want 1", want.Tuple.Family(), len(all))
		}
		checkExpect(t, all[0], want)
		got, err := c.GetExpect(limited(t), want.Tuple, 0)
		if err != nil {
			t.Fatal(err)
		}
		checkExpect(t, got, want)
	}
	if got := get(t, c, want4.Master, 0); got.Helper != "tftp" {
		t.Errorf("the master's helper is %q", got.Helper)
	}

	missing := want4.Tuple
	missing.DstPort++
	if _, err := c.GetExpect(limited(t), missing, 0); !errors.Is(err, conntrack.ErrNotFound) {
		t.Errorf("not expected: %v, want %v", err, conntrack.ErrNotFound)
	}
	if err := c.DeleteExpect(limited(t), missing, 0); !errors.Is(err, conntrack.ErrNotFound) {
		t.Errorf("not expected: %v, want %v", err, conntrack.ErrNotFound)
	}
	if err := c.DeleteExpect(limited(t), want4.Tuple, 0); err != nil {
		t.Error(err)
	}
	if all := listExpects(t, c, flow.AnyFamily); len(all) != 1 {
		t.Errorf("%d expectations, want 1", len(all))
	}
	if err := c.FlushExpects(limited(t)); err != nil {
		t.Error(err)
	}
	if all := listExpects(t, c, flow.AnyFamily); len(all) != 0 {
		t.Errorf("%d expectations, want none", len(all))
	}

	// The helper sees a packet over the loopback twice, and makes its expectation anew;
	// the last word are our requests.
	types := map[flow.Family][]flow.EventType{}
	ours := 0
	for e, err := range x.Events(limited(t)) {
		if err != nil {
			t.Fatal(err)
		}
		family, want := e.Expect.Tuple.Family(), want4
		if family == flow.IPv6 {
			want = want6
		}
		checkExpect(t, e.Expect, want)
		types[family] = append(types[family], e.Type)
		if e.PortID != 0 {
			if ours++; e.Type != flow.Destroy {
				t.Errorf("%v from port %d", e.Type, e.PortID)
			}
		}
		if ours == 2 {
			break
		}
	}
	for family, got := range types {
		for i, typ := range got {
			if want := []flow.EventType{flow.New, flow.Destroy}[i%2]; typ != want || len(got)%2 != 0 {
				t.Errorf("%v: %v, want NEW and DESTROY by turns", family, got)
			}
		}
	}
}

func TestExpectationsAreCreated(t *testing.T) {
	t.Parallel()
	_, c := kernel(t)
	for _, family := range []flow.Family{flow.IPv4, flow.IPv6} {
		for zone := range uint16(2) {
			master := entry(tuple(flow.TCP, family, 1))
			master.TCP = &conntrack.TCP{State: new(flow.TCPEstablished)}
			master.Zone = zone
			want := flow.Expect{
				Has: flow.ExpectHasMaster | flow.ExpectHasMask | flow.ExpectHasTimeout | flow.ExpectHasID | flow.ExpectHasHelper |
					flow.ExpectHasFlags | flow.ExpectHasClass,
				Tuple:  flow.Tuple{Src: master.Orig.Dst, Dst: master.Orig.Src, DstPort: 3333, Proto: flow.TCP},
				Mask:   flow.Tuple{Src: tftp(master.Orig.Src.String(), 0).Mask.Src, Proto: flow.TCP},
				Master: master.Orig, Timeout: 5 * time.Minute, Helper: "ftp", Flags: flow.ExpectPermanent,
			}
			want.Mask.Dst = want.Mask.Src
			want.Mask.DstPort = 65535 // the destination is always compared whole
			asked := want
			asked.Has &^= flow.ExpectHasID
			asked.Zone = zone // which the kernel never tells

			if err := c.CreateExpect(limited(t), &asked); !errors.Is(err, conntrack.ErrNotFound) {
				t.Errorf("no master: %v, want %v", err, conntrack.ErrNotFound)
			}
			create(t, c, master)
			if err := c.CreateExpect(limited(t), &asked); !errors.Is(err, conntrack.ErrNotSupported) {
				t.Errorf("a master without helper: %v, want %v", err, conntrack.ErrNotSupported)
			}
			if err := c.Delete(limited(t), &flow.Flow{Orig: master.Orig, Zone: zone}); err != nil {
				t.Fatal(err)
			}
			master.Helper = new("ftp")
			create(t, c, master)
			if err := c.CreateExpect(limited(t), &asked); err != nil {
				t.Fatalf("%v, zone %d: %v", family, zone, err)
			}
			if err := c.CreateExpect(limited(t), &asked); !errors.Is(err, conntrack.ErrExists) {
				t.Errorf("twice: %v, want %v", err, conntrack.ErrExists)
			}
			got, err := c.GetExpect(limited(t), want.Tuple, zone)
			if err != nil {
				t.Fatal(err)
			}
			checkExpect(t, got, want)
			if _, err := c.GetExpect(limited(t), want.Tuple, 7); !errors.Is(err, conntrack.ErrNotFound) {
				t.Errorf("in another zone: %v, want %v", err, conntrack.ErrNotFound)
			}
			if err := c.DeleteExpect(limited(t), want.Tuple, zone); err != nil {
				t.Error(err)
			}
		}
	}
	incomplete := flow.Expect{Tuple: tuple(flow.TCP, flow.IPv4, 1)}
	if err := c.CreateExpect(limited(t), &incomplete); !errors.Is(err, conntrack.ErrNotFound) && !errors.Is(err, syscall.EINVAL) {
		t.Errorf("without mask and master: %v", err)
	}
}

func TestExpectationsGoWithTheirMaster(t *testing.T) {
	t.Parallel()
	ns, c := kernel(t)
	useHelpers(t, ns)
	ns.LoopbackUp()
	ns.Sysctl("net/netfilter/nf_conntrack_events", "1")
	readFile(t, ns, "127.0.0.1", 40070)
	x, err := c.SubscribeExpects(&conntrack.FollowOptions{Types: []flow.EventType{flow.Destroy}})
	if err != nil {
		t.Fatal(err)
	}
	want := tftp("127.0.0.1", 40070)
	if err := c.Delete(limited(t), &flow.Flow{Orig: want.Master}); err != nil {
		t.Fatal(err)
	}
	for e, err := range x.Events(limited(t)) {
		if err != nil || e.Type != flow.Destroy || e.Expect.Tuple != want.Tuple {
			t.Errorf("got %v of %v, %v", e.Type, e.Expect.Tuple, err)
		}
		break
	}
	if all := listExpects(t, c, flow.AnyFamily); len(all) != 0 {
		t.Errorf("%d expectations, want none", len(all))
	}
}
