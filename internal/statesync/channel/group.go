//go:build linux

package channel

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// MaxChannels is how many channels a Group may have.
const MaxChannels = 4

// receivePause follows an error of Receive, which nobody expects.
const receivePause = 100 * time.Millisecond

// Group is several channels to the same peer, one of which, the current one, is used to
// send. Like a Channel it has one sender at a time; everything else may be called
// from anywhere.
type Group struct {
	channels []*Channel
	links    *Links
	close    func() error

	mu       sync.Mutex
	failover *Failover
}

// NewGroup makes a group of one to four channels, in the order of preference. The first
// to send on is the one with the index current, whatever the state of its device.
//
// The group closes the channels and links, unless there is an error: ENOENT without any
// channel, as conntrackd says it, EINVAL for too many and for a current one that is not
// among them.
func NewGroup(channels []*Channel, current int, links *Links) (*Group, error) {
	if len(channels) == 0 {
		return nil, fmt.Errorf("group of no channels: %w", unix.ENOENT)
	}
	if len(channels) > MaxChannels || current < 0 || current >= len(channels) {
		return nil, fmt.Errorf("group of %d channels beginning with %d: %w", len(channels), current, unix.EINVAL)
	}
	g := &Group{channels: channels, links: links}
	devices := make([]string, len(channels))
	for i, c := range channels {
		devices[i] = c.device
	}
	g.failover = NewFailover(devices, current)
	for _, d := range devices {
		g.failover.Seen(d, links.Get(d).State)
	}
	g.close = sync.OnceValue(func() error {
		err := links.Close()
		for _, c := range channels {
			err = errors.Join(err, c.Close())
		}
		return err
	})
	return g, nil
}

// Channels returns the channels, for their statistics. They and the slice stay the
// group's.
func (g *Group) Channels() []*Channel { return g.channels }

// Current is the index of the current channel.
func (g *Group) Current() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.failover.Current()
}

// Link is the state of a channel's device.
func (g *Group) Link(channel int) LinkState {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.failover.State(channel)
}

// Accepted tells that a message which came on the channel was understood: from now on we
// send there.
func (g *Group) Accepted(channel int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.failover.Accepted(channel)
}

// Send sends on the current channel, see [Channel.Send].
func (g *Group) Send(datagrams ...[]byte) error { return g.channels[g.Current()].Send(datagrams...) }

// Room is that of the current channel, see [Channel.Room].
func (g *Group) Room() int { return g.channels[g.Current()].Room() }

// Run receives on all channels and follows their devices, until ctx ends or the group is
// closed; then it closes the group and returns nil when all of its goroutines have ended.
// The only error is that the devices cannot be followed any more.
//
// deliver gets what came on a channel. It is called by one goroutine for each channel, and
// while it runs its channel does not receive: the kernel keeps what comes meanwhile. The
// datagrams are lent until it returns.
//
// news gets the verdict about each piece of news about a device, with the current
// channel's device; it may be nil. conntrackd logs "device `DEV' becomes dedicated
// link" for Switched and "no dedicated links available!" for NoneLeft.
func (g *Group) Run(ctx context.Context, deliver func(channel int, datagrams [][]byte), news func(v Verdict, device string)) error {
	stop := context.AfterFunc(ctx, func() { g.Close() })
	defer stop()
	var wg sync.WaitGroup
	for i := range g.channels {
		wg.Go(func() { g.receive(i, deliver) })
	}
	err := g.follow(news)
	g.Close()
	wg.Wait()
	return err
}

// Close closes the channels and ends Run, for which it does not wait.
func (g *Group) Close() error { return g.close() }

func (g *Group) receive(i int, deliver func(int, [][]byte)) {
	for b := new(Batch); ; {
		switch err := g.channels[i].Receive(b); {
		case err == nil:
			deliver(i, b.Datagrams)
		case errors.Is(err, os.ErrClosed):
			return
		default:
			time.Sleep(receivePause)
		}
	}
}

// follow returns nil when the group is closed.
func (g *Group) follow(news func(Verdict, string)) error {
	for {
		link, err := g.links.Next()
		if errors.Is(err, os.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		for _, c := range g.channels {
			if c.device == link.Name && link.MTU > 0 {
				c.SetMTU(link.MTU)
			}
		}
		g.mu.Lock()
		v := g.failover.Link(link.Name, link.State)
		device := g.channels[g.failover.Current()].device
		g.mu.Unlock()
		if news != nil {
			news(v, device)
		}
	}
}
