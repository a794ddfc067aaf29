package session

import (
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// TestSocketsAreRead: who is logged in by something else than ssh is known by the sockets of the processes above.
func TestSocketsAreRead(t *testing.T) {
	c, inode, ok := parseSocket("   1: 0100007F:0016 0200007F:9C40 01 00000000:00000000 00:00000000 00000000     0        0 4711 1 0 20 4 30 10 -1")
	want := Connection{netip.MustParseAddrPort("127.0.0.1:22"), netip.MustParseAddrPort("127.0.0.2:40000")}
	if !ok || inode != "4711" || c != want {
		t.Errorf("%v %s %v", c, inode, ok)
	}
	c, _, ok = parseSocket("   0: B80D0120000000000000000001000000:0016 0000000000000000FFFF00000100007F:9C40 01 0:0 0:0 0 0 0 5 1")
	want = Connection{netip.MustParseAddrPort("[2001:db8::1]:22"), netip.MustParseAddrPort("127.0.0.1:40000")}
	if !ok || c != want {
		t.Errorf("%v %v", c, ok)
	}
	for _, line := range []string{"", "  sl  local_address rem_address   st", "0: 0100007F:0016 0200007F:9C40 0A 0 0 0 0 0 7", "0: zz:1 0:0 01 0 0 0 0 0 7 8"} {
		if _, _, ok := parseSocket(line); ok {
			t.Errorf("%q is a connection", line)
		}
	}
}

func TestTheSSHConnectionIsRead(t *testing.T) {
	c, ok := parseSSHConnection("::ffff:10.0.0.7 40000 fe80::1%eth0 22")
	if want := (Connection{Local: netip.MustParseAddrPort("[fe80::1]:22"), Remote: netip.MustParseAddrPort("10.0.0.7:40000")}); !ok || c != want {
		t.Errorf("%v %v", c, ok)
	}
	for _, text := range []string{"", "10.0.0.7 1 10.0.0.1", "10.0.0.7 1 10.0.0.1 65536", "host 1 10.0.0.1 22"} {
		if _, ok := parseSSHConnection(text); ok {
			t.Errorf("%q is a connection", text)
		}
	}
}

// words are a set's addresses, in order.
func words(set map[netip.Addr]struct{}) (all []string) {
	for a := range set {
		all = append(all, a.String())
	}
	slices.Sort(all)
	return all
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestLogindTellsWhoIsLoggedIn(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/1", "# This is private data. Do not parse.\nUID=0\nREMOTE=1\nREMOTE_HOST=192.0.2.7\nSTATE=active\nSERVICE=sshd\n")
	write(t, dir+"/2", "REMOTE_HOST=::ffff:192.0.2.8\nSTATE=online\n")
	write(t, dir+"/3", "REMOTE_HOST=192.0.2.9\nSTATE=closing\n")
	write(t, dir+"/4", "REMOTE_HOST=client.example\nSTATE=active\n")
	write(t, dir+"/5", "REMOTE=0\nSTATE=active\n")
	write(t, dir+"/d/6", "REMOTE_HOST=192.0.2.10\n")
	got := make(map[netip.Addr]struct{})
	addLogind(got, dir)
	addLogind(got, dir+"/nowhere")
	if w := words(got); !slices.Equal(w, []string{"192.0.2.7", "192.0.2.8"}) {
		t.Errorf("%v", w)
	}
}

func TestOnlyWhoWasLetInIsLoggedIn(t *testing.T) {
	for title, want := range map[string]bool{
		"sshd: alice@pts/0": true, "sshd: root@notty\x00": true, "sshd-session: alice@pts/0,pts/1": true,
		"sshd: alice [priv]": false, "sshd: alice@example.org [priv]": false, "sshd: unknown [net]": false, "sshd-session: x@y [preauth]": false,
		"sshd: /usr/sbin/sshd -D [listener] 0 of 10-100 startups": false, "sshd: [accepted]": false, "/usr/sbin/sshd\x00-D": false, "sshd: @": false, "sshd: a@": false, "": false,
	} {
		if serves(title) != want {
			t.Errorf("%q: %v", title, !want)
		}
	}
}

func TestSSHDTellsWhoIsLoggedIn(t *testing.T) {
	proc := t.TempDir()
	// Socket 1 is the login, 2 what the user has forwarded.
	const sockets = `  sl  local_address rem_address   st
   0: 0100007F:0016 070200C0:9C40 01 00000000:00000000 00:00000000 00000000     0        0 1 1 0 20 4 30 10 -1
   1: 0100007F:1F90 080200C0:9C40 01 00000000:00000000 00:00000000 00000000     0        0 2 1 0 20 4 30 10 -1
   2: 0100007F:0016 090200C0:9C40 01 00000000:00000000 00:00000000 00000000     0        0 3 1 0 20 4 30 10 -1
`
	process := func(pid, title, program string, fds map[string]string) {
		t.Helper()
		dir := proc + "/" + pid
		write(t, dir+"/cmdline", title)
		write(t, dir+"/net/tcp", sockets)
		if err := os.Mkdir(dir+"/fd", 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(program, dir+"/exe"); err != nil {
			t.Fatal(err)
		}
		for fd, target := range fds {
			if err := os.Symlink(target, dir+"/fd/"+fd); err != nil {
				t.Fatal(err)
			}
		}
	}
	process("100", "sshd: alice@pts/0", "/usr/sbin/sshd", map[string]string{"0": "/dev/null", "3": "socket:[77]", "4": "socket:[1]", "11": "socket:[2]"})
	process("101", "sshd: mallory [net]", "/usr/sbin/sshd", map[string]string{"4": "socket:[3]"})
	process("102", "sshd: mallory@pts/1", "/home/mallory/sh", map[string]string{"4": "socket:[3]"})
	process("self", "sshd: mallory@pts/1", "/usr/sbin/sshd", map[string]string{"4": "socket:[3]"})
	got := make(map[netip.Addr]struct{})
	addSSHD(got, proc)
	addSSHD(got, proc+"/nowhere")
	if w := words(got); !slices.Equal(w, []string{"192.0.2.7"}) {
		t.Errorf("%v", w)
	}
	Peers() // whatever there is on this machine, it does not fail
}

// FuzzParseSocket: whatever a line says, a connection that is read has two addresses without a zone.
func FuzzParseSocket(f *testing.F) {
	f.Add("   1: 0100007F:0016 0200007F:9C40 01 00000000:00000000 00:00000000 00000000     0        0 4711 1 0 20 4 30 10 -1")
	f.Add("0: zz:1 0:0 01 0 0 0 0 0 7 8")
	f.Fuzz(func(t *testing.T, line string) {
		c, _, ok := parseSocket(line)
		if ok && (!c.Local.IsValid() || !c.Remote.IsValid() || c.Remote.Addr().Is4In6() || c.Remote.Addr().Zone() != "") {
			t.Errorf("%q: %v", line, c)
		}
	})
}
