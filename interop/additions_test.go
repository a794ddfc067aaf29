//go:build linux

package interop_test

import (
	"encoding/csv"
	"encoding/json"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/spoor-project/spoor/internal/nstest"
)

// The tests of what the original does not have.

func TestJSONOutputs(t *testing.T) {
	t.Parallel()
	s := newSandbox(t, ours(t))
	richScene(t, s)
	entries := strings.Count(s.must("conntrack", "-L"), "\n")

	var list []map[string]any
	if err := json.Unmarshal([]byte(s.must("conntrack", "-L", "-o", "json")), &list); err != nil || len(list) != entries {
		t.Errorf("-o json: %d of %d entries, %v", len(list), entries, err)
	}
	lines := s.must("conntrack", "-L", "-o", "jsonl")
	if n := strings.Count(lines, "\n"); n != entries {
		t.Errorf("-o jsonl: %d of %d entries", n, entries)
	}
	for line := range strings.Lines(lines) {
		if !json.Valid([]byte(line)) {
			t.Errorf("-o jsonl: %s", line)
		}
	}
	rows, err := csv.NewReader(strings.NewReader(s.must("conntrack", "-L", "-o", "csv"))).ReadAll()
	if err != nil || len(rows) != entries+1 {
		t.Errorf("-o csv: %d rows, %v", len(rows), err)
	}
	var count struct{ Count int }
	if err := json.Unmarshal([]byte(s.must("conntrack", "-C", "-o", "json")), &count); err != nil || count.Count != entries {
		t.Errorf("-C -o json: %+v, %v", count, err)
	}
	var cpus []map[string]int
	if err := json.Unmarshal([]byte(s.must("conntrack", "-S", "-o", "json")), &cpus); err != nil || len(cpus) == 0 {
		t.Errorf("-S -o json: %v, %v", cpus, err)
	}
	if _, ok := cpus[0]["insert_failed"]; !ok {
		t.Errorf("-S -o json: %v", cpus[0])
	}
	for argv, want := range map[string]string{
		"-L -s 9.9.9.9 -o json": "[]\n", "-L -s 9.9.9.9 -o jsonl": "", "-L expect -o json": "[]\n",
	} {
		if got := s.must(append([]string{"conntrack"}, strings.Fields(argv)...)...); got != want {
			t.Errorf("%s printed %q, want %q", argv, got, want)
		}
	}
}

func TestDryRunLeavesTheTableAlone(t *testing.T) {
	t.Parallel()
	s := newSandbox(t, ours(t))
	richScene(t, s)
	before := s.must("conntrack", "-L", "-f", "ipv4", "-o", "id")
	for _, argv := range []string{"-D -s 1.1.1.1 --dry-run", "-U -m 77 --dry-run"} {
		r := s.run(job{argv: append([]string{"conntrack"}, strings.Fields(argv)...)})
		if r.exit != 0 || r.stdout == "" || !strings.Contains(r.stderr, " would be ") {
			t.Errorf("%s: %v", argv, r)
		}
	}
	if r := s.run(job{argv: []string{"conntrack", "-D", "-s", "9.9.9.9", "--dry-run"}}); r.exit != 1 {
		t.Errorf("a dry run that hits nothing: %v", r)
	}
	if after := s.must("conntrack", "-L", "-f", "ipv4", "-o", "id"); normalised(after) != normalised(before) {
		t.Errorf("the table was\n%s and is\n%s", before, after)
	}
}

// normalised hides what changes by itself.
func normalised(s string) string {
	return apply(timeRules, s)
}

