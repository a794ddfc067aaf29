//go:build linux

package conntrack_test

import (
	"errors"
	"net"
	"net/netip"
	"reflect"
	"syscall"
	"testing"
	"time"

	"github.com/spoor-project/spoor/conntrack"
	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/nstest"
)

func listPolicies(t *testing.T, c *conntrack.Client) (all []conntrack.TimeoutPolicy) {
	t.Helper()
	for p, err := range c.TimeoutPolicies(limited(t)) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	return all
}

// tracked are the protocols that the running kernel has timeouts for.
func tracked() []flow.Proto {
	all := []flow.Proto{conntrack.Generic}
	for _, p := range flow.Protos() {
		if p != flow.DCCP || !conntrack.KernelIsAtLeast(6, 17) {
			all = append(all, p)
		}
	}
	return all
}

// Every state of every protocol can be set, in a policy and as a default, and is what it
// was set to.
func TestPoliciesOfEveryProtocolLiveInTheKernel(t *testing.T) {
	t.Parallel()
	_, c := kernel(t)
	ctx := limited(t)
	var want []conntrack.TimeoutPolicy
	for _, proto := range tracked() {
		before, err := c.DefaultTimeouts(ctx, proto)
		if err != nil {
			t.Errorf("%v: %v", proto, err)
			continue
		}
		first := conntrack.TimeoutStates(proto)[0]
		for i, family := range []flow.Family{flow.IPv4, flow.IPv6} {
			name := proto.String() + "-" + family.String()
			p := conntrack.TimeoutPolicy{Name: name, Family: family, Proto: proto, Timeouts: conntrack.Timeouts{}, Use: 1}
			if i == 0 { // the other states get the defaults
				p.Timeouts[first] = 77 * time.Second
			} else {
				for n, s := range conntrack.TimeoutStates(proto) {
					p.Timeouts[s] = time.Duration(n+1) * time.Second
				}
			}
			if err := c.CreateTimeoutPolicy(ctx, &p); err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			for s, d := range before {
				if _, ok := p.Timeouts[s]; !ok {
					p.Timeouts[s] = d
				}
			}
			for s := range p.Timeouts {
				if _, ok := before[s]; !ok {
					delete(p.Timeouts, s) // one that the kernel does not know
				}
			}
			if got, err := c.GetTimeoutPolicy(ctx, name); err != nil || !reflect.DeepEqual(got, p) {
				t.Errorf("%s: %+v, %v, want %+v", name, got, err, p)
			}
			want = append(want, p)
		}
		if err := c.SetDefaultTimeouts(ctx, proto, conntrack.Timeouts{first: 99 * time.Second}); err != nil {
			t.Errorf("defaults of %v: %v", proto, err)
		}
		before[first] = 99 * time.Second
		if after, err := c.DefaultTimeouts(ctx, proto); err != nil || !reflect.DeepEqual(after, before) {
			t.Errorf("defaults of %v: %v, %v, want %v", proto, after, err, before)
		}
		if len(before) < len(conntrack.TimeoutStates(proto)) {
			for _, s := range conntrack.TimeoutStates(proto) {
				if _, ok := before[s]; !ok && s != conntrack.SCTPTimeoutHeartbeatAcked {
					t.Errorf("the kernel has no timeout %v of %v", s, proto)
				}
			}
		}
	}
	if got := listPolicies(t, c); !reflect.DeepEqual(got, want) {
		t.Errorf("listed %+v, want %+v", got, want)
	}
	if err := c.FlushTimeoutPolicies(ctx); err != nil {
		t.Error(err)
	}
	if got := listPolicies(t, c); got != nil {
		t.Errorf("left after the flush: %+v", got)
	}
}

