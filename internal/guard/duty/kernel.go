package duty

import (
	"context"
	"fmt"
	"iter"
	"os"
	"strings"
	"time"

	"github.com/spoor-project/spoor/conntrack"
	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/netns"
	tables "github.com/spoor-project/spoor/internal/table" // table is the one of nftables
)

// Kernel is what a [Watch] wants of connection tracking. [Conntrack] is the real one.
type Kernel interface {
	Subscribe() (Events, error)
	// Read hands the whole table over in pieces, which may be taken by several goroutines at once. Flows are valid until the next.
	Read(ctx context.Context, take func(iter.Seq[*flow.Flow]) error) error
	Count(ctx context.Context) (conntrack.Usage, error)
}

// Events are changes of the table. [conntrack.Follower] has them.
type Events interface {
	Events(ctx context.Context) iter.Seq2[flow.Event, error]
	Queued() bool // more is at hand
	Close() error
}

// Conntrack is the table of a network namespace. It reads for one goroutine.
type Conntrack struct {
	Client *conntrack.Client
	NetNS  string // path of the namespace that the client is of; "" is the caller's
	Way    tables.Way
	// Buffer bounds the memory in which the kernel queues events, in bytes; 0 is 256 MB.
	Buffer int

	table *tables.Table
	small uint32 // entries when the table was opened
}

// gather is how late events may come while there are many: handing over many at once costs less.
const gather = 20 * time.Millisecond

// Subscribe begins to queue events.
func (c *Conntrack) Subscribe() (Events, error) {
	opts := &conntrack.FollowOptions{Gather: gather, MaxBuffer: c.Buffer}
	if c.Buffer > 0 {
		opts.Buffer = min(c.Buffer, 8<<20)
	}
	return c.Client.Subscribe(opts)
}

// Count tells how full the table is.
func (c *Conntrack) Count(ctx context.Context) (conntrack.Usage, error) { return c.Client.Count(ctx) }

// Read reads the table the fastest way.
func (c *Conntrack) Read(ctx context.Context, take func(iter.Seq[*flow.Flow]) error) error {
	if err := c.open(ctx); err != nil {
		return err
	}
	err := c.table.Chunks(ctx, nil, func(chunk *tables.Chunk) error { return take(chunk.Flows()) })
	if err != nil && c.table.BySnapshot() && c.Way != tables.Snapshot && ctx.Err() == nil {
		c.Close()
		c.Way = tables.Netlink // may still work, the next time
	}
	return err
}

// open opens the table, and again when it has become so large that there may be a faster way.
func (c *Conntrack) open(ctx context.Context) error {
	u, err := c.Client.Count(ctx)
	if err != nil {
		return err
	}
	if c.table != nil && (c.table.BySnapshot() || u.Entries < 2*c.small) {
		return nil
	}
	c.Close()
	c.small = max(10_000, u.Entries)
	c.table, err = tables.Open(ctx, c.Client, &tables.Options{NetNS: c.NetNS, Way: c.Way})
	return err
}

// Close releases what is held to read the table. The client stays open.
func (c *Conntrack) Close() {
	if c.table != nil {
		c.table.Close()
		c.table = nil
	}
}

// Warnings tells what the settings of a namespace keep a guard from seeing. upload: it is to see how much is sent.
func Warnings(path string, upload bool) (all []string) {
	setting := func(name string) string {
		text, err := os.ReadFile("/proc/sys/net/netfilter/" + name)
		if err != nil {
			return ""
		}
		return strings.TrimSpace(string(text))
	}
	err := netns.DoAt(path, func() error {
		if setting("nf_conntrack_events") == "0" {
			all = append(all, "the kernel tells no events, so that next to nothing can be seen: sysctl -w net.netfilter.nf_conntrack_events=1")
		}
		if upload && setting("nf_conntrack_acct") == "0" {
			all = append(all, "flows do not count bytes, so that uploads cannot be seen: sysctl -w net.netfilter.nf_conntrack_acct=1")
		}
		return nil
	})
	if err != nil {
		all = append(all, fmt.Sprintf("the settings cannot be read: %v", err))
	}
	return all
}
