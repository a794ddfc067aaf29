package conntrackcli

import (
	"bytes"
	"os"
	"strconv"
	"strings"
	"time"
)

// programNames finds out which program a netlink port belongs to. Answers are
// remembered for a moment: a bulk change makes thousands of events with one port,
// and a port may be another program's later.
type programNames struct {
	known map[uint32]programName
}

type programName struct {
	name  string
	until time.Time
}

const (
	rememberProgram = time.Second
	maxPrograms     = 4096
)

func newProgramNames() *programNames { return &programNames{known: make(map[uint32]programName)} }

// name returns the program's name, "" if it is not known (any more).
func (p *programNames) name(port uint32, at time.Time) string {
	if port == 0 {
		return ""
	}
	if k, ok := p.known[port]; ok && at.Before(k.until) {
		return k.name
	}
	if len(p.known) >= maxPrograms {
		clear(p.known)
	}
	k := programName{name: findProgram(port), until: at.Add(rememberProgram)}
	p.known[port] = k
	return k.name
}

// findProgram looks for a process that holds the socket with that port. The kernel
// prefers the process number as port, so that process is asked first.
func findProgram(port uint32) string {
	inode := socketInode(port)
	if inode == "" {
		return ""
	}
	link := "socket:[" + inode + "]"
	if pid := strconv.FormatUint(uint64(port), 10); holds(pid, link) {
		return commandName(pid)
	}
	dir, err := os.Open("/proc")
	if err != nil {
		return ""
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1)
	for _, pid := range names {
		if pid[0] >= '0' && pid[0] <= '9' && holds(pid, link) {
			return commandName(pid)
		}
	}
	return ""
}

// socketInode finds the inode of the netfilter netlink socket with that port: columns
// sk, Eth, Pid, Groups, Rmem, Wmem, Dump, Locks, Drops, Inode (af_netlink.c).
func socketInode(port uint32) string {
	text, err := os.ReadFile("/proc/net/netlink")
	if err != nil {
		return ""
	}
	want := strconv.FormatUint(uint64(port), 10)
	for line := range bytes.Lines(text) {
		words := strings.Fields(string(line))
		if len(words) >= 10 && words[1] == "12" && words[2] == want { // NETLINK_NETFILTER
			return words[9]
		}
	}
	return ""
}

// holds reports whether a process has a file that is link.
func holds(pid, link string) bool {
	path := "/proc/" + pid + "/fd"
	dir, err := os.Open(path)
	if err != nil {
		return false
	}
	defer dir.Close()
	fds, _ := dir.Readdirnames(-1)
	for _, fd := range fds {
		if to, err := os.Readlink(path + "/" + fd); err == nil && to == link {
			return true
		}
	}
	return false
}

// commandName is the name of a process, as in its stat file up to the first ")".
func commandName(pid string) string {
	text, err := os.ReadFile("/proc/" + pid + "/stat")
	if err != nil {
		return ""
	}
	_, rest, _ := strings.Cut(string(text), "(")
	name, _, _ := strings.Cut(rest, ")")
	return name
}
