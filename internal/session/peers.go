package session

import (
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Peers are the addresses that people are logged in from, each once. They are known from
//
//   - the login that this process descends from, see [Of];
//   - systemd-logind's sessions, of any service that tells PAM its remote host, if that is an address;
//   - processes of OpenSSH's sshd that serve a user: their titles tell that he has been let in, their sockets from where. To read those of
//     other users needs CAP_SYS_PTRACE.
//
// Who only has a connection to a login service is not logged in, and is none of them.
func Peers() map[netip.Addr]struct{} {
	all := make(map[netip.Addr]struct{})
	for _, c := range Of(os.Getpid()) {
		all[c.Remote.Addr()] = struct{}{}
	}
	addLogind(all, "/run/systemd/sessions")
	addSSHD(all, "/proc")
	return all
}

// addLogind reads logind's state, a file of lines NAME=VALUE for each session. It is not an interface that systemd promises, but has been the same
// since 2011, and is there where no bus can be reached.
func addLogind(to map[netip.Addr]struct{}, dir string) {
	files, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, f := range files {
		text, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil {
			continue // ended meanwhile, or a pipe of another kind
		}
		var host netip.Addr
		closing := false
		for line := range strings.SplitSeq(string(text), "\n") {
			switch name, value, _ := strings.Cut(line, "="); name {
			case "REMOTE_HOST":
				host, _ = netip.ParseAddr(strings.Trim(value, `"`))
			case "STATE":
				closing = value == "closing"
			}
		}
		if host.IsValid() && !closing {
			to[host.Unmap().WithZone("")] = struct{}{}
		}
	}
}

// addSSHD looks at the processes of sshd.
func addSSHD(to map[netip.Addr]struct{}, proc string) {
	entries, err := os.ReadDir(proc)
	if err != nil {
		return
	}
	for _, e := range entries {
		if _, err := strconv.Atoi(e.Name()); err != nil {
			continue
		}
		dir := filepath.Join(proc, e.Name())
		title, err := os.ReadFile(filepath.Join(dir, "cmdline"))
		if err != nil || !serves(string(title)) {
			continue
		}
		// Any program can have any title.
		if program, err := os.Readlink(filepath.Join(dir, "exe")); err != nil || !strings.HasPrefix(filepath.Base(program), "sshd") {
			continue
		}
		inodes, sockets := socketsOf(dir), make(map[string]bool)
		for _, inode := range inodes {
			sockets[inode] = true
		}
		connections := established(filepath.Join(dir, "net"), sockets)
		for _, inode := range inodes {
			// The first is the login. Those behind it are what the user has forwarded, to anybody or from anybody.
			if c, ok := connections[inode]; ok {
				to[c.Remote.Addr()] = struct{}{}
				break
			}
		}
	}
}

// serves reports whether a process's title is that of an sshd whose user has been let in: "sshd: alice@pts/0", since OpenSSH 9.8 "sshd-session: …". Before
// that it is "sshd: alice [priv]", "sshd: unknown [net]" and the like.
func serves(title string) bool {
	rest, ok := strings.CutPrefix(strings.TrimRight(title, "\x00 "), "sshd: ")
	if !ok {
		rest, ok = strings.CutPrefix(strings.TrimRight(title, "\x00 "), "sshd-session: ")
	}
	user, terminal, at := strings.Cut(rest, "@")
	return ok && at && user != "" && terminal != "" && !strings.ContainsAny(rest, " []")
}
