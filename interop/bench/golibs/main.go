//go:build linux

// Golibs dumps the connection tracking table through the Go library that its argument
// names, for the benchmark to compare. It is a module of its own so that spoor does not
// depend on the others.
package main

import (
	"context"
	"fmt"
	"os"
	"syscall"

	"github.com/vishvananda/netlink"

	"github.com/spoor-project/spoor/conntrack"
)

// dumps list the IPv4 flows, each in the way that its library means it to be done, and
// return how many there are.
var dumps = map[string]func() (int, error){
	"spoor/conntrack":     dumpOurs,
	"vishvananda/netlink": dumpVishvananda,
}

func main() {
	if len(os.Args) != 2 || dumps[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: golibs LIBRARY")
		os.Exit(2)
	}
	n, err := dumps[os.Args[1]]()
	if err != nil {
		fmt.Fprintln(os.Stderr, "golibs:", err)
		os.Exit(1)
	}
	fmt.Fprintf(os.Stderr, "golibs: %d flow entries have been shown.\n", n)
}

func dumpOurs() (n int, err error) {
	c, err := conntrack.Dial(nil)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	for _, err := range c.Flows(context.Background(), nil) {
		if err != nil {
			return 0, err
		}
		n++
	}
	return n, nil
}

func dumpVishvananda() (int, error) {
	flows, err := netlink.ConntrackTableList(netlink.ConntrackTable, syscall.AF_INET)
	return len(flows), err
}
