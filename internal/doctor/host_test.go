//go:build linux

package doctor

import (
	"context"
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"github.com/spoor-project/spoor/conntrack"
	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/nfnetlink"
	"github.com/spoor-project/spoor/internal/nfnetlink/nfnetlinktest"
	"github.com/spoor-project/spoor/internal/nstest"
)

func TestMain(m *testing.M) { os.Exit(nstest.Main(m)) }

// machine is a file system with some files that may not be read.
type machine struct {
	fstest.MapFS
	denied map[string]bool
	want   string // a line for each check: its name, the level, a part of what is found
}

func (m *machine) Open(name string) (fs.File, error) {
	if m.denied[name] {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
	}
	return m.MapFS.Open(name)
}

func (m *machine) ReadFile(name string) ([]byte, error) {
	if m.denied[name] {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
	}
	return m.MapFS.ReadFile(name)
}

// readMachine reads a machine of testdata. A line is "file = text", "file (mode) = text", "file denied", or "file:" before lines
// with a tab.
func readMachine(t *testing.T, name string) *machine {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	m := &machine{MapFS: fstest.MapFS{}, denied: make(map[string]bool)}
	var many *fstest.MapFile
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSuffix(line, "\n")
		if more, indented := strings.CutPrefix(line, "\t"); indented {
			many.Data = append(many.Data, more+"\n"...)
			continue
		}
		path, value, one := strings.Cut(line, " = ")
		switch {
		case strings.HasPrefix(line, "#"):
		case strings.HasSuffix(line, " denied"):
			m.denied[strings.TrimSuffix(line, " denied")] = true
		case strings.HasSuffix(line, ":"):
			many = &fstest.MapFile{Mode: 0o444}
			m.MapFS[strings.TrimSuffix(line, ":")] = many
		case one:
			mode := uint64(0o644)
			if path2, octal, has := strings.Cut(path, " ("); has {
				path = path2
				if mode, err = strconv.ParseUint(strings.TrimSuffix(octal, ")"), 8, 12); err != nil {
					t.Fatal(err)
				}
			}
			m.MapFS[path] = &fstest.MapFile{Data: []byte(value + "\n"), Mode: fs.FileMode(mode)}
		default:
			t.Fatalf("%s: %q", name, line)
		}
	}
	m.want = string(m.MapFS["want"].Data)
	return m
}

func TestMachines(t *testing.T) {
	files, _ := filepath.Glob("testdata/*.txt")
	if len(files) < 5 {
		t.Fatal("where are the machines?")
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			m := readMachine(t, file)
			facts, err := (&Host{root: m}).Look(t.Context(), time.Millisecond)
			if err != nil {
				t.Fatal(err)
			}
			all := Examine(facts)
			for line := range strings.Lines(m.want) {
				w := strings.Fields(line)
				name, level, found := w[0], w[1], strings.Join(w[2:], " ")
				i := slices.IndexFunc(all, func(v Verdict) bool { return v.Check == name })
				if i < 0 {
					t.Fatalf("there is no check %s", name)
				}
				if v := all[i]; v.Level.String() != level || !strings.Contains(v.Found, found) {
					t.Errorf("%s: %s, %q; want %s, %q", name, v.Level, v.Found, level, found)
				}
			}
		})
	}
}

