//go:build linux

package conntrack_test

import (
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/spoor-project/spoor/conntrack"
	"github.com/spoor-project/spoor/flow"
)

func ExampleClient_CreateTimeoutPolicy() {
	c := connect()
	defer c.Close()
	impatient := &conntrack.TimeoutPolicy{
		Name: "impatient", Family: flow.IPv4, Proto: flow.UDP,
		Timeouts: conntrack.Timeouts{conntrack.UDPTimeoutUnreplied: 5 * time.Second}, // the others by default
	}
	if err := c.CreateTimeoutPolicy(ctx, impatient); err != nil {
		log.Fatal(err)
	}
	// Now: iptables -t raw -A PREROUTING -p udp --dport 53 -j CT --timeout impatient
	p, err := c.GetTimeoutPolicy(ctx, "impatient")
	if err != nil {
		log.Fatal(err)
	}
	for _, s := range conntrack.TimeoutStates(p.Proto) {
		fmt.Println(s, p.Timeouts[s])
	}
	fmt.Println(errors.Is(c.CreateTimeoutPolicy(ctx, impatient), conntrack.ErrExists))
	// Output:
	// UNREPLIED 5s
	// REPLIED 2m0s
	// true
}

func ExampleClient_PutTimeoutPolicy() {
	c := connect()
	defer c.Close()
	p := &conntrack.TimeoutPolicy{Name: "dns", Family: flow.IPv4, Proto: flow.UDP, Timeouts: conntrack.Timeouts{}}
	for _, d := range []time.Duration{5 * time.Second, 6 * time.Second} {
		p.Timeouts[conntrack.UDPTimeoutReplied] = d
		if err := c.PutTimeoutPolicy(ctx, p); err != nil {
			log.Fatal(err)
		}
	}
	now, err := c.GetTimeoutPolicy(ctx, "dns")
	fmt.Println(now.Timeouts[conntrack.UDPTimeoutReplied], err)
	// Output: 6s <nil>
}

func ExampleClient_TimeoutPolicies() {
	c := connect()
	defer c.Close()
	for _, name := range []string{"dns", "voice"} {
		p := &conntrack.TimeoutPolicy{Name: name, Family: flow.IPv4, Proto: flow.UDP, Timeouts: conntrack.Timeouts{}}
		if err := c.CreateTimeoutPolicy(ctx, p); err != nil {
			log.Fatal(err)
		}
	}
	if err := c.DeleteTimeoutPolicy(ctx, "dns"); err != nil {
		log.Fatal(err)
	}
	for p, err := range c.TimeoutPolicies(ctx) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(p.Name, p.Proto, p.Use)
	}
	fmt.Println(c.FlushTimeoutPolicies(ctx))
	// Output:
	// voice udp 1
	// <nil>
}

func ExampleClient_SetDefaultTimeouts() {
	c := connect()
	defer c.Close()
	err := c.SetDefaultTimeouts(ctx, flow.UDP, conntrack.Timeouts{conntrack.UDPTimeoutReplied: time.Minute})
	if err != nil {
		log.Fatal(err)
	}
	defaults, err := c.DefaultTimeouts(ctx, flow.UDP)
	fmt.Println(defaults[conntrack.UDPTimeoutUnreplied], defaults[conntrack.UDPTimeoutReplied], err)
	// Output: 30s 1m0s <nil>
}

func ExampleParseTimeoutState() {
	s, ok := conntrack.ParseTimeoutState(flow.TCP, "established")
	fmt.Println(s, s.Proto(), s == conntrack.TCPTimeoutEstablished, ok)
	// Output: ESTABLISHED tcp true true
}

func ExampleClient_PutHelper() {
	c := connect()
	defer c.Close()
	ftp := conntrack.HelperKey{Name: "ftp", Family: flow.IPv4, Proto: flow.TCP}
	err := c.PutHelper(ctx, ftp, conntrack.HelperChange{
		PrivateLen: new(uint32(24)),
		Classes:    []conntrack.HelperClass{{Name: "ftp", MaxExpects: 1, Timeout: 5 * time.Minute}},
	})
	if err != nil {
		log.Fatal(err)
	}
	// Once somebody reads queue 7, packets may be sent there.
	if err := c.PutHelper(ctx, ftp, conntrack.HelperChange{Queue: new(uint32(7)), Enabled: new(true)}); err != nil {
		log.Fatal(err)
	}
	h, err := c.GetHelper(ctx, conntrack.HelperKey{Name: "ftp"}) // of any family and protocol
	fmt.Println(h.Family, h.Proto, h.Queue, h.Enabled, err)
	// Output: ipv4 tcp 7 true <nil>
}

func ExampleClient_Helpers() {
	c := connect()
	defer c.Close()
	for _, family := range []flow.Family{flow.IPv4, flow.IPv6} {
		err := c.PutHelper(ctx, conntrack.HelperKey{Name: "tns", Family: family, Proto: flow.TCP}, conntrack.HelperChange{
			PrivateLen: new(uint32(1)), Classes: []conntrack.HelperClass{{Name: "tns", MaxExpects: 1, Timeout: 5 * time.Minute}}})
		if err != nil {
			log.Fatal(err)
		}
	}
	if err := c.DeleteHelper(ctx, conntrack.HelperKey{Name: "tns", Family: flow.IPv4, Proto: flow.TCP}); err != nil {
		log.Fatal(err)
	}
	for h, err := range c.Helpers(ctx) {
		if errors.Is(err, conntrack.ErrNotSupported) {
			log.Fatal("this kernel has no user-space helpers")
		}
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(h.Name, h.Family, h.Enabled)
	}
	fmt.Println(c.FlushHelpers(ctx))
	// Output:
	// tns ipv6 false
	// <nil>
}
