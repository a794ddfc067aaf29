package session

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/binary"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
)

// Connection is a TCP connection, by its two ends. Addresses are unmapped and have no zone.
type Connection struct{ Local, Remote netip.AddrPort }

// Of finds the connections of the login that a process descends from. It looks at the processes that have started it: for what sshd tells
// them in SSH_CONNECTION, and for connections that they hold themselves, as sshd does. sudo drops the variable, but its parents have it.
func Of(pid int) (ends []Connection) {
	sockets := make(map[string]bool)
	for generations := 0; pid > 1 && generations < 64; generations++ {
		proc := "/proc/" + strconv.Itoa(pid)
		if env, err := os.ReadFile(proc + "/environ"); err == nil {
			for entry := range bytes.SplitSeq(env, []byte{0}) {
				if value, ok := strings.CutPrefix(string(entry), "SSH_CONNECTION="); ok {
					if c, ok := parseSSHConnection(value); ok {
						ends = append(ends, c)
					}
				}
			}
		}
		if generations > 0 {
			addSockets(sockets, proc)
		}
		pid = parentOf(proc)
	}
	for _, c := range established("/proc/self/net", sockets) {
		ends = append(ends, c)
	}
	return ends
}

// established finds the connections whose sockets have these inodes, by inode.
func established(net string, sockets map[string]bool) map[string]Connection {
	if len(sockets) == 0 {
		return nil
	}
	found := make(map[string]Connection)
	for _, family := range []string{"tcp", "tcp6"} {
		if f, err := os.Open(net + "/" + family); err == nil {
			for in := bufio.NewScanner(f); in.Scan(); {
				if c, inode, ok := parseSocket(in.Text()); ok && sockets[inode] {
					found[inode] = c
				}
			}
			f.Close()
		}
	}
	return found
}

// parseSSHConnection reads "client port server port".
func parseSSHConnection(text string) (c Connection, ok bool) {
	w := strings.Fields(text)
	if len(w) != 4 {
		return c, false
	}
	var ends [2]netip.AddrPort
	for i := range ends {
		addr, err := netip.ParseAddr(w[2*i])
		port, err2 := strconv.ParseUint(w[2*i+1], 10, 16)
		if err != nil || err2 != nil {
			return c, false
		}
		ends[i] = netip.AddrPortFrom(addr.Unmap().WithZone(""), uint16(port))
	}
	return Connection{Local: ends[1], Remote: ends[0]}, true
}

// addSockets adds the inodes of a process's sockets.
func addSockets(to map[string]bool, proc string) {
	for _, inode := range socketsOf(proc) {
		to[inode] = true
	}
}

// socketsOf are the inodes of a process's sockets, in the order of their descriptors.
func socketsOf(proc string) (inodes []string) {
	entries, err := os.ReadDir(proc + "/fd")
	if err != nil {
		return nil
	}
	slices.SortFunc(entries, func(a, b os.DirEntry) int {
		return cmp.Or(cmp.Compare(len(a.Name()), len(b.Name())), strings.Compare(a.Name(), b.Name())) // they are numbers
	})
	for _, e := range entries {
		if target, err := os.Readlink(proc + "/fd/" + e.Name()); err == nil {
			if inode, ok := strings.CutPrefix(target, "socket:["); ok {
				inodes = append(inodes, strings.TrimSuffix(inode, "]"))
			}
		}
	}
	return inodes
}

// parentOf reads the parent from /proc/PID/stat; 0 if there is none.
func parentOf(proc string) int {
	text, err := os.ReadFile(proc + "/stat")
	if err != nil {
		return 0
	}
	// The name before it may hold blanks and parentheses.
	_, rest, _ := strings.Cut(string(text[max(0, bytes.LastIndexByte(text, ')')):]), " ")
	w := strings.Fields(rest)
	if len(w) < 2 {
		return 0
	}
	parent, _ := strconv.Atoi(w[1])
	return parent
}

// parseSocket reads a line of /proc/net/tcp or tcp6: an established connection and its inode.
func parseSocket(line string) (c Connection, inode string, ok bool) {
	w := strings.Fields(line)
	if len(w) < 10 || w[3] != "01" {
		return c, "", false
	}
	local, ok1 := parseEnd(w[1])
	remote, ok2 := parseEnd(w[2])
	return Connection{local, remote}, w[9], ok1 && ok2
}

// parseEnd reads an address, in hexadecimal words of the machine's byte order, and a port.
func parseEnd(text string) (end netip.AddrPort, ok bool) {
	addr, port, ok := strings.Cut(text, ":")
	n, err := strconv.ParseUint(port, 16, 16)
	if !ok || err != nil || len(addr) != 8 && len(addr) != 32 {
		return end, false
	}
	raw := make([]byte, 0, 16)
	for i := 0; i < len(addr); i += 8 {
		word, err := strconv.ParseUint(addr[i:i+8], 16, 32)
		if err != nil {
			return end, false
		}
		raw = binary.NativeEndian.AppendUint32(raw, uint32(word))
	}
	a, _ := netip.AddrFromSlice(raw)
	return netip.AddrPortFrom(a.Unmap(), uint16(n)), true
}