// TestWhatTheHostAloneMayChangeIsNotSafe: in a namespace of its own the limit cannot be written.
func TestWhatTheHostAloneMayChangeIsNotSafe(t *testing.T) {
	m := readMachine(t, "testdata/linux-4.19.txt")
	m.MapFS["proc/sys/net/netfilter/nf_conntrack_count"].Data = []byte("65000\n")
	facts, err := (&Host{root: m}).Look(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	v := Examine(facts, "usage")[0]
	if v.Level != Bad || len(v.Remedies) != 2 {
		t.Fatalf("%+v", v)
	}
	for _, r := range v.Remedies {
		if r.Safe || r.Set != nil || !strings.Contains(r.Note, "outside") {
			t.Errorf("%+v", r)
		}
	}
}

func TestLookEndsWithTheContext(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := (&Host{root: fstest.MapFS{}}).Look(ctx, time.Hour); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	if _, err := (&Host{NetNS: "/nowhere"}).Look(t.Context(), 0); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

// hookKernel is a kernel that tells the functions of its hooks, by family, or why not.
func hookKernel(t *testing.T, refuse syscall.Errno, functions map[uint8][]string) func(*nfnetlink.Options) (*nfnetlink.Conn, error) {
	return func(*nfnetlink.Options) (*nfnetlink.Conn, error) {
		return nfnetlinktest.Dial(func(r *nfnetlinktest.Request) [][]byte {
			if a := r.Attrs(); !r.Is(nfnetlink.Hook, msgHookGet) || !a.Next() || a.Type != attrHookNumber {
				t.Errorf("request %d %d without a hook", r.Subsystem(), r.Kind())
			}
			if refuse != 0 {
				return [][]byte{r.Error(refuse)}
			}
			var bodies []nfnetlinktest.Body
			for _, name := range functions[r.Family()] {
				bodies = append(bodies, nfnetlinktest.NewBody(r.Family(), func(b *nfnetlink.Builder) {
					b.Uint32(attrHookNumber, hookPrerouting)
					b.Text(attrHookFunction, name)
				}))
			}
			return r.Multipart(msgHookGet, 2, bodies...)
		})
	}
}

func TestHooksTellWhetherPacketsAreTracked(t *testing.T) {
	for _, c := range []struct {
		refuse    syscall.Errno
		functions map[uint8][]string
		want      Fact[bool]
	}{
		{0, map[uint8][]string{familyIPv4: {"ipv4_conntrack_defrag", "ipv4_conntrack_in", "nf_nat_ipv4_pre_routing", "nft_do_chain_inet"}}, known(true)},
		{0, map[uint8][]string{familyIPv6: {"ipv6_defrag", "ipv6_conntrack_in"}}, known(true)},
		{0, map[uint8][]string{familyIPv4: {"ipv4_conntrack_defrag", "nft_do_chain_inet"}}, known(false)},
		{0, nil, known(false)},
		{syscall.EINVAL, nil, missing[bool]("this kernel does not tell its hooks (CONFIG_NETFILTER_NETLINK_HOOK, Linux 5.14)")},
		{syscall.EPERM, nil, missing[bool]("only root may see the hooks")},
	} {
		if got := hooked(hookKernel(t, c.refuse, c.functions)); got != c.want {
			t.Errorf("%v %v: %+v, want %+v", c.refuse, c.functions, got, c.want)
		}
	}
}

// TestLiveHooks asks the kernel before a rule needs tracking, and after.
func TestLiveHooks(t *testing.T) {
	ns := nstest.New(t)
	nstest.NeedTool(t, "nft")
	ask := func() (f Fact[bool]) {
		ns.Do(func() { f = hooked(nfnetlink.Dial) })
		return f
	}
	before := ask()
	if strings.Contains(before.Why, hookOption) {
		nstest.KernelLacks(t, hookOption, before.Why)
	}
	ns.MustRun(t, "nft", "table ip t { chain c { type filter hook input priority 0; ct state new accept; }; }")
	if after := ask(); before != known(false) || after != known(true) {
		t.Errorf("before %+v, after %+v", before, after)
	}
}

// TestLiveNamespace looks at a namespace with entries, and somebody who does not read what he asked for.
func TestLiveNamespace(t *testing.T) {
	ns := nstest.New(t)
	client, err := conntrack.Dial(&conntrack.Options{NetNS: ns.Path()})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	file, err := os.Open(ns.Path())
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	listener, err := nfnetlink.Dial(&nfnetlink.Options{NetNS: file, Groups: []nfnetlink.Group{nfnetlink.GroupNew}})
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	if _, err := listener.SetReadBuffer(4096); err != nil {
		t.Fatal(err)
	}
	ns.Sysctl("net/netfilter/nf_conntrack_events", "1")
	create := func(from, to int) {
		for i := from; i < to; i++ {
			e := conntrack.Entry{Orig: flow.Tuple{Proto: flow.TCP, Src: netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}),
				Dst: netip.MustParseAddr("192.0.2.1"), SrcPort: 1000, DstPort: 443}, Zone: uint16(i % 2)}
			e.Reply, _ = e.Orig.Inverse()
			e.Timeout = new(time.Hour)
			e.TCP = &conntrack.TCP{State: new(flow.TCPEstablished)}
			e.Status = new(flow.SeenReply | flow.Assured)
			if err := client.Create(t.Context(), &e); err != nil {
				t.Fatal(err)
			}
		}
	}
	create(0, 50)
	f, err := (&Host{NetNS: ns.Path()}).Look(t.Context(), 50*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	if !f.Admitted.Value || f.Tracking.Value == "" || f.Netlink.Value == "" || !f.Capable.Value {
		t.Errorf("%+v %+v %+v %+v", f.Admitted, f.Tracking, f.Netlink, f.Capable)
	}
	if f.Now.Entries != known[uint64](50) || f.Before.Entries != f.Now.Entries || f.Elapsed < 50*time.Millisecond || f.Max.Value == 0 {
		t.Errorf("%+v %+v %v %v", f.Before.Entries, f.Now.Entries, f.Elapsed, f.Max)
	}
	const established = "nf_conntrack_tcp_timeout_established"
	if c := f.Census.Value; c.Entries != 50 || c.Zones[0] != 25 || c.Zones[1] != 25 || c.Waiting[established] != 50 || c.Silent[established] != 50 {
		t.Errorf("%+v", c)
	}
	if s := f.Sysctls["net.netfilter.nf_conntrack_max"]; s.Writable || s.Value == 0 {
		t.Errorf("nf_conntrack_max: %+v", s)
	}
	if s := f.Sysctls["net.netfilter.nf_conntrack_acct"]; !s.Writable {
		t.Errorf("nf_conntrack_acct: %+v", s)
	}
	if l := f.Listeners.Value; len(l) != 1 || l[0].PortID != listener.PortID() || l[0].Lost == 0 || l[0].Queued == 0 {
		t.Errorf("%+v", f.Listeners)
	}
	if n, there := f.total(conntrack.StatInsert); !there || n < 50 {
		t.Errorf("inserted: %d", n)
	}
	if !f.Snapshot.Known || !f.Memory.Known || !f.Uptime.Known || !f.Slab.Known || f.Slab.Value.Size < 128 || !f.Log.Known {
		t.Errorf("%+v %+v %+v %+v %+v", f.Snapshot, f.Memory, f.Uptime, f.Slab, f.Log)
	}
}

func TestParsersOfOddFiles(t *testing.T) {
	for _, text := range []string{"", "\n", "entries", "entries found\n", "entries found\nxyz 1\n", "searched\n1\n"} {
		if all, ok := parseStat(text); ok {
			t.Errorf("%q: %v", text, all)
		}
	}
	// A column more in a line than in the header is passed over.
	if all, ok := parseStat("entries  drop\n1 ffffffff 3\n"); !ok || len(all) != 1 || !slices.Equal(all[0].Counters, []conntrack.Counter{{ID: conntrack.StatDrop, Value: ^uint32(0)}}) {
		t.Errorf("%v %v", all, ok)
	}
	old := "nf_conntrack_ffff8801384f5c00 10 40 312 26 2 : t\nnf_conntrack_1 5 5 312 26 2 : t\nnf_conntrack_expect 7 7 208 1 1 : t\n"
	if s, ok := parseSlab(old); !ok || s != (Slab{Size: 312, Objects: 15}) {
		t.Errorf("%+v %v", s, ok)
	}
	if parseModules("nf_conntrack_netlink 1 2\n", "nf_conntrack") || !parseBuiltin("kernel/net/netfilter/nf_conntrack.ko\n", "nf_conntrack") {
		t.Error("names of modules")
	}
}

// FuzzStat: what is read is also read from the same table written anew.
func FuzzStat(f *testing.F) {
	f.Add("entries  clashres found new invalid ignore delete chainlength insert insert_failed drop early_drop icmp_error  expect_new expect_create expect_delete search_restart\n" +
		"00000001  00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000  00000000 00000000 00000000 00000007\n")
	f.Add("entries  searched found\n1 2 ffffffff\n")
	f.Fuzz(func(t *testing.T, text string) {
		all, ok := parseStat(text)
		if !ok {
			return
		}
		names := make(map[uint16]string)
		for name, id := range statColumns {
			names[id] = name
		}
		for _, cpu := range all {
			header, line := "entries", "0"
			for _, c := range cpu.Counters {
				header += " " + names[c.ID]
				line += " " + strconv.FormatUint(uint64(c.Value), 16)
			}
			again, ok := parseStat(header + "\n" + line + "\n")
			if !ok || len(again) != 1 || !slices.Equal(again[0].Counters, cpu.Counters) {
				t.Errorf("%q: %v, then %v", text, cpu, again)
			}
		}
	})
}

// FuzzFiles: no file makes a parser fail, and none finds what cannot be.
func FuzzFiles(f *testing.F) {
	files, _ := filepath.Glob("testdata/*.txt")
	for _, name := range files {
		text, _ := os.ReadFile(name)
		f.Add(strings.ReplaceAll(string(text), "\n\t", "\n"))
	}
	f.Add("sk Eth Pid Groups Rmem Wmem Dump Locks Drops Inode\n0 12 7 1 5 0 0 2 9 1\n")
	f.Add("CapEff:\tfffffffffffffffff\n")
	f.Add("6,1,99,-;nf_conntrack: table full\n")
	f.Add("nf_conntrack 18446744073709551615 1 256 1 1\n")
	f.Fuzz(func(t *testing.T, text string) {
		if s, ok := parseSlab(text); ok && s.Size == 0 {
			t.Errorf("entries without a size: %+v", s)
		}
		if n, ok := parseMemTotal(text); ok && (n == 0 || n%1024 != 0) {
			t.Errorf("memory: %d", n)
		}
		if d, ok := parseUptime(text); ok && d < 0 {
			t.Errorf("up for %v", d)
		}
		for _, l := range parseLog(text) {
			if l.At < 0 || !strings.Contains(l.Text, "conntrack") {
				t.Errorf("%+v", l)
			}
		}
		if all, ok := parseListeners(text); ok && len(all) > strings.Count(text, "12") {
			t.Errorf("%+v", all)
		}
		if parseModules(text, "nf_conntrack") && !strings.Contains(text, "nf_conntrack") {
			t.Error("a module out of nothing")
		}
		if parseBuiltin(text, "nf_conntrack") && !strings.Contains(text, "nf_conntrack") {
			t.Error("a module out of nothing")
		}
		if has, ok := parseCapable(text); has && !ok {
			t.Error("a right out of nothing")
		}
		// Whatever the numbers, judging them ends.
		facts := &Facts{Elapsed: time.Second, Memory: parsedFact(text, parseMemTotal), Slab: parsedFact(text, parseSlab),
			Uptime: parsedFact(text, parseUptime), Listeners: parsedFact(text, parseListeners), Log: known(parseLog(text))}
		facts.Now.Stats = parsedFact(text, parseStat)
		facts.Max, facts.Now.Entries, facts.Before.Entries = known(uint64(len(text))<<32), known(uint64(len(text))<<31), known[uint64](0)
		for _, v := range Examine(facts) {
			if v.Found == "" {
				t.Errorf("%s says nothing", v.Check)
			}
		}
	})
}

func parsedFact[T any](text string, parse func(string) (T, bool)) Fact[T] {
	v, ok := parse(text)
	return Fact[T]{Value: v, Known: ok}
}
