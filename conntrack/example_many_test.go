//go:build linux

package conntrack_test

import (
	"fmt"
	"log"
	"time"

	"github.com/spoor-project/spoor/conntrack"
	"github.com/spoor-project/spoor/filter"
	"github.com/spoor-project/spoor/flow"
)

func ExampleClient_Flush() {
	c, err := conntrack.Dial(demo())
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	if err := c.Flush(ctx, &filter.Filter{Family: flow.IPv6}); err != nil {
		log.Fatal(err)
	}
	usage, err := c.Count(ctx)
	fmt.Println(usage.Entries, err)
	// Output: 2 <nil>
}

func ExampleClient_DeleteFlows() {
	c, err := conntrack.Dial(demo())
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	for f, err := range c.DeleteFlows(ctx, &filter.Filter{Orig: filter.Side{Proto: new(flow.UDP)}}) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println("removed", f.Orig.Src, "to", f.Orig.Dst)
	}
	// Output:
	// removed 192.0.2.1 to 198.51.100.2
	// removed 2001:db8::1 to 2001:db8:1::2
}

func ExampleClient_FlowsAndZero() {
	c, err := conntrack.Dial(demo())
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	var total flow.Counters
	for f, err := range c.FlowsAndZero(ctx, nil) {
		if err != nil {
			log.Fatal(err)
		}
		total.Packets += f.OrigCounters.Packets + f.ReplyCounters.Packets
	}
	fmt.Println(total.Packets, "packets since the last time")
	// Output: 0 packets since the last time
}

func ExampleClient_Count() {
	c, err := conntrack.Dial(demo())
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	usage, err := c.Count(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%d of %d\n", usage.Entries, usage.Max)
	// Output: 3 of 262144
}

func ExampleClient_Stats() {
	c, err := conntrack.Dial(demo())
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	all, err := c.Stats(ctx)
	if err != nil {
		log.Fatal(err)
	}
	for _, cpu := range all {
		for _, counter := range cpu.Counters {
			if counter.ID == conntrack.StatFound {
				fmt.Println("processor", cpu.CPU, conntrack.StatName(counter.ID), counter.Value)
			}
		}
	}
	// Output: processor 0 found 7
}

func ExampleClient_ExpectStats() {
	c, err := conntrack.Dial(demo())
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	all, err := c.ExpectStats(ctx)
	if err != nil {
		log.Fatal(err)
	}
	for _, counter := range all[0].Counters {
		fmt.Println(conntrack.ExpectStatName(counter.ID), counter.Value)
	}
	// Output:
	// expect_create 7
	// expect_delete 1
}

func ExampleClient_NewWriter() {
	c := connect()
	defer c.Close()
	w, err := c.NewWriter()
	if err != nil {
		log.Fatal(err)
	}
	defer w.Close()

	var batch conntrack.Batch
	batch.Update(&conntrack.Entry{Orig: web, Change: conntrack.Change{Mark: new(uint32(1))}})
	batch.Delete(&flow.Flow{Orig: flow.Tuple{Proto: flow.TCP}}) // is not there; the others are done all the same
	batch.Get(&web, 0)
	results, err := w.Do(ctx, &batch) // one system call
	if err != nil {
		log.Fatal(err)
	}
	for _, r := range results {
		fmt.Println(r.Err, r.Flow.Mark)
	}
	// Output:
	// <nil> 0
	// delete flow: no such file or directory 0
	// <nil> 1
}

func ExampleBatch() {
	c := connect()
	defer c.Close()
	w, err := c.NewWriter()
	if err != nil {
		log.Fatal(err)
	}
	defer w.Close()
	var batch conntrack.Batch
	entry := conntrack.Entry{Orig: web, Change: conntrack.Change{Timeout: new(time.Minute)}}
	for port := range uint16(300) {
		entry.Orig.SrcPort = port
		entry.Reply, _ = entry.Orig.Inverse()
		batch.Create(&entry) // entry may be used again
		if batch.Full() || port == 299 {
			if _, err := w.Do(ctx, &batch); err != nil {
				log.Fatal(err)
			}
			batch.Reset()
		}
	}
	usage, err := c.Count(ctx)
	fmt.Println(usage.Entries, err)
	// Output: 303 <nil>
}
