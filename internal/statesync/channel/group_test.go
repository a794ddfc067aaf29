//go:build linux

package channel_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/spoor-project/spoor/internal/nstest"
	"github.com/spoor-project/spoor/internal/statesync/channel"
)

// twoCables is a link with a second cable, eth1.
func twoCables(t *testing.T) *link {
	t.Helper()
	l := newLink(t)
	nstest.Link(t, nstest.End{NS: l.nodes[0], Dev: "eth1", Addrs: []string{"10.0.1.1/24"}},
		nstest.End{NS: l.nodes[1], Dev: "eth1", Addrs: []string{"10.0.1.2/24"}})
	return l
}

// running is a group whose Run runs. What it delivers is put into heard as "channel text",
// what it says about links into news.
type running struct {
	*channel.Group
	heard, news chan string
	stop        func()
}

// group runs one side of a group with a channel for each of the two cables. It follows
// the peer, as statesync does.
func (l *link) group(t *testing.T, kind channel.Kind, side int) *running {
	t.Helper()
	var channels []*channel.Channel
	for i := range 2 {
		o := l.options(kind, "4", side)
		o.Interface = fmt.Sprintf("eth%d", i)
		o.Port += uint16(i)
		o.Split = nil
		o.Local = netip.AddrFrom4([4]byte{10, 0, byte(i), byte(side + 1)})
		if kind != channel.Multicast {
			o.Remote = netip.AddrFrom4([4]byte{10, 0, byte(i), byte(2 - side)})
		}
		channels = append(channels, open(t, o))
	}
	links, err := channel.OpenLinks(l.files[side])
	if err != nil {
		t.Fatal(err)
	}
	g, err := channel.NewGroup(channels, 0, links)
	if err != nil {
		t.Fatal(err)
	}
	r := &running{Group: g, heard: make(chan string, 1000), news: make(chan string, 1000)}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		err := g.Run(ctx, func(i int, datagrams [][]byte) {
			for _, d := range datagrams {
				g.Accepted(i)
				r.heard <- fmt.Sprintf("%d %s", i, d)
			}
		}, func(v channel.Verdict, device string) {
			switch v {
			case channel.Switched:
				r.news <- device
			case channel.NoneLeft:
				r.news <- "none"
			}
		})
		if err != nil {
			t.Errorf("run: %v", err)
		}
	})
	r.stop = func() {
		cancel()
		wg.Wait()
	}
	t.Cleanup(r.stop)
	return r
}

func expect(t *testing.T, from <-chan string, want string) {
	t.Helper()
	select {
	case got := <-from:
		if got != want {
			t.Fatalf("got %q, want %q", got, want)
		}
	case <-time.After(20 * time.Second):
		t.Fatalf("%q did not come", want)
	}
}

func (r *running) send(t *testing.T, text string) {
	t.Helper()
	if err := r.Send([]byte(text)); err != nil {
		t.Fatal(err)
	}
}

func TestGroupFollowsLinksAndPeer(t *testing.T) {
	t.Parallel()
	for _, kind := range []channel.Kind{channel.UDP, channel.Multicast, channel.TCP} {
		t.Run(kind.String(), func(t *testing.T) {
			t.Parallel()
			l := twoCables(t)
			a, b := l.group(t, kind, 0), l.group(t, kind, 1)
			a.send(t, "one")
			expect(t, b.heard, "0 one")
			b.send(t, "two")
			expect(t, a.heard, "0 two")

			// Where the cable is unplugged both see it, the peer without own doing.
			l.nodes[0].MustRun(t, "ip", "link", "set", "eth0", "down")
			expect(t, a.news, "eth1")
			expect(t, b.news, "eth1")
			if a.Link(0) != channel.Down || b.Link(0) != channel.NoCarrier || a.Link(1) != channel.Running {
				t.Errorf("links: %v, %v, %v", a.Link(0), b.Link(0), a.Link(1))
			}
			a.send(t, "three")
			expect(t, b.heard, "1 three")

			// It comes back, but nobody does.
			l.nodes[0].MustRun(t, "ip", "link", "set", "eth0", "up")
			wait(t, "carrier", func() bool { return a.Link(0) == channel.Running && b.Link(0) == channel.Running })
			b.send(t, "four")
			expect(t, a.heard, "1 four")

			// Who hears the peer elsewhere goes there.
			b.Accepted(0)
			b.send(t, "five")
			expect(t, a.heard, "0 five")
			a.send(t, "six")
			expect(t, b.heard, "0 six")

			l.nodes[0].MustRun(t, "ip", "link", "set", "eth1", "down")
			wait(t, "no carrier", func() bool { return b.Link(1) == channel.NoCarrier && a.Link(1) == channel.Down })
			l.nodes[0].MustRun(t, "ip", "link", "set", "eth0", "down")
			expect(t, a.news, "none")
			expect(t, b.news, "eth1") // of two without carrier, the other one
			if kind == channel.TCP {
				return
			}
			for side, g := range []*running{a, b} {
				for i, c := range g.Channels() {
					if s := c.Stats(); s.SentPackets == 0 || s.ReceivedPackets == 0 {
						t.Errorf("side %d, channel %d: %+v", side, i, s)
					}
				}
			}
		})
	}
}

func TestGroupsRoomFollowsTheMTU(t *testing.T) {
	t.Parallel()
	l := twoCables(t)
	a := l.group(t, channel.UDP, 0)
	if a.Room() != 1472 {
		t.Errorf("room %d, want 1472", a.Room())
	}
	l.nodes[0].MustRun(t, "ip", "link", "set", "eth0", "mtu", "1000")
	wait(t, "smaller room", func() bool { return a.Room() == 972 })
	if got := a.Channels()[1].Room(); got != 1472 {
		t.Errorf("room of the other channel: %d, want 1472", got)
	}
}

func TestNewGroupChecksItsChannels(t *testing.T) {
	t.Parallel()
	ns := nstest.New(t)
	ns.LoopbackUp()
	file := namespace(t, ns)
	var channels []*channel.Channel
	for range channel.MaxChannels + 1 {
		channels = append(channels, open(t, &channel.Options{Kind: channel.UDP, Interface: "lo", NetNS: file}))
	}
	links := openLinks(t, ns)
	for _, tt := range []struct {
		n, current int
		want       error
	}{{0, 0, syscall.ENOENT}, {channel.MaxChannels + 1, 0, syscall.EINVAL}, {2, 2, syscall.EINVAL}, {2, -1, syscall.EINVAL}} {
		if _, err := channel.NewGroup(channels[:tt.n], tt.current, links); !errors.Is(err, tt.want) {
			t.Errorf("%d channels beginning with %d: %v", tt.n, tt.current, err)
		}
	}
	g, err := channel.NewGroup(channels[:4], 3, links)
	if err != nil || g.Current() != 3 {
		t.Errorf("four channels beginning with 3: current %d, %v", g.Current(), err)
	}
}

func TestGroupLeavesNothingBehind(t *testing.T) {
	l := twoCables(t)
	open(t, l.options(channel.UDP, "4", 0)).Close() // the runtime's poller opens files once
	for _, kind := range []channel.Kind{channel.UDP, channel.TCP} {
		t.Run(kind.String(), func(t *testing.T) {
			noLeaks(t)
			for range 5 {
				a, b := l.group(t, kind, 0), l.group(t, kind, 1)
				a.send(t, "hello")
				a.stop() // ends the context
				b.Close()
				b.stop()
				if err := a.Send([]byte("too late")); !errors.Is(err, os.ErrClosed) {
					t.Errorf("send after the end: %v", err)
				}
			}
		})
	}
}
