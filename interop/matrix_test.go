//go:build linux

package interop_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
)

// matrixCommands are all commands. base is what a command needs besides; without it most of them complain about what is missing
// before they look at anything else. labelmap is column M of the validity matrix of conntrack 1.4.9, which 1.4.7 has not.
var matrixCommands = []struct {
	argv, base string
	labelmap   bool
}{
	{argv: "-L", labelmap: true},
	{argv: "-L dying", labelmap: true},
	{argv: "-L unconfirmed", labelmap: true},
	{argv: "-I", base: "-s 1.1.1.1 -d 2.2.2.2 -t 500"},
	{argv: "-A", base: "-s 1.1.1.1 -d 2.2.2.2 -t 500"},
	{argv: "-U", labelmap: true},
	{argv: "-D", labelmap: true},
	{argv: "-G", base: "-s 1.1.1.1 -d 2.2.2.2"},
	{argv: "-F"},
	{argv: "-E", labelmap: true},
	{argv: "-V"},
	{argv: "-C"},
	{argv: "-S"},
	{argv: "-h"},
	{argv: "-L expect"},
	{argv: "-I expect", base: "-s 1.1.1.1 -d 2.2.2.2 -t 500 --tuple-src 3.3.3.3 --tuple-dst 4.4.4.4 " +
		"--mask-src 255.255.255.255 --mask-dst 255.255.255.255"},
	{argv: "-D expect", base: "-s 1.1.1.1 -d 2.2.2.2"},
	{argv: "-G expect", base: "-s 1.1.1.1 -d 2.2.2.2"},
	{argv: "-E expect"},
	{argv: "-F expect"},
	{argv: "-C expect"},
	{argv: "-S expect"},
}

// genericOptions are all options which need no protocol, each with a good value.
var genericOptions = strings.Split("-s 1.1.1.1;-d 2.2.2.2;-r 2.2.2.2;-q 1.1.1.1;-p 200;-t 500;-u ASSURED;-z;-e NEW;"+
	"--tuple-src 3.3.3.3;--tuple-dst 4.4.4.4;--mask-src 255.255.255.255;--mask-dst 255.255.255.255;-s 1.1.1.0/24;-d 2.2.2.0/24;"+
	"--tuple-src 3.3.3.0/24;--tuple-dst 4.4.4.0/24;-a x;-m 1;-i 1;-f ipv4;-f ipv6;-n;-n 5.5.5.5;-g;-g 5.5.5.5;-o id;-o xml;-o save;"+
	"-o labels;-c 1;-b 100000;-j;-j 5.5.5.5;-w 1;-l one;--label-add one;--label-del;--label-del one;--orig-zone 1;--reply-zone 1", ";")

// protocolOptions are the options of each protocol. need is what creating an entry of it takes.
var protocolOptions = []struct{ proto, need, options string }{
	{"tcp", "--sport 1 --dport 2 --state ESTABLISHED", ports + ";--state CLOSE"},
	{"udp", "--sport 1 --dport 2", ports},
	{"udplite", "--sport 1 --dport 2", ports},
	{"sctp", "--sport 1 --dport 2 --state CLOSED --orig-vtag 1 --reply-vtag 2", ports + ";--state CLOSED;--orig-vtag 1;--reply-vtag 2"},
	{"dccp", "--sport 1 --dport 2 --state OPEN --role client", ports + ";--state OPEN;--role client"},
	{"icmp", "--icmp-type 8 --icmp-code 0", "--icmp-type 8;--icmp-code 0;--icmp-id 1"},
	{"icmpv6", "--icmpv6-type 128 --icmpv6-code 0", "--icmpv6-type 128;--icmpv6-code 0;--icmpv6-id 1"},
	{"gre", "--srckey 1 --dstkey 2", "--srckey 1;--dstkey 2;--reply-key-src 2;--reply-key-dst 1;--mask-key-src 1;--mask-key-dst 1;" +
		"--tuple-key-src 1;--tuple-key-dst 1"},
}

const ports = "--sport 1;--dport 2;--reply-port-src 2;--reply-port-dst 1;--mask-port-src 1;--mask-port-dst 1;" +
	"--tuple-port-src 1;--tuple-port-dst 1"