func TestPoliciesAreRefusedAsDocumented(t *testing.T) {
	t.Parallel()
	_, c := kernel(t)
	ctx := limited(t)
	fails := func(what string, err, want error) {
		t.Helper()
		if !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", what, err, want)
		}
	}
	p := conntrack.TimeoutPolicy{Name: "p", Family: flow.IPv4, Proto: flow.UDP, Timeouts: conntrack.Timeouts{conntrack.UDPTimeoutReplied: time.Minute}}
	fails("create", c.CreateTimeoutPolicy(ctx, &p), nil)
	fails("create again", c.CreateTimeoutPolicy(ctx, &p), conntrack.ErrExists)
	fails("delete", c.DeleteTimeoutPolicy(ctx, "p"), nil)
	fails("delete again", c.DeleteTimeoutPolicy(ctx, "p"), conntrack.ErrNotFound)
	_, err := c.GetTimeoutPolicy(ctx, "p")
	fails("get", err, conntrack.ErrNotFound)

	fails("nil timeouts", c.CreateTimeoutPolicy(ctx, &conntrack.TimeoutPolicy{Name: "n", Family: flow.IPv4, Proto: flow.UDP}), syscall.EINVAL)
	esp := conntrack.TimeoutPolicy{Name: "e", Family: flow.IPv4, Proto: 50, Timeouts: conntrack.Timeouts{50<<8 | 1: time.Second}}
	fails("no tracker", c.CreateTimeoutPolicy(ctx, &esp), conntrack.ErrNotSupported)
	fails("no tracker", c.SetDefaultTimeouts(ctx, 50, esp.Timeouts), conntrack.ErrNotSupported)
	_, err = c.DefaultTimeouts(ctx, 50)
	fails("no tracker", err, conntrack.ErrNotSupported)

	empty := conntrack.TimeoutPolicy{Family: flow.IPv6, Proto: flow.UDP, Timeouts: conntrack.Timeouts{}}
	fails("no name, no state", c.CreateTimeoutPolicy(ctx, &empty), nil)
	defaults, err := c.DefaultTimeouts(ctx, flow.UDP)
	got, err2 := c.GetTimeoutPolicy(ctx, "")
	if err := errors.Join(err, err2); err != nil || !reflect.DeepEqual(got.Timeouts, defaults) {
		t.Errorf("got %+v, %v, want the defaults %v", got, err, defaults)
	}
}

func TestPutChangesAPolicyInPlace(t *testing.T) {
	t.Parallel()
	_, c := kernel(t)
	ctx := limited(t)
	p := conntrack.TimeoutPolicy{Name: "p", Family: flow.IPv4, Proto: flow.UDP, Timeouts: conntrack.Timeouts{conntrack.UDPTimeoutReplied: time.Minute}}
	for _, unreplied := range []time.Duration{5 * time.Second, 6 * time.Second} {
		p.Timeouts[conntrack.UDPTimeoutUnreplied] = unreplied
		if err := c.PutTimeoutPolicy(ctx, &p); err != nil {
			t.Fatal(err)
		}
		if got := listPolicies(t, c); len(got) != 1 || !reflect.DeepEqual(got[0].Timeouts, p.Timeouts) {
			t.Errorf("got %+v, want %+v", got, p)
		}
	}
	if err := c.SetDefaultTimeouts(ctx, flow.UDP, conntrack.Timeouts{conntrack.UDPTimeoutReplied: 11 * time.Second}); err != nil {
		t.Error(err)
	}
	delete(p.Timeouts, conntrack.UDPTimeoutReplied)
	if err := c.PutTimeoutPolicy(ctx, &p); err != nil {
		t.Error(err)
	}
	if got, err := c.GetTimeoutPolicy(ctx, "p"); err != nil || got.Timeouts[conntrack.UDPTimeoutReplied] != 11*time.Second {
		t.Errorf("a state that was left out: %v, %v, want the default", got, err)
	}
	p.Proto, p.Timeouts = flow.UDPLite, conntrack.Timeouts{}
	if err := c.PutTimeoutPolicy(ctx, &p); !errors.Is(err, syscall.EINVAL) {
		t.Errorf("of another protocol: %v, want %v", err, syscall.EINVAL)
	}
}

