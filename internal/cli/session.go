package cli

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"github.com/spoor-project/spoor/flow"
)

// session is the connections that keep the user logged in. A nil one is none.
type session struct{ ends []connection }

// connection is a TCP connection, by its two ends.
type connection struct{ a, b netip.AddrPort }

// is reports whether f is one of them: in either direction, before or after translation.
func (s *session) is(f *flow.Flow) bool {
	if s == nil || f.Orig.Proto != flow.TCP {
		return false
	}
	for _, t := range [...]*flow.Tuple{&f.Orig, &f.Reply} {
		a, b := netip.AddrPortFrom(t.Src, t.SrcPort), netip.AddrPortFrom(t.Dst, t.DstPort)
		for _, c := range s.ends {
			if c == (connection{a, b}) || c == (connection{b, a}) {
				return true
			}
		}
	}
	return false
}

// ownSession finds the session that --keep-session asks to keep.
func (c *call) ownSession() (*session, error) {
	switch whether := c.value("keep-session", "auto"); whether {
	case "no":
		return nil, nil
	case "yes", "auto":
		s := findSession(os.Getpid())
		if whether == "yes" && s == nil {
			return nil, fmt.Errorf("--keep-session yes: no connection was found that anybody is logged in by")
		}
		return s, nil
	default:
		return nil, usagef("--keep-session %s: choose from yes, no and auto", whether)
	}
}

// findSession looks at the processes that have started this one: for what sshd tells them in SSH_CONNECTION, and for connections
// that they hold themselves, as sshd does. sudo drops the variable, but its parents have it.
func findSession(pid int) *session {
	s := &session{}
	sockets := make(map[string]bool)
	for generations := 0; pid > 1 && generations < 64; generations++ {
		proc := "/proc/" + strconv.Itoa(pid)
		if env, err := os.ReadFile(proc + "/environ"); err == nil {
			for entry := range bytes.SplitSeq(env, []byte{0}) {
				if value, ok := strings.CutPrefix(string(entry), "SSH_CONNECTION="); ok {
					s.add(parseSSHConnection(value))
				}
			}
		}
		if generations > 0 {
			addSockets(sockets, proc)
		}
		pid = parentOf(proc)
	}
	if len(sockets) > 0 {
		for _, family := range []string{"tcp", "tcp6"} {
			if f, err := os.Open("/proc/self/net/" + family); err == nil {
				for in := bufio.NewScanner(f); in.Scan(); {
					if c, inode, ok := parseSocket(in.Text()); ok && sockets[inode] {
						s.add(c, true)
					}
				}
				f.Close()
			}
		}
	}
	if len(s.ends) == 0 {
		return nil
	}
	return s
}

func (s *session) add(c connection, ok bool) {
	if ok {
		s.ends = append(s.ends, c)
	}
}

// parseSSHConnection reads "client port server port".
func parseSSHConnection(text string) (c connection, ok bool) {
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
	return connection{ends[0], ends[1]}, true
}

// addSockets adds the inodes of a process's sockets.
func addSockets(to map[string]bool, proc string) {
	entries, err := os.ReadDir(proc + "/fd")
	if err != nil {
		return
	}
	for _, e := range entries {
		if target, err := os.Readlink(proc + "/fd/" + e.Name()); err == nil {
			if inode, ok := strings.CutPrefix(target, "socket:["); ok {
				to[strings.TrimSuffix(inode, "]")] = true
			}
		}
	}
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
func parseSocket(line string) (c connection, inode string, ok bool) {
	w := strings.Fields(line)
	if len(w) < 10 || w[3] != "01" {
		return c, "", false
	}
	local, ok1 := parseEnd(w[1])
	remote, ok2 := parseEnd(w[2])
	return connection{local, remote}, w[9], ok1 && ok2
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
