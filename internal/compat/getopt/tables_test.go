package getopt

import "strings"

// tables is what a test scans with: the generic tables, and the long options
// that "-p NAME" adds while scanning.
type tables struct {
	short  string
	long   []Long
	protos []proto
	takers string // letters that take a following word if it looks like none
}

type proto struct {
	name string
	long []Long
}

// protoStep keeps the options of one -p apart from those of the next.
const protoStep = 256

// conntrackTables are the options of the conntrack command, with some of its
// protocols. The small values of the protocol options are of no importance.
var conntrackTables = &tables{
	short: ":LIADUGFEC::SVhs:d:r:q:p:t:u:ze:a:m:i:f:n::g::o:c:b:j::w:l:[:]:{:}:<:>::(:):M:",
	long: []Long{
		{Name: "dump", Arg: Optional, Value: 'L'}, {Name: "create", Arg: Optional, Value: 'I'}, {Name: "add", Arg: Optional, Value: 'A'},
		{Name: "delete", Arg: Optional, Value: 'D'}, {Name: "update", Arg: Optional, Value: 'U'}, {Name: "get", Arg: Optional, Value: 'G'},
		{Name: "flush", Arg: Optional, Value: 'F'}, {Name: "event", Arg: Optional, Value: 'E'}, {Name: "counter", Arg: Optional, Value: 'C'},
		{Name: "stats", Arg: None, Value: 'S'}, {Name: "version", Arg: None, Value: 'V'}, {Name: "help", Arg: None, Value: 'h'},
		{Name: "orig-src", Arg: Required, Value: 's'}, {Name: "src", Arg: Required, Value: 's'},
		{Name: "orig-dst", Arg: Required, Value: 'd'}, {Name: "dst", Arg: Required, Value: 'd'},
		{Name: "reply-src", Arg: Required, Value: 'r'}, {Name: "reply-dst", Arg: Required, Value: 'q'},
		{Name: "protonum", Arg: Required, Value: 'p'}, {Name: "timeout", Arg: Required, Value: 't'}, {Name: "status", Arg: Required, Value: 'u'},
		{Name: "zero", Arg: None, Value: 'z'}, {Name: "event-mask", Arg: Required, Value: 'e'},
		{Name: "tuple-src", Arg: Required, Value: '['}, {Name: "tuple-dst", Arg: Required, Value: ']'},
		{Name: "mask-src", Arg: Required, Value: '{'}, {Name: "mask-dst", Arg: Required, Value: '}'},
		{Name: "nat-range", Arg: Required, Value: 'a'}, {Name: "mark", Arg: Required, Value: 'm'}, {Name: "secmark", Arg: Required, Value: 'c'},
		{Name: "id", Arg: Required, Value: 'i'}, {Name: "family", Arg: Required, Value: 'f'},
		{Name: "src-nat", Arg: Optional, Value: 'n'}, {Name: "dst-nat", Arg: Optional, Value: 'g'},
		{Name: "output", Arg: Required, Value: 'o'}, {Name: "buffer-size", Arg: Required, Value: 'b'}, {Name: "any-nat", Arg: Optional, Value: 'j'},
		{Name: "zone", Arg: Required, Value: 'w'}, {Name: "label", Arg: Required, Value: 'l'}, {Name: "labelmap", Arg: Required, Value: 'M'},
		{Name: "label-add", Arg: Required, Value: '<'}, {Name: "label-del", Arg: Optional, Value: '>'},
		{Name: "orig-zone", Arg: Required, Value: '('}, {Name: "reply-zone", Arg: Required, Value: ')'},
	},
	protos: []proto{
		{"udp", portOptions},
		{"tcp", append(portOptions[:len(portOptions):len(portOptions)], Long{Name: "state", Arg: Required, Value: 9})},
		{"gre", []Long{
			{Name: "orig-key-src", Arg: Required, Value: 1}, {Name: "srckey", Arg: Required, Value: 1},
			{Name: "orig-key-dst", Arg: Required, Value: 2}, {Name: "dstkey", Arg: Required, Value: 2},
			{Name: "reply-key-src", Arg: Required, Value: 3}, {Name: "reply-key-dst", Arg: Required, Value: 4},
			{Name: "mask-key-src", Arg: Required, Value: 5}, {Name: "mask-key-dst", Arg: Required, Value: 6},
			{Name: "tuple-key-src", Arg: Required, Value: 7}, {Name: "tuple-key-dst", Arg: Required, Value: 8},
		}},
		{"icmp", []Long{{Name: "icmp-type", Arg: Required, Value: 1}, {Name: "icmp-code", Arg: Required, Value: 2}, {Name: "icmp-id", Arg: Required, Value: 3}}},
	},
	takers: "LIADUGFECSVhngj>",
}

var portOptions = []Long{
	{Name: "orig-port-src", Arg: Required, Value: 1}, {Name: "sport", Arg: Required, Value: 1},
	{Name: "orig-port-dst", Arg: Required, Value: 2}, {Name: "dport", Arg: Required, Value: 2},
	{Name: "reply-port-src", Arg: Required, Value: 3}, {Name: "reply-port-dst", Arg: Required, Value: 4},
	{Name: "mask-port-src", Arg: Required, Value: 5}, {Name: "mask-port-dst", Arg: Required, Value: 6},
	{Name: "tuple-port-src", Arg: Required, Value: 7}, {Name: "tuple-port-dst", Arg: Required, Value: 8},
}

// step is one option, together with what the caller did about it.
type step struct {
	Option
	index int      // Scanner.Index afterwards
	taken *string  // the word the caller took
	args  []string // the vector at that moment
}

// scan behaves like the conntrack command: it takes words after the letters
// that want one, and adds the options of each protocol that -p names. Unlike
// the command it carries on after errors.
func (tb *tables) scan(s *Scanner) []step {
	var steps []step
	for nth := 0; ; {
		opt, ok := s.Next()
		if !ok {
			return steps
		}
		st := step{Option: opt}
		if opt.Err == nil && !opt.HasArg && strings.ContainsRune(tb.takers, opt.Value) && s.Index < len(s.Args) {
			if w := s.Args[s.Index]; !strings.HasPrefix(w, "-") && !strings.HasPrefix(w, "!") {
				st.taken = &w
				s.Index++
			}
		}
		st.index = s.Index
		st.args = append([]string(nil), s.Args...)
		steps = append(steps, st)

		if opt.Value != 'p' {
			continue
		}
		nth++
		for _, p := range tb.protos {
			if p.name != opt.Arg {
				continue
			}
			for _, l := range p.long {
				l.Value += rune(nth * protoStep)
				s.Long = append(s.Long, l)
			}
		}
	}
}
