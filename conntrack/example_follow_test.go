//go:build linux

package conntrack_test

import (
	"errors"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/spoor-project/spoor/conntrack"
	"github.com/spoor-project/spoor/flow"
)

func ExampleClient_Follow() {
	c, err := conntrack.Dial(demo())
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	for e, err := range c.Follow(ctx, nil) {
		if err != nil {
			log.Fatal(err) // the context's error, when that ends
		}
		fmt.Println(e.Type, e.Flow.Orig.Dst)
		if e.Type == flow.Destroy {
			break
		}
	}
	// Output:
	// NEW 198.51.100.2
	// UPDATE 198.51.100.2
	// DESTROY 198.51.100.2
}

// A copy of the table that stays true: subscribe, list, follow, and list again where
// events were lost.
func ExampleClient_Subscribe() {
	c := connect()
	defer c.Close()
	changes, err := c.Subscribe(nil)
	if err != nil {
		log.Fatal(err)
	}
	table := map[flow.Key]flow.Flow{}
	for f, err := range c.Flows(ctx, nil) {
		if err != nil {
			log.Fatal(err)
		}
		table[f.Key()] = f
	}
	for e := range changes.Events(ctx) {
		if e.Type == flow.Destroy {
			delete(table, e.Flow.Key())
			break
		}
		table[e.Flow.Key()] = e.Flow
	}
	fmt.Println(len(table))
	// Output: 2
}

func ExampleFollower_Close() {
	c, err := conntrack.Dial(demo())
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	changes, err := c.Subscribe(&conntrack.FollowOptions{Types: []flow.EventType{flow.Lost}})
	if err != nil {
		log.Fatal(err)
	}
	time.AfterFunc(10*time.Millisecond, func() { changes.Close() })
	for _, err := range changes.Events(ctx) {
		fmt.Println(errors.Is(err, os.ErrClosed))
	}
	// Output: true
}

func ExampleClient_Dying() {
	c, err := conntrack.Dial(demo())
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	n := 0
	for _, err := range c.Dying(ctx, nil) {
		if err != nil {
			log.Fatal(err)
		}
		n++
	}
	fmt.Println(n, "flows wait for their last event to be delivered")
	// Output: 0 flows wait for their last event to be delivered
}

func ExampleClient_Unconfirmed() {
	c, err := conntrack.Dial(demo())
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	for f, err := range c.Unconfirmed(ctx, nil) {
		fmt.Println(f.Orig.Src, err) // never, since Linux 5.19
	}
	// Output:
}

// data is the data connection that an FTP client and server agreed on.
var data = flow.Expect{
	Has:    flow.ExpectHasFlags,
	Tuple:  flow.Tuple{Src: web.Dst, Dst: web.Src, DstPort: 3333, Proto: flow.TCP},
	Mask:   flow.Tuple{Src: addr("255.255.255.255"), Dst: addr("255.255.255.255"), DstPort: 65535, Proto: flow.TCP},
	Master: web,
}

func ExampleClient_CreateExpect() {
	c, err := conntrack.Dial(demo())
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	fmt.Println(c.CreateExpect(ctx, &data))
	e, err := c.GetExpect(ctx, data.Tuple, 0)
	fmt.Println(e.Tuple.Src, e.Tuple.DstPort, err)
	// Output:
	// <nil>
	// 198.51.100.1 3333 <nil>
}

func ExampleClient_Expects() {
	c, err := conntrack.Dial(demo())
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	if err := c.CreateExpect(ctx, &data); err != nil {
		log.Fatal(err)
	}
	for e, err := range c.Expects(ctx, flow.AnyFamily) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(e.Tuple.Dst, e.Tuple.DstPort, "for", e.Master.Src)
	}
	// Output: 192.0.2.1 3333 for 192.0.2.1
}

func ExampleClient_DeleteExpect() {
	c, err := conntrack.Dial(demo())
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	if err := c.CreateExpect(ctx, &data); err != nil {
		log.Fatal(err)
	}
	fmt.Println(c.DeleteExpect(ctx, data.Tuple, 0))
	_, err = c.GetExpect(ctx, data.Tuple, 0)
	fmt.Println(errors.Is(err, conntrack.ErrNotFound))
	fmt.Println(c.FlushExpects(ctx)) // all that are left
	// Output:
	// <nil>
	// true
	// <nil>
}

func ExampleClient_SubscribeExpects() {
	c := connect()
	defer c.Close()
	changes, err := c.SubscribeExpects(nil)
	if err != nil {
		log.Fatal(err)
	}
	if err := c.CreateExpect(ctx, &data); err != nil {
		log.Fatal(err)
	}
	if err := c.FlushExpects(ctx); err != nil {
		log.Fatal(err)
	}
	for e, err := range changes.Events(ctx) {
		fmt.Println(e.Type, e.Expect.Tuple.DstPort, err)
		if e.Type == flow.Destroy {
			break
		}
	}
	// Output:
	// NEW 3333 <nil>
	// DESTROY 3333 <nil>
}

func ExampleClient_FollowExpects() {
	c, err := conntrack.Dial(nil)
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	for e, err := range c.FollowExpects(ctx, nil) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(e.Type, e.Expect.Helper, e.Expect.Tuple.Dst)
	}
}
