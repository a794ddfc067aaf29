//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"
)

// The shared addresses, which the firewall that works has.
var (
	sharedInside  = netip.MustParseAddr("10.0.1.1")
	sharedOutside = netip.MustParseAddr("203.0.113.1")
)

// rules let connections out that begin as they should, and nothing else. Without its entry a connection is
// dropped in its middle, and its port, drawn at random, is not guessed again.
const rules = `
table ip demo {
	chain input {
		type filter hook input priority filter; policy drop
		iifname "sync" accept
	}
	chain forward {
		type filter hook forward priority filter; policy drop
		ct state established accept
		iifname "lan" ct state new tcp flags & (fin | syn | rst | ack) == syn accept
	}
	chain postrouting {
		type nat hook postrouting priority srcnat
		oifname "wan" snat to 203.0.113.1 random
	}
}
`

// config is a node's conntrackd.conf.
const config = `
Sync {
	Mode FTFW { }
	UDP {
		IPv4_address 192.168.100.%[1]d
		IPv4_Destination_Address 192.168.100.%[2]d
		Port 3780
		Interface sync
	}
}
General {
	LogFile %[3]s.log
	LockFile %[3]s.lock
	UNIX { Path %[3]s.ctl }
	NetlinkBufferSize 2097152
	NetlinkBufferSizeMaxGrowth 8388608
	Filter From Userspace {
		Protocol Accept { TCP }
		Address Ignore { IPv4_address 127.0.0.1 IPv4_address 192.168.100.0/24 }
	}
}
`

// program is a conntrackd.
type program struct{ path, version string }

// findPrograms finds what the firewalls run, and what else is needed.
func findPrograms(ctx context.Context, s *settings) (both [2]program, err error) {
	os.Setenv("PATH", os.Getenv("PATH")+":/usr/local/sbin:/usr/sbin:/sbin")
	for _, name := range []string{"ip", "nft"} {
		if _, err := exec.LookPath(name); err != nil {
			return both, fmt.Errorf("%s is not installed", name)
		}
	}
	for i := range both {
		path := s.ours
		if s.theirs == i+1 {
			path = "/usr/sbin/conntrackd"
		}
		if path, err = exec.LookPath(path); err == nil {
			path, err = filepath.Abs(path)
		}
		if err != nil {
			return both, fmt.Errorf("find conntrackd: %w", err)
		}
		out, err := exec.CommandContext(ctx, path, "-v").Output()
		if err != nil {
			return both, fmt.Errorf("%s -v: %w", path, err)
		}
		both[i] = program{path, versionIn(string(out))}
	}
	return both, nil
}

// versionIn takes a conntrackd's version out of what -v says.
func versionIn(text string) string {
	if m := regexp.MustCompile(`spoor [0-9.]*[0-9]`).FindString(text); m != "" {
		return m
	}
	if m := regexp.MustCompile(`v([0-9.]*[0-9])`).FindStringSubmatch(text); m != nil {
		return "conntrack-tools " + m[1]
	}
	return "an unknown version"
}

// firewall is one of the two.
type firewall struct {
	number  int
	ns      *netns
	program program
	files   string // what their names begin with
	daemon  *exec.Cmd
	ended   chan struct{} // closed when the daemon has
}

func newFirewall(number int, dir string, program program) (*firewall, error) {
	ns, err := newNetns()
	if err != nil {
		return nil, err
	}
	f := &firewall{number: number, ns: ns, program: program, files: filepath.Join(dir, fmt.Sprint(number))}
	text := fmt.Sprintf(config, number, 3-number, f.files)
	if err := os.WriteFile(f.files+".conf", []byte(text), 0o600); err != nil {
		ns.close()
		return nil, err
	}
	return f, nil
}

// configure gives the firewall its own addresses and its rules.
func (f *firewall) configure(ctx context.Context) error {
	err := f.ns.ip(ctx,
		fmt.Sprintf("address add 10.0.1.%d/24 dev lan", 250+f.number),
		fmt.Sprintf("address add 203.0.113.%d/24 dev wan", 250+f.number),
		fmt.Sprintf("address add 192.168.100.%d/24 dev sync", f.number),
		"link set lo up", "link set lan up", "link set wan up", "link set sync up")
	if err == nil {
		_, err = f.ns.run(ctx, rules, "nft", "-f", "-")
	}
	return errors.Join(err, f.ns.sysctl("net/ipv4/ip_forward", "1"))
}

// takeAddresses makes the firewall the one that packets are sent to.
func (f *firewall) takeAddresses(ctx context.Context) error {
	err := f.ns.ip(ctx, "address add "+sharedInside.String()+"/24 dev lan", "address add "+sharedOutside.String()+"/24 dev wan")
	return errors.Join(err, f.ns.announce("lan", sharedInside), f.ns.announce("wan", sharedOutside))
}

// start starts conntrackd and waits until it answers.
func (f *firewall) start(ctx context.Context) error {
	f.daemon = exec.Command(f.program.path, "-C", f.files+".conf")
	if err := f.ns.start(f.daemon); err != nil {
		return err
	}
	f.ended = make(chan struct{})
	go func() { f.daemon.Wait(); close(f.ended) }()
	for {
		select {
		case <-f.ended:
			log, _ := os.ReadFile(f.files + ".log")
			return fmt.Errorf("conntrackd of firewall %d has ended:\n%s", f.number, log)
		default:
		}
		if _, err := os.Stat(f.files + ".ctl"); err == nil {
			if _, err := f.ask(ctx, "-s"); err == nil {
				return nil
			}
		}
		if err := pause(ctx, 10*time.Millisecond); err != nil {
			return err
		}
	}
}

// ask has the daemon do something, as an administrator would.
func (f *firewall) ask(ctx context.Context, request ...string) (string, error) {
	return f.ns.run(ctx, "", append([]string{f.program.path, "-C", f.files + ".conf"}, request...)...)
}

// externalFlows waits a little until the other firewall has told of n flows, and returns of how many it has.
func (f *firewall) externalFlows(ctx context.Context, n int) (told int, err error) {
	for range 20 {
		out, err := f.ask(ctx, "-e")
		if told = strings.Count(out, "ESTABLISHED"); err != nil || told >= n {
			return told, err
		}
		if err := pause(ctx, 100*time.Millisecond); err != nil {
			return told, err
		}
	}
	return told, nil
}

// committed is what the daemon's log says of the last commit.
func (f *firewall) committed() []string {
	log, _ := os.ReadFile(f.files + ".log")
	var said []string
	for _, m := range regexp.MustCompile(`(?m)\] (Committed \d+ new entries|\d+ entries can't be committed)$`).FindAllStringSubmatch(string(log), -1) {
		said = append(said, m[1])
	}
	return said
}

// die is what a power failure does.
func (f *firewall) die(ctx context.Context) error {
	f.daemon.Process.Kill()
	<-f.ended
	return f.ns.ip(ctx, "link set lan down", "link set wan down", "link set sync down")
}

// close ends the daemon, and gives it time to do so in good order.
func (f *firewall) close() {
	if f.ended != nil {
		f.daemon.Process.Signal(syscall.SIGTERM)
		select {
		case <-f.ended:
		case <-time.After(2 * time.Second):
			f.daemon.Process.Kill()
			<-f.ended
		}
	}
	f.ns.close()
}