func TestNetworkNamespaces(t *testing.T) {
	t.Parallel()
	here, there := newSandbox(t, ours(t)), newSandbox(t, ours(t))
	there.load("-I -s 1.1.1.1 -d 2.2.2.2 -p udp --sport 10 --dport 20 -t 500\n")
	path := there.ns.Path()
	for _, argv := range [][]string{
		{"conntrack", "-C", "--netns", path},
		{"conntrack", "--netns=" + path, "-C"},
	} {
		if got := here.must(argv...); got != "1\n" {
			t.Errorf("%q printed %q", argv, got)
		}
	}
	if got := here.must("conntrack", "-C"); got != "0\n" {
		t.Errorf("the own namespace has %s entries", got)
	}
	r := here.run(job{argv: []string{"conntrack", "--netns", path, "-R", "-"},
		stdin: "-I -s 1.1.1.2 -d 2.2.2.2 -p udp --sport 10 --dport 20 -t 500\n-D -s 1.1.1.1\n"})
	if r.exit != 0 || strings.Count(r.stdout, "\n") != 1 {
		t.Errorf("-R: %v", r)
	}
	if got := there.must("conntrack", "-L", "-o", "save"); !strings.Contains(got, "-s 1.1.1.2 ") || strings.Count(got, "\n") != 1 {
		t.Errorf("the other namespace has\n%s", got)
	}
	for _, name := range []string{"no-such-namespace", "/nonexistent", "", "."} {
		r := here.run(job{argv: []string{"conntrack", "-L", "--netns", name}})
		if r.exit == 0 || r.stdout != "" || !strings.Contains(r.stderr, "network namespace") {
			t.Errorf("--netns %q: %v", name, r)
		}
	}
}

func TestEventsCanBeginWithTheTable(t *testing.T) {
	t.Parallel()
	s := newSandbox(t, ours(t))
	s.load("-I -s 1.1.1.1 -d 2.2.2.2 -p udp --sport 10 --dport 20 -t 500\n")
	p := s.begin(job{argv: []string{"conntrack", "-E", "--with-table"}})
	p.follows()
	s.load("-I -s 1.1.1.2 -d 2.2.2.2 -p udp --sport 10 --dport 20 -t 500\n")
	p.idles()
	p.cmd.Process.Signal(syscall.SIGINT)
	r := p.end()
	lines := strings.SplitAfter(r.stdout, "\n")
	if len(lines) != 3 || !strings.HasPrefix(lines[0], "udp      17 ") || !strings.Contains(lines[0], "src=1.1.1.1 ") ||
		!strings.HasPrefix(lines[1], "    [NEW] udp ") || !strings.Contains(lines[1], "src=1.1.1.2 ") {
		t.Errorf("printed\n%s", r.stdout)
	}
	if !strings.HasSuffix(r.stderr, "1 flow events have been shown.\n") {
		t.Errorf("stderr:\n%s", r.stderr)
	}
}

// TestFailedLinesAreNamed: the original's message comes first, and names no line.
func TestFailedLinesAreNamed(t *testing.T) {
	t.Parallel()
	s := newSandbox(t, ours(t))
	const entry = "-I -s 1.1.1.1 -d 2.2.2.2 -p udp --sport 10 --dport 20 -t 500\n"
	r := s.run(job{argv: []string{"conntrack", "-R", "-"}, stdin: "# one\n" + entry + "\n" + entry + "-F\n"})
	want := "conntrack v1.4.9 (conntrack-tools): Operation failed: Such conntrack exists, try -U to update\n" +
		"conntrack v1.4.9 (conntrack-tools): line 4: Such conntrack exists, try -U to update\n"
	if r.exit != 1 || r.stderr != want {
		t.Errorf("%v", r)
	}
	if got := s.must("conntrack", "-C"); got != "1\n" {
		t.Errorf("%s entries; the flush behind the failure must not happen", strings.TrimSpace(got))
	}
}

func TestUnreadableInputIsAnError(t *testing.T) {
	t.Parallel()
	s := newSandbox(t, ours(t))
	if err := os.Mkdir(s.dir+"/folder", 0o755); err != nil {
		t.Fatal(err)
	}
	if r := s.run(job{argv: []string{"conntrack", "-R", "folder"}}); r.exit == 0 || r.stderr == "" {
		t.Errorf("-R of a folder: %v", r)
	}
}

