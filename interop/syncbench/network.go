//go:build linux

package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// namespace is a network namespace. It lives as long as it is open or somebody is in it.
type namespace struct{ file *os.File }

// threadNS is the namespace of the calling thread.
const threadNS = "/proc/thread-self/ns/net"

func ownNamespace() (*namespace, error) {
	f, err := os.Open(threadNS)
	if err != nil {
		return nil, err
	}
	return &namespace{f}, nil
}

// newNamespace makes an empty one.
func newNamespace(home *namespace) (ns *namespace, err error) {
	err = home.back(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return os.NewSyscallError("unshare", err)
		}
		ns, err = ownNamespace()
		return err
	})
	return ns, err
}

// within calls f on a thread that is in the namespace. Programs that f starts are there; threads and so
// goroutines are not.
func (ns *namespace) within(home *namespace, f func() error) error {
	return home.back(func() error {
		if err := ns.enter(); err != nil {
			return err
		}
		return f()
	})
}

// path names the namespace while it is open.
func (ns *namespace) path() string { return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), ns.file.Fd()) }

func (ns *namespace) enter() error {
	return os.NewSyscallError("setns", unix.Setns(int(ns.file.Fd()), unix.CLONE_NEWNET))
}

// back calls f, which may go elsewhere, and comes home again.
func (ns *namespace) back(f func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := f()
	if home := ns.enter(); home != nil {
		panic(home) // nothing that follows would do what it says
	}
	return err
}

// Devices and addresses. What the source sends is tracked by the first node, which sends it on into the sink. The
// sink is a cable to the source's namespace, which takes what comes out of it for somebody else's.
//
//	source          first                        second
//	packets ──────▶ in
//	dropped ◀────── out
//	                sync ──────────────────────── sync
//	                192.168.77.1                  192.168.77.2
const (
	sourceDevice = "packets"
	sinkDevice   = "dropped"
	inDevice     = "in"
	outDevice    = "out"
	syncDevice   = "sync"
	syncPort     = 3780
)

// inMAC is the address of inDevice; nobody has nobodyMAC.
var (
	inMAC     = mac{2, 0, 0, 0, 0, 1}
	nobodyMAC = mac{2, 0, 0, 0, 0, 9}
)

func (m mac) String() string { return net.HardwareAddr(m[:]).String() }

func syncAddress(node int) string { return "192.168.77." + strconv.Itoa(node) }

// rules make the first node track what passes, but not what the daemons say to each other.
const rules = `table ip bench {
	chain before { type filter hook prerouting priority raw; iifname "` + syncDevice + `" notrack; }
	chain own { type filter hook output priority raw; oifname "` + syncDevice + `" notrack; }
	chain forward { type filter hook forward priority filter; ct state new accept; }
}
`

// longLived are timeouts, in seconds, that no flow sees the end of.
const longLived = "36000"

// network is the namespaces and what joins them. The process itself is in the first node's.
type network struct {
	first, second, source *namespace
}

// newNetwork makes it in the namespace of this process, which must be an empty one.
func newNetwork(ctx context.Context) (*network, error) {
	n := &network{}
	var err error
	if n.first, err = ownNamespace(); err != nil {
		return nil, err
	}
	for _, ns := range []**namespace{&n.second, &n.source} {
		if *ns, err = newNamespace(n.first); err != nil {
			return nil, err
		}
	}
	for _, ns := range []*namespace{n.first, n.second, n.source} {
		// Nobody speaks IPv6 here, so nobody should look for neighbours either.
		if err := n.set(ns, "net/ipv6/conf/default/disable_ipv6", "1"); err != nil && !os.IsNotExist(err) {
			return nil, err
		}
	}
	if err := n.lay(ctx); err != nil {
		return nil, err
	}
	for name, value := range map[string]string{
		"net/ipv4/ip_forward":                                "1",
		"net/ipv4/conf/all/rp_filter":                        "0",
		"net/ipv4/conf/" + inDevice + "/rp_filter":           "0",
		"net/netfilter/nf_conntrack_udp_timeout":             longLived,
		"net/netfilter/nf_conntrack_udp_timeout_stream":      longLived,
		"net/netfilter/nf_conntrack_tcp_timeout_syn_sent":    longLived,
		"net/netfilter/nf_conntrack_tcp_timeout_syn_recv":    longLived,
		"net/netfilter/nf_conntrack_tcp_timeout_established": longLived,
		"net/netfilter/nf_conntrack_tcp_timeout_fin_wait":    longLived,
		"net/netfilter/nf_conntrack_tcp_timeout_close_wait":  longLived,
		"net/netfilter/nf_conntrack_tcp_timeout_last_ack":    longLived,
		"net/netfilter/nf_conntrack_tcp_timeout_time_wait":   longLived,
		"net/netfilter/nf_conntrack_tcp_timeout_close":       longLived,
	} {
		if err := n.set(n.first, name, value); err != nil {
			return nil, err
		}
	}
	nft := exec.CommandContext(ctx, "nft", "-f", "-")
	nft.Stdin = strings.NewReader(rules)
	if out, err := nft.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("nft: %w: %s", err, out)
	}
	return n, nil
}

// lay lays the cables.
func (n *network) lay(ctx context.Context) error {
	for _, c := range []struct {
		device, address string
		peer            string
		peerNS          *namespace
	}{
		{inDevice, inMAC.String(), sourceDevice, n.source},
		{outDevice, "02:00:00:00:00:02", sinkDevice, n.source},
		{syncDevice, "02:00:00:00:00:03", syncDevice, n.second},
	} {
		if err := n.ip(ctx, n.first, "link add", c.device, "address", c.address, "type veth peer name", c.peer, "netns", c.peerNS.path()); err != nil {
			return err
		}
		if err := n.ip(ctx, n.first, "link set", c.device, "up"); err != nil {
			return err
		}
		if err := n.ip(ctx, c.peerNS, "link set", c.peer, "up"); err != nil {
			return err
		}
	}
	for _, c := range []struct {
		ns    *namespace
		words string
	}{
		{n.first, "address add " + syncAddress(1) + "/24 dev " + syncDevice},
		{n.second, "address add " + syncAddress(2) + "/24 dev " + syncDevice},
		{n.first, "address add 192.168.78.1/24 dev " + inDevice},
		{n.first, "address add 192.168.79.1/24 dev " + outDevice},
		{n.first, "neighbour add 192.168.79.2 lladdr " + nobodyMAC.String() + " dev " + outDevice + " nud permanent"},
		{n.first, "route add default via 192.168.79.2"},
	} {
		if err := n.ip(ctx, c.ns, c.words); err != nil {
			return err
		}
	}
	return nil
}

// ip runs ip(8) in a namespace.
func (n *network) ip(ctx context.Context, ns *namespace, words ...string) error {
	args := strings.Fields(strings.Join(words, " "))
	return ns.within(n.first, func() error {
		if out, err := exec.CommandContext(ctx, "ip", args...).CombinedOutput(); err != nil {
			return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, out)
		}
		return nil
	})
}

// set sets a variable of the kernel.
func (n *network) set(ns *namespace, name, value string) error {
	return ns.within(n.first, func() error { return os.WriteFile("/proc/sys/"+name, []byte(value), 0) })
}

// entries is how many flows a namespace's table has.
func (n *network) entries(ns *namespace) (count int, err error) {
	err = ns.within(n.first, func() error {
		text, err := os.ReadFile("/proc/sys/net/netfilter/nf_conntrack_count")
		if err != nil {
			return err
		}
		count, err = strconv.Atoi(strings.TrimSpace(string(text)))
		return err
	})
	return count, err
}
