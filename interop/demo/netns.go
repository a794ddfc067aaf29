//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// netns is a network namespace. A thread lives in it and never leaves; what it opens and
// starts is inside. The namespace has no name, so it ends with the program.
type netns struct {
	work chan func()
	file *os.File
}

func newNetns() (*netns, error) {
	n := &netns{work: make(chan func())}
	made := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlock: the thread ends with the goroutine
		err := os.NewSyscallError("unshare", unix.Unshare(unix.CLONE_NEWNET))
		if err == nil {
			n.file, err = os.Open("/proc/thread-self/ns/net")
		}
		made <- err
		if err != nil {
			return
		}
		for f := range n.work {
			f()
		}
	}()
	if err := <-made; err != nil {
		return nil, fmt.Errorf("make a network namespace: %w", err)
	}
	return n, nil
}

// close ends the thread, and with it the programs that it started.
func (n *netns) close() {
	close(n.work)
	n.file.Close()
}

// do runs f inside.
func (n *netns) do(f func()) {
	done := make(chan struct{})
	n.work <- func() { f(); close(done) }
	<-done
}

// path names the namespace for programs.
func (n *netns) path() string { return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), n.file.Fd()) }

// start starts a program inside. It is killed when this one ends.
func (n *netns) start(cmd *exec.Cmd) (err error) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	n.do(func() { err = cmd.Start() })
	return err
}

// run runs a program inside and returns its output.
func (n *netns) run(ctx context.Context, input string, argv ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.WaitDelay = time.Second
	var out, complaint bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(input), &out, &complaint
	err := n.start(cmd)
	if err == nil {
		err = cmd.Wait()
	}
	if err != nil {
		return "", fmt.Errorf("%s: %w\n%s", strings.Join(argv, " "), err, strings.TrimSpace(complaint.String()))
	}
	return out.String(), nil
}

// ip carries out lines of ip(8).
func (n *netns) ip(ctx context.Context, lines ...string) error {
	_, err := n.run(ctx, strings.Join(lines, "\n")+"\n", "ip", "-batch", "-")
	return err
}

func (n *netns) sysctl(name, value string) (err error) {
	n.do(func() { err = os.WriteFile("/proc/sys/"+name, []byte(value), 0) })
	return err
}

// running waits until a device has a carrier.
func (n *netns) running(ctx context.Context, device string) error {
	for end := time.Now().Add(5 * time.Second); ; {
		var dev *net.Interface
		var err error
		n.do(func() { dev, err = net.InterfaceByName(device) })
		switch {
		case err != nil:
			return err
		case dev.Flags&net.FlagRunning != 0:
			return nil
		case time.Now().After(end):
			return fmt.Errorf("%s gets no carrier", device)
		}
		if err := pause(ctx, 5*time.Millisecond); err != nil {
			return err
		}
	}
}

// announce tells everyone on the device's cable that it has the address: gratuitous ARP.
func (n *netns) announce(device string, addr netip.Addr) error {
	var dev *net.Interface
	var err error
	fd := -1
	n.do(func() {
		if dev, err = net.InterfaceByName(device); err == nil {
			fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		}
	})
	if err != nil {
		return fmt.Errorf("announce %s: %w", addr, err)
	}
	defer unix.Close(fd)
	arp := []byte{0, 1, 8, 0, 6, 4, 0, 1} // Ethernet, IPv4, lengths of the addresses, request
	for range 2 {                         // sender and target
		arp = append(append(arp, dev.HardwareAddr...), addr.AsSlice()...)
	}
	to := &unix.SockaddrLinklayer{
		Protocol: binary.NativeEndian.Uint16([]byte{8, 6}), Ifindex: dev.Index,
		Halen: 6, Addr: [8]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
	}
	return os.NewSyscallError("announce by ARP", unix.Sendto(fd, arp, 0, to))
}

// connect joins the namespaces. Client and server each have a switch in front of them that the firewalls
// are plugged into.
func (p *play) connect(ctx context.Context) error {
	// The kernel is quick to see the carrier of a cable whose ends have different indices, and otherwise may
	// take a second.
	index := 100
	veth := func(name, peer string, to *netns) string {
		index += 2
		return fmt.Sprintf("link add %s index %d type veth peer name %s index %d netns %s", name, index, peer, index+1, to.path())
	}
	for _, side := range []struct {
		ns            *netns
		name, address string
	}{{p.client, "lan", "10.0.1.7/24"}, {p.server, "wan", "203.0.113.5/24"}} {
		lines := []string{"link set lo up", "link add " + side.name + " type bridge", "address add " + side.address + " dev " + side.name}
		for i, f := range p.firewalls {
			port := fmt.Sprintf("port%d", i+1)
			lines = append(lines, veth(port, side.name, f.ns), fmt.Sprintf("link set %s master %s up", port, side.name))
		}
		if err := side.ns.ip(ctx, append(lines, "link set "+side.name+" up")...); err != nil {
			return err
		}
	}
	first, second := p.firewalls[0], p.firewalls[1]
	if err := first.ns.ip(ctx, veth("sync", "sync", second.ns)); err != nil {
		return err
	}
	for _, f := range p.firewalls {
		if err := f.configure(ctx); err != nil {
			return err
		}
	}
	for _, f := range p.firewalls {
		for _, device := range []string{"lan", "wan", "sync"} {
			if err := f.ns.running(ctx, device); err != nil {
				return err
			}
		}
	}
	return errors.Join(first.takeAddresses(ctx), p.client.ip(ctx, "route add default via "+sharedInside.String()))
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