// TestSnapshotPrintsTheSame compares the two ways to read the table, in the order of lines too.
func TestSnapshotPrintsTheSame(t *testing.T) {
	t.Parallel()
	our := ours(t)
	for _, name := range []string{"empty", "rich", "nat", "helper", "labels"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSandbox(t, our)
			scenes[name](t, s)
			for _, line := range []string{
				"-L", "-L -o extended,id,labels,ktimestamp", "-L -o xml", "-L -o save", "-L -o json", "-L -o jsonl", "-L -o csv",
				"-L -f ipv6", "-L -p tcp", "-L -p udp --dport 20", "-L -s 1.1.1.0/24", "-L -u ASSURED", "-L -u UNSET", "-L -m 0",
				"-L -w 5", "-L -n", "-L -g", "-L -j", "-L -p tcp --state ESTABLISHED", "-D -s 9.9.9.9", "-D -p tcp --dry-run",
			} {
				argv := strings.Fields(line)
				by := func(snapshot string) result {
					return s.run(job{argv: append([]string{"env", "SPOOR_SNAPSHOT=" + snapshot, "conntrack"}, argv...)})
				}
				compare(t, argv, by("off"), by("on"), timeRules, stampRules)
			}
		})
	}
}

// TestSnapshotPrintsContexts compares the two ways where a security module gives flows contexts, those without a mark too.
func TestSnapshotPrintsContexts(t *testing.T) {
	t.Parallel()
	s := newSandbox(t, ours(t))
	if _, err := os.Stat("/sys/fs/selinux/policy"); err != nil {
		nstest.KernelLacks(t, "a policy of SELinux", err.Error())
	}
	s.ns.LoopbackUp()
	s.ns.MustRun(t, "nft", `table inet t {
		secmark web {
			"u:object_r:web_t"
		}
		chain sent { type filter hook output priority 0; udp dport 80 meta secmark set "web" ct secmark set meta secmark; }
		chain seen { type filter hook input priority 0; ct state new accept; }
	}`)
	here := netip.MustParseAddr("127.0.0.1")
	for port := range uint16(4) {
		nstest.Send(t, s.ns, netip.AddrPortFrom(here, 1000+port), netip.AddrPortFrom(here, 80+port%2), "hello")
	}
	for _, c := range []struct {
		line  string
		wants []string
	}{
		{"-L", []string{"web_t", "plain_t"}},
		{"-L -o xml", []string{"web_t", "plain_t"}},
		{"-L -o json", []string{"web_t", "plain_t"}},
		{"-L -o csv", []string{"web_t", "plain_t"}},
		{"-L -p udp --dport 80", []string{"web_t"}},
		{"-D -p udp --dport 81 --dry-run", []string{"plain_t"}},
	} {
		argv := strings.Fields(c.line)
		by := func(snapshot string) result {
			return s.run(job{argv: append([]string{"env", "SPOOR_SNAPSHOT=" + snapshot, "conntrack"}, argv...)})
		}
		off := by("off")
		for _, want := range c.wants {
			if !strings.Contains(off.stdout, want) {
				t.Errorf("%s: no %s:\n%v", c.line, want, off)
			}
		}
		compare(t, argv, off, by("on"), timeRules, stampRules)
	}
}

// TestVerboseTellsHowTheTableIsRead is about the line on stderr; what is printed stays as it is.
func TestVerboseTellsHowTheTableIsRead(t *testing.T) {
	t.Parallel()
	s := newSandbox(t, ours(t))
	scenes["rich"](t, s)
	for _, c := range []struct{ snapshot, line, want string }{
		{"", "-L", "over netlink: of "},
		{"off", "-L", "over netlink: SPOOR_SNAPSHOT=off"},
		{"on", "-L", "by a snapshot, by "},
		{"on", "-L -z", "over netlink: a snapshot changes no counters"},
		{"on", "-L dying", "over netlink: a snapshot does not see that table"},
		{"on", "-D -p tcp --dry-run", "by a snapshot, by "},
		{"on", "-D -s 9.9.9.9", "by a snapshot, by "},
	} {
		argv := append([]string{"env", "SPOOR_SNAPSHOT=" + c.snapshot, "conntrack"}, strings.Fields(c.line)...)
		plain, verbose := s.run(job{argv: argv}), s.run(job{argv: append(argv, "--verbose")})
		note, rest, _ := strings.Cut(verbose.stderr, "\n")
		if !strings.HasPrefix(note, "conntrack: the table is read "+c.want) {
			t.Errorf("%q: %q, want %q", c.line, note, c.want)
		}
		verbose.stderr = rest
		compare(t, argv, plain, verbose, timeRules, stampRules)
	}
}