// A long timeout comes back shorter: the kernel's clock has 32 bits.
func TestLongTimeoutsWrap(t *testing.T) {
	t.Parallel()
	_, c := kernel(t)
	ctx := limited(t)
	const most = (1<<32 - 1) * time.Second
	if err := c.SetDefaultTimeouts(ctx, flow.UDP, conntrack.Timeouts{conntrack.UDPTimeoutReplied: most, conntrack.UDPTimeoutUnreplied: 0}); err != nil {
		t.Fatal(err)
	}
	got, err := c.DefaultTimeouts(ctx, flow.UDP)
	if d := got[conntrack.UDPTimeoutReplied]; err != nil || d >= most || d < 4_294_966*time.Second || got[conntrack.UDPTimeoutUnreplied] != 0 {
		t.Errorf("%v, %v, want what is left in 32 bits of ticks, and 0", got, err)
	}
}

func TestUDPLiteSharesTheDefaultsOfUDP(t *testing.T) {
	t.Parallel()
	_, c := kernel(t)
	ctx := limited(t)
	if err := c.SetDefaultTimeouts(ctx, flow.UDPLite, conntrack.Timeouts{conntrack.UDPLiteTimeoutReplied: 49 * time.Second}); err != nil {
		t.Fatal(err)
	}
	if got, err := c.DefaultTimeouts(ctx, flow.UDP); err != nil || got[conntrack.UDPTimeoutReplied] != 49*time.Second {
		t.Errorf("%v, %v, want 49s", got, err)
	}
}

// attachments are the two ways in which rules give flows a timeout policy of 7 s for UDP
// that was not answered, 8 s for what was; the rules work on what a host sends.
var attachments = []struct {
	name string
	// attach makes the policy with the library where it can, and the rules.
	attach func(t *testing.T, ns *nstest.NS, c *conntrack.Client)
	detach [][]string
}{
	{"iptables", func(t *testing.T, ns *nstest.NS, c *conntrack.Client) {
		nstest.NeedTool(t, "iptables", "ip6tables")
		for program, family := range map[string]flow.Family{"iptables": flow.IPv4, "ip6tables": flow.IPv6} {
			p := conntrack.TimeoutPolicy{Name: "short-" + family.String(), Family: family, Proto: flow.UDP, Timeouts: conntrack.Timeouts{
				conntrack.UDPTimeoutUnreplied: 7 * time.Second, conntrack.UDPTimeoutReplied: 8 * time.Second}}
			if err := c.CreateTimeoutPolicy(limited(t), &p); err != nil {
				t.Fatal(err)
			}
			ns.MustRun(t, program, "-w", "-t", "raw", "-A", "OUTPUT", "-p", "udp", "--dport", "9", "-j", "CT", "--timeout", p.Name)
			got, err := c.GetTimeoutPolicy(limited(t), p.Name)
			if err != nil || got.Use < 2 || got.Use > 3 {
				t.Errorf("%+v, %v, want two references", got, err)
			}
			if got.Use == 3 && !conntrack.KernelIsAtLeast(6, 18) {
				continue // such a kernel lets a policy in use go
			}
			if err := c.DeleteTimeoutPolicy(limited(t), p.Name); !errors.Is(err, syscall.EBUSY) {
				t.Errorf("delete of a policy in use: %v, want %v", err, syscall.EBUSY)
			}
		}
		if !conntrack.KernelIsAtLeast(6, 18) {
			return
		}
		if err := c.FlushTimeoutPolicies(limited(t)); err != nil || len(listPolicies(t, c)) != 2 {
			t.Errorf("flush with both in use: %v, %d left", err, len(listPolicies(t, c)))
		}
	}, [][]string{{"iptables", "-w", "-t", "raw", "-F"}, {"ip6tables", "-w", "-t", "raw", "-F"}}},
	{"nft", func(t *testing.T, ns *nstest.NS, c *conntrack.Client) {
		nstest.NeedTool(t, "nft")
		ns.MustRun(t, "nft", `table inet t {
			ct timeout short { protocol udp; l3proto ip; policy = { unreplied : 7, replied : 8 }; }
			ct timeout short6 { protocol udp; l3proto ip6; policy = { unreplied : 7, replied : 8 }; }
			chain out { type filter hook output priority 0;
				meta nfproto ipv4 udp dport 9 ct timeout set "short"
				meta nfproto ipv6 udp dport 9 ct timeout set "short6"
			}
		}`)
		if all := listPolicies(t, c); all != nil {
			t.Errorf("objects of nftables are listed as policies: %+v", all)
		}
	}, [][]string{{"nft", "delete", "table", "inet", "t"}}},
}

