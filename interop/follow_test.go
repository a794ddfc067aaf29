//go:build linux

package interop_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	// followLimit is how long to wait for a command to subscribe; some follow no event at all.
	followLimit = 2 * time.Second
	// drainLimit is how long to wait for a command to have read everything.
	drainLimit = 10 * time.Second
	// settle covers what cannot be seen from outside between subscribing and reading.
	settle = 50 * time.Millisecond
)

// waitFollowing waits until the process has subscribed to netfilter events and handles SIGINT, until it has ended, or for
// [followLimit]. Waiting for what is needed instead of for a fixed time keeps the tests right on a busy machine.
func waitFollowing(pid int, ended func() bool) {
	for end := time.Now().Add(followLimit); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if ended() {
			return
		}
		if subscribed(pid) && catches(pid, syscall.SIGINT) {
			time.Sleep(settle)
			return
		}
	}
}

// waitIdle waits until the process has read every event it subscribed to and sleeps, as long as [drainLimit] at most. A
// signal in the middle of printing would cut the output: the C program exits from its handler.
func waitIdle(pid int, ended func() bool) {
	quiet := 0
	for end := time.Now().Add(drainLimit); quiet < 3 && time.Now().Before(end) && !ended(); time.Sleep(settle / 3) {
		if queued, _ := eventQueue(pid); queued == 0 && sleeps(pid) {
			quiet++
		} else {
			quiet = 0
		}
	}
}

// subscribed says whether one of the process's sockets is a netfilter netlink socket in some multicast group.
func subscribed(pid int) bool {
	_, ok := eventQueue(pid)
	return ok
}

// eventQueue is how many bytes wait to be read by the process's subscribed sockets, and whether it has one.
func eventQueue(pid int) (queued int, ok bool) {
	table, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/netlink", pid))
	if err != nil {
		return 0, false
	}
	sockets, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	if err != nil {
		return 0, false
	}
	own := make(map[string]bool)
	for _, fd := range sockets {
		target, _ := os.Readlink(fd)
		if inode, ok := strings.CutPrefix(target, "socket:["); ok {
			own[strings.TrimSuffix(inode, "]")] = true
		}
	}
	for line := range strings.Lines(string(table)) {
		// sk Eth Pid Groups Rmem Wmem Dump Locks Drops Inode
		f := strings.Fields(line)
		if len(f) == 10 && f[1] == "12" && f[3] != "00000000" && own[f[9]] {
			n, _ := strconv.Atoi(f[4])
			queued, ok = queued+n, true
		}
	}
	return queued, ok
}

// sleeps says whether no thread of the process is running.
func sleeps(pid int) bool {
	threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	for _, thread := range threads {
		stat, _ := os.ReadFile(thread)
		_, rest, _ := strings.Cut(string(stat), ") ")
		if strings.HasPrefix(rest, "R") {
			return false
		}
	}
	return true
}

// catches says whether the process has a handler for the signal; without one it would be killed instead of stopping.
func catches(pid int, sig syscall.Signal) bool {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(status), "SigCgt:")
	hex, _, _ := strings.Cut(rest, "\n")
	mask, _ := strconv.ParseUint(strings.TrimSpace(hex), 16, 64)
	return mask&(1<<(sig-1)) != 0
}