// TestOptionMatrix wants the same verdict on every command with every option from the distribution's program and from ours.
// Each option is tried alone, and together with everything else that its command needs.
func TestOptionMatrix(t *testing.T) {
	t.Parallel()
	their, our := theirs(t), ours(t)
	for _, c := range matrixCommands {
		t.Run(c.argv, func(t *testing.T) {
			t.Parallel()
			etc := newEtc(t, map[string]string{"xtables/connlabel.conf": labelMap})
			a, b := newSandbox(t, their), newSandbox(t, our)
			a.etc, b.etc = etc, etc
			lines := matrixLines(c.argv, c.base)
			if strings.HasPrefix(c.argv, "-E") {
				verdictsAtOnce(t, a, b, lines)
				return
			}
			for _, argv := range lines {
				want, got := a.run(job{argv: argv}), b.run(job{argv: argv})
				compareVerdict(t, argv, want, got)
				if want.exit == 0 && (c.argv == "-I" || c.argv == "-A") {
					// The next entry is to meet an empty table again.
					a.must("conntrack", "-F")
					b.with(their).must("conntrack", "-F")
				}
			}
		})
	}
}

// matrixLines is a command with each option, alone and on the base.
func matrixLines(command, base string) [][]string {
	var lines []string
	add := func(parts ...string) {
		lines = append(lines, strings.Join(append([]string{command}, parts...), " "))
	}
	add()
	for _, option := range genericOptions {
		add(option)
		if base != "" {
			add(base, "-p 200", option)
		}
	}
	if base != "" {
		add(base, "-p 200")
	}
	for _, p := range protocolOptions {
		proto := "-p " + p.proto
		add(proto)
		if base != "" {
			add(base, proto)
			add(base, proto, p.need)
		}
		for option := range strings.SplitSeq(p.options, ";") {
			add(proto, option)
			if base != "" {
				add(base, proto, option)
				add(base, proto, p.need, option)
			}
		}
	}
	var argvs [][]string
	for _, line := range lines {
		argvs = append(argvs, append([]string{"conntrack"}, strings.Fields(line)...))
	}
	return argvs
}

// verdictsAtOnce is for commands which run until they are told to stop, if their options are legal; they wait for each other.
func verdictsAtOnce(t *testing.T, a, b *sandbox, lines [][]string) {
	for batch := range slices.Chunk(lines, 16) {
		var pairs [][2]*process
		var ready sync.WaitGroup
		for _, argv := range batch {
			j := job{argv: argv}
			pair := [2]*process{a.begin(j), b.begin(j)}
			for _, p := range pair {
				ready.Go(func() {
					p.follows()
					p.interrupt()
				})
			}
			pairs = append(pairs, pair)
		}
		ready.Wait()
		for i, argv := range batch {
			compareVerdict(t, argv, pairs[i][0].end(), pairs[i][1].end())
		}
	}
}

// compareVerdict compares what says whether the options are legal. Standard output is not part of it: help texts differ.
func compareVerdict(t *testing.T, argv []string, want, got result) {
	t.Helper()
	want.stdout, got.stdout = "", ""
	compare(t, argv, want, got, versionRules)
}

// TestLabelmapMatrix is the column of the option matrix for which there is no program to ask.
func TestLabelmapMatrix(t *testing.T) {
	t.Parallel()
	our := ours(t)
	if our.foreign {
		t.Skip("conntrack 1.4.7 has no --labelmap")
	}
	for _, c := range matrixCommands {
		t.Run(c.argv, func(t *testing.T) {
			t.Parallel()
			s := newSandbox(t, our)
			line := fmt.Sprintf("conntrack %s %s --labelmap /dev/null", c.argv, c.base)
			if c.base != "" {
				line += " -p 200"
			}
			j := job{argv: strings.Fields(line)}
			if c.argv == "-E" {
				j.during = [][]string{}
			}
			got := s.run(j)
			illegal := strings.HasPrefix(got.stderr, "conntrack v1.4.9 (conntrack-tools): Illegal option `--labelmap' with this command\n")
			if illegal == c.labelmap || illegal != (got.exit == 2) {
				t.Errorf("%q: %v\nwant --labelmap legal: %t", j.argv, got, c.labelmap)
			}
		})
	}
}
