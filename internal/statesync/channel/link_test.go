//go:build linux

package channel_test

import (
	"errors"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spoor-project/spoor/internal/nstest"
	"github.com/spoor-project/spoor/internal/statesync/channel"
)

func openLinks(t *testing.T, ns *nstest.NS) *channel.Links {
	t.Helper()
	links, err := channel.OpenLinks(namespace(t, ns))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { links.Close() })
	return links
}

// until reads news until there is one of the device that is as wanted.
func until(t *testing.T, links *channel.Links, device string, want func(channel.Link) bool) channel.Link {
	t.Helper()
	timer := time.AfterFunc(20*time.Second, func() { links.Close() })
	defer timer.Stop()
	for {
		link, err := links.Next()
		if err != nil {
			t.Fatalf("%s: %v", device, err)
		}
		if link.Name == device && want(link) {
			return link
		}
	}
}

func state(s channel.LinkState) func(channel.Link) bool {
	return func(l channel.Link) bool { return l.State == s }
}

func TestLinksTellTheStateOfDevices(t *testing.T) {
	t.Parallel()
	ns := nstest.New(t)
	run := func(command string) {
		t.Helper()
		ns.MustRun(t, strings.Fields("ip link "+command)...)
	}
	run("add west type veth peer name east")
	links := openLinks(t, ns)
	for _, device := range []string{"west", "east", "lo"} {
		if l := links.Get(device); l.Index == 0 || l.State != channel.Down || l.MTU == 0 {
			t.Errorf("at first: %+v", l)
		}
	}
	if l := links.Get("north"); l != (channel.Link{}) {
		t.Errorf("a device that does not exist: %+v", l)
	}
	run("set west up")
	until(t, links, "west", state(channel.NoCarrier))
	run("set east up")
	until(t, links, "west", state(channel.Running))
	if l := links.Get("east"); l.State != channel.Running {
		t.Errorf("the other end: %+v", l)
	}
	run("set west mtu 1400")
	until(t, links, "west", func(l channel.Link) bool { return l.MTU == 1400 && l.State == channel.Running })
	run("set east down")
	until(t, links, "west", state(channel.NoCarrier))
	run("set west down")
	until(t, links, "west", state(channel.Down))

	run("set west name south")
	until(t, links, "west", func(l channel.Link) bool { return l.State == channel.Down && l.MTU == 0 })
	south := until(t, links, "south", func(l channel.Link) bool { return l.MTU == 1400 })
	if links.Get("west").Index != 0 || links.Get("south") != south {
		t.Errorf("renamed: %+v, %+v", links.Get("west"), links.Get("south"))
	}
	run("del south")
	until(t, links, "south", func(l channel.Link) bool { return l.Index == south.Index && l.MTU == 0 })
	if l := links.Get("south"); l.Index != 0 {
		t.Errorf("removed: %+v", l)
	}
	run("add south type veth peer name east")
	if l := until(t, links, "south", func(l channel.Link) bool { return l.MTU != 0 }); l.Index == south.Index {
		t.Errorf("a new device: %+v", l)
	}
}

// The news that a port leaves its bridge is not the end of the device.
func TestLinksOfBridgePortsStay(t *testing.T) {
	t.Parallel()
	ns := nstest.New(t)
	if _, stderr, code := ns.Run(t, "ip", "link", "add", "br0", "type", "bridge"); code != 0 {
		nstest.Unavailable(t, []string{"bridge"}, "no bridges here: "+stderr)
	}
	links := openLinks(t, ns)
	for _, command := range []string{"add west type veth peer name east", "set west master br0", "set west nomaster", "set west mtu 1400"} {
		ns.MustRun(t, strings.Fields("ip link "+command)...)
	}
	timer := time.AfterFunc(20*time.Second, func() { links.Close() })
	defer timer.Stop()
	for {
		link, err := links.Next()
		if err != nil {
			t.Fatal(err)
		}
		if link.Name == "west" && link.MTU == 0 {
			t.Fatal("the port is taken for gone")
		}
		if link.Name == "west" && link.MTU == 1400 {
			return
		}
	}
}

func TestLinksAreReadAgainWhenNewsWereLost(t *testing.T) {
	t.Parallel()
	ns := nstest.New(t)
	ns.MustRun(t, "ip", "link", "add", "west", "type", "veth", "peer", "name", "east")
	links := openLinks(t, ns)
	// Nobody reads meanwhile, and this is more than a socket holds.
	ns.Do(func() {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
		req, _ := unix.NewIfreq("lo")
		for i := range 1000 {
			req.SetUint32(uint32(2000 + i))
			if err := unix.IoctlIfreq(fd, unix.SIOCSIFMTU, req); err != nil {
				t.Fatal(err)
			}
		}
	})
	ns.MustRun(t, "ip", "link", "set", "lo", "mtu", "1234")
	ns.MustRun(t, "ip", "link", "del", "west")
	ns.MustRun(t, "ip", "link", "add", "west", "mtu", "1300", "type", "veth", "peer", "name", "south")
	until(t, links, "east", func(l channel.Link) bool { return l.MTU == 0 })
	told := map[string]int{}
	for len(told) < 3 {
		l, err := links.Next()
		if err != nil {
			t.Fatal(err)
		}
		if l.MTU != 0 {
			told[l.Name] = l.MTU
		} else {
			delete(told, l.Name)
		}
	}
	if told["lo"] != 1234 || told["west"] != 1300 || told["south"] == 0 {
		t.Errorf("told %v", told)
	}
	if links.Get("lo").MTU != 1234 || links.Get("west").MTU != 1300 || links.Get("east").Index != 0 {
		t.Errorf("%+v %+v %+v", links.Get("lo"), links.Get("west"), links.Get("east"))
	}
}

func TestLinksOfManyDevicesAreAllRead(t *testing.T) {
	t.Parallel()
	ns := nstest.New(t)
	const pairs = 40 // more than one datagram of a dump holds
	for i := range pairs {
		n := strconv.Itoa(i)
		ns.MustRun(t, "ip", "link", "add", "west"+n, "type", "veth", "peer", "name", "east"+n)
	}
	links := openLinks(t, ns)
	for i := range pairs {
		for _, side := range []string{"west", "east"} {
			if l := links.Get(side + strconv.Itoa(i)); l.Index == 0 {
				t.Errorf("%s%d is missing", side, i)
			}
		}
	}
}

func TestCloseUnblocksLinks(t *testing.T) {
	t.Parallel()
	links := openLinks(t, nstest.New(t))
	done := make(chan error)
	go func() {
		_, err := links.Next()
		done <- err
	}()
	time.Sleep(20 * time.Millisecond)
	links.Close()
	if err := <-done; !errors.Is(err, os.ErrClosed) {
		t.Errorf("got %v, want %v", err, os.ErrClosed)
	}
}
