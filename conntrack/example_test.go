//go:build linux

package conntrack_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log"
	"time"

	"github.com/spoor-project/spoor/conntrack"
	"github.com/spoor-project/spoor/filter"
	"github.com/spoor-project/spoor/flow"
)

var (
	ctx = context.Background()
	// web, dns and ping are flows of the examples.
	web  = flow.Tuple{Src: addr("192.0.2.1"), Dst: addr("198.51.100.1"), SrcPort: 40000, DstPort: 443, Proto: flow.TCP}
	dns  = flow.Tuple{Src: addr("192.0.2.1"), Dst: addr("198.51.100.2"), SrcPort: 40001, DstPort: 53, Proto: flow.UDP}
	dns6 = flow.Tuple{Src: addr("2001:db8::1"), Dst: addr("2001:db8:1::2"), SrcPort: 40002, DstPort: 53, Proto: flow.UDP}
)

// demo is the kernel of the examples: it has the three flows above. Outside of
// examples the options are nil, or name a network namespace.
func demo() *conntrack.Options {
	options := conntrack.NewFakeTable(dns).Options()
	c, err := conntrack.Dial(options)
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	for _, t := range []flow.Tuple{web, dns, dns6} {
		reply, _ := t.Inverse()
		err := c.Create(ctx, &conntrack.Entry{Orig: t, Reply: reply, Change: conntrack.Change{Timeout: new(time.Minute)}})
		if err != nil {
			log.Fatal(err)
		}
	}
	return options
}

// connect is [conntrack.Dial] with less ado.
func connect() *conntrack.Client {
	c, err := conntrack.Dial(demo())
	if err != nil {
		log.Fatal(err)
	}
	return c
}

func Example() {
	c, err := conntrack.Dial(demo())
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	for f, err := range c.Flows(ctx, &filter.Filter{Family: flow.IPv4}) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(f.Orig.Proto, f.Orig.Src, f.Orig.Dst, f.Orig.DstPort)
	}
	// Output:
	// tcp 192.0.2.1 198.51.100.1 443
	// udp 192.0.2.1 198.51.100.2 53
}

func ExampleDial() {
	// A nil *Options is the caller's network namespace; this would be another one:
	_ = &conntrack.Options{NetNS: "/run/netns/blue"}

	c, err := conntrack.Dial(demo())
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	usage, err := c.Count(ctx)
	fmt.Println(usage.Entries, err)
	// Output: 3 <nil>
}

func ExampleClient_Flows() {
	c, err := conntrack.Dial(demo())
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	flt := &filter.Filter{Orig: filter.Side{Proto: new(flow.UDP), DstPort: new(uint16(53))}}
	for f, err := range c.Flows(ctx, flt) {
		if err != nil {
			log.Fatal(err) // at most once, and last
		}
		fmt.Println(f.Orig.Src, "asks", f.Orig.Dst)
		if f.Orig.Family() == flow.IPv6 {
			break // costs nothing
		}
	}
	// Output:
	// 192.0.2.1 asks 198.51.100.2
	// 2001:db8::1 asks 2001:db8:1::2
}

func ExampleClient_Get() {
	c, err := conntrack.Dial(demo())
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	f, err := c.Get(ctx, web, 0)
	fmt.Println(f.Orig.Dst, f.Timeout, err)

	_, err = c.Get(ctx, web, 7) // in zone 7
	fmt.Println(errors.Is(err, conntrack.ErrNotFound), errors.Is(err, fs.ErrNotExist))
	// Output:
	// 198.51.100.1 1m0s <nil>
	// true true
}

func ExampleClient_GetAndZero() {
	c, err := conntrack.Dial(demo())
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	f, err := c.GetAndZero(ctx, web, 0)
	fmt.Println(f.OrigCounters.Packets, err) // of a flow without counters
	// Output: 0 <nil>
}

func ExampleClient_Create() {
	c, err := conntrack.Dial(demo())
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	ssh := flow.Tuple{Src: addr("192.0.2.1"), Dst: addr("198.51.100.1"), SrcPort: 40009, DstPort: 22, Proto: flow.TCP}
	reply, _ := ssh.Inverse()
	entry := &conntrack.Entry{Orig: ssh, Reply: reply, Change: conntrack.Change{
		Timeout: new(time.Hour),
		Mark:    new(uint32(7)),
		TCP:     &conntrack.TCP{State: new(flow.TCPEstablished)},
	}}
	fmt.Println(c.Create(ctx, entry))
	fmt.Println(c.Create(ctx, entry))
	// Output:
	// <nil>
	// create flow: file exists
}

func ExampleClient_Put() {
	c, err := conntrack.Dial(demo())
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	reply, _ := web.Inverse()
	entry := &conntrack.Entry{Orig: web, Reply: reply, Change: conntrack.Change{Timeout: new(time.Hour)}}
	if err := c.Put(ctx, entry); err != nil { // exists, so it is changed
		log.Fatal(err)
	}
	f, err := c.Get(ctx, web, 0)
	fmt.Println(f.Timeout, err)
	// Output: 1h0m0s <nil>
}

func ExampleClient_Update() {
	c, err := conntrack.Dial(demo())
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	// What is named is written; a pointer to zero writes zero.
	err = c.Update(ctx, dns, 0, conntrack.Change{Mark: new(uint32(0)), Timeout: new(30 * time.Second)})
	if err != nil {
		log.Fatal(err)
	}
	f, err := c.Get(ctx, dns, 0)
	fmt.Println(f.Mark, f.Timeout, err)
	// Output: 0 30s <nil>
}

func ExampleClient_Delete() {
	c, err := conntrack.Dial(demo())
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	f, err := c.Get(ctx, web, 0)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(c.Delete(ctx, &f)) // this one, and none that took its place
	fmt.Println(errors.Is(c.Delete(ctx, &f), conntrack.ErrNotFound))
	// Output:
	// <nil>
	// true
}

func ExampleOpError() {
	c, err := conntrack.Dial(demo())
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	err = c.Update(ctx, flow.Tuple{Proto: flow.TCP}, 0, conntrack.Change{})
	var failed *conntrack.OpError
	if errors.As(err, &failed) {
		fmt.Println(failed.Op, "failed with", failed.Err)
	}
	fmt.Println(err, errors.Is(err, conntrack.ErrNotFound))
	// Output:
	// update flow failed with no such file or directory
	// update flow: no such file or directory true
}