// A policy that rules attach decides how long the flows live, as the table and the events
// tell; other flows are not touched. When it is gone, its flows have the defaults again.
func TestAttachedPoliciesSetTheTimeout(t *testing.T) {
	t.Parallel()
	const (
		unreplied = time.Hour // the defaults
		replied   = 2 * time.Hour
		slack     = 5 * time.Second
	)
	for _, how := range attachments {
		t.Run(how.name, func(t *testing.T) {
			t.Parallel()
			a, b := nstest.Pair(t)
			c := dial(t, a)
			ctx := limited(t)
			if err := c.SetDefaultTimeouts(ctx, flow.UDP, conntrack.Timeouts{
				conntrack.UDPTimeoutUnreplied: unreplied, conntrack.UDPTimeoutReplied: replied}); err != nil {
				t.Fatal(err)
			}
			// Connections are tracked also when the rules of the policy are gone.
			a.MustRun(t, "nft", "table inet track { chain o { type filter hook output priority 10; ct state new accept; }; }")
			how.attach(t, a, c)
			var conns []net.Conn
			var flows []flow.Tuple
			for _, host := range []string{"10.0.0.2", "fd00::2"} {
				to := nstest.ServeEcho(t, b, "udp", netip.AddrPortFrom(addr(host), 9).String())
				made := subscribe(t, c, &conntrack.FollowOptions{Types: []flow.EventType{flow.New}})
				conn := nstest.Dial(t, a, "udp", netip.AddrPort{}, to)
				say(t, conn)
				nstest.Send(t, a, netip.AddrPort{}, netip.AddrPortFrom(addr(host), 10), "x")
				for _, e := range events(t, made, 2) {
					want := 7 * time.Second
					if e.Flow.Orig.DstPort == 10 {
						want = unreplied
					} else {
						conns, flows = append(conns, conn), append(flows, e.Flow.Orig)
					}
					// The entry may have been made, and told of, before the answer came or after.
					now := get(t, c, e.Flow.Orig, 0).Timeout
					for what, d := range map[string]time.Duration{"event": e.Flow.Timeout, "table": now} {
						if d > want || d < want-slack {
							t.Errorf("%s of %v: timeout %v, want %v", what, e.Flow.Orig, d, want)
						}
					}
				}
			}
			if len(flows) != 2 {
				t.Fatalf("flows to port 9: %v, want two", flows)
			}
			// A flow that has lasted two seconds is in the next state.
			time.Sleep(2100 * time.Millisecond)
			for i, conn := range conns {
				say(t, conn)
				if d := get(t, c, flows[i], 0).Timeout; d > 8*time.Second || d <= 7*time.Second-time.Second {
					t.Errorf("%v: timeout %v after the answer, want 8s", flows[i], d)
				}
			}

			for _, argv := range how.detach {
				a.MustRun(t, argv...)
			}
			if err := c.FlushTimeoutPolicies(ctx); err != nil || len(listPolicies(t, c)) != 0 {
				t.Errorf("flush without rules: %v, left %+v", err, listPolicies(t, c))
			}
			for i, conn := range conns {
				say(t, conn)
				if d := get(t, c, flows[i], 0).Timeout; d > replied || d < replied-slack {
					t.Errorf("%v: timeout %v when the policy was gone, want %v", flows[i], d, replied)
				}
			}
		})
	}
}

// say sends a message to an echo server and waits for the answer.
func say(t *testing.T, conn net.Conn) {
	t.Helper()
	if _, err := conn.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
}
