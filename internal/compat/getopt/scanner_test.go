package getopt

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// describe writes a scan the way the tests below expect it: a letter or the
// name of a protocol option, "=" an argument, "@" a word taken, "!" an error
// with the word it blames, and behind "|" the words that belong to no option.
func describe(s *Scanner, steps []step) string {
	var b strings.Builder
	for _, st := range steps {
		switch {
		case st.Err == ErrUnknown:
			fmt.Fprintf(&b, "!unknown:%s ", st.Word)
			continue
		case st.Err == ErrMissingArg:
			fmt.Fprintf(&b, "!missing:%s ", st.Word)
			continue
		case st.Value >= protoStep:
			fmt.Fprintf(&b, "%s/%d", s.Long[st.LongIndex].Name, st.Value/protoStep)
		default:
			fmt.Fprintf(&b, "%c", st.Value)
		}
		if st.HasArg {
			fmt.Fprintf(&b, "=%s", st.Arg)
		}
		if st.taken != nil {
			fmt.Fprintf(&b, "@%s", *st.taken)
		}
		b.WriteByte(' ')
	}
	if s.Index < len(s.Args) {
		b.WriteString("| ")
		for _, w := range s.Args[s.Index:] {
			b.WriteString(cmp.Or(w, "”") + " ")
		}
	}
	return strings.TrimSuffix(b.String(), " ")
}

// ruleCases are command lines without the program name, split at blanks, with
// ” for an empty element. The differential test runs them too.
var ruleCases = []struct {
	rule    string
	args    string
	posixly bool
	want    string
}{
	{"no arguments is an immediate end", "", false, ""},
	{"words are skipped and kept in order", "foo -L -z bar", false, "L z | foo bar"},
	{"words move behind the options around them", "a -z b -h c d -S e", false, "z h@c S@e | a b d"},
	{"a lone dash is a word", "- -z -", false, "z | - -"},
	{"an empty element is a word", "” -z", false, "z | ”"},
	{"two dashes end the options", "a -z -- -h b", false, "z | a -h b"},
	{"only the first two dashes count", "-- --", false, "| --"},
	{"posixly the first word ends the options", "-z foo -V", true, "z | foo -V"},
	{"posixly a lone dash ends the options", "-z - -V", true, "z | - -V"},
	{"posixly two dashes are consumed", "-z -- -V", true, "z | -V"},
	{"posixly words can still be taken", "-L expect -z foo -V", true, "L@expect z | foo -V"},

	{"letters cluster", "-Lz", false, "L z"},
	{"a required argument is the rest of the cluster", "-Lpudp", false, "L p=udp"},
	{"a required argument is else the next element", "-Lo xml", false, "L o=xml"},
	{"a required argument may look like an option", "-m -s", false, "m=-s"},
	{"a required argument may be two dashes", "-m -- -z", false, "m=-- z"},
	{"a required argument may be empty", "-m ” -z", false, "m= z"},
	{"a required argument may be taken across skipped words", "a -m b c", false, "m=b | a c"},
	{"an equals sign belongs to a letter's argument", "-m=5", false, "m==5"},
	{"an optional argument is attached", "-n1.2.3.4", false, "n=1.2.3.4"},
	{"an optional argument is never the next element", "-z -n -m 1", false, "z n m=1"},
	{"a letter without argument leaves the cluster alone", "-Lexpect", false, "L e=xpect"},
	{"a second dash in a cluster is an unknown letter", "-L-z", false, "L !unknown:conntrack z"},
	{"notation is not a letter", "-: -;", false, "!unknown:-: !unknown:-;"},
	{"bytes beyond ASCII are unknown letters", "-zé", false, "z !unknown:conntrack !unknown:-zé"},
	{"punctuation can be a letter", "-[ 1 -]1 -{ 1 -}1 -<a ->b -(1 -) 2 -M f", false,
		"[=1 ]=1 {=1 }=1 <=a >=b (=1 )=2 M=f"},

	{"a long argument is the next element", "--src 1.1.1.1", false, "s=1.1.1.1"},
	{"a long argument is attached with an equals sign", "--src=1.1.1.1", false, "s=1.1.1.1"},
	{"an attached argument may be empty", "--src= --dump=", false, "s= L="},
	{"an attached argument may hold equals signs", "--src=a=b", false, "s=a=b"},
	{"a long required argument may look like an option", "--src --dst", false, "s=--dst"},
	{"a long optional argument is attached", "--dump=expect", false, "L=expect"},
	{"a long optional argument is never the next element", "--src-nat -z", false, "n z"},
	{"a prefix is enough", "--proto tcp --count --dum --statu 1", false, "p=tcp C L u=1"},
	{"an exact name wins over longer names", "--src 1 --event --label a", false, "s=1 E l=a"},
	{"an exact name wins behind a longer one", "-p gre --event-m 1 --event", false, "p=gre e=1 E"},
	{"a prefix of several options is unknown", "--sr --st --ma --ev --l --d --orig-port", false,
		"!unknown:--sr !unknown:--st !unknown:--ma !unknown:--ev !unknown:--l !unknown:--d !unknown:--orig-port"},
	{"a value on an ambiguous prefix is unknown", "--sr=1", false, "!unknown:--sr=1"},
	{"a name without letters is a prefix of everything", "--=x", false, "!unknown:--=x"},
	{"a longer name is unknown", "--dumps", false, "!unknown:--dumps"},
	{"three dashes are an unknown name", "---dump", false, "!unknown:---dump"},
	{"a value on an option that takes none is unknown", "--zero=1 --stats= -z", false,
		"!unknown:--zero=1 !unknown:--stats= z"},

	{"names added while scanning are known afterwards", "--sport 1 -p udp --sport 1 --sp 2", false,
		"!unknown:--sport p=udp sport/1=1 sport/1=2 | 1"},
	{"an exact name means its first option", "-p tcp -p udp --sport 1 --state x", false,
		"p=tcp p=udp sport/1=1 state/1=x"},
	{"a prefix of a name added twice is ambiguous", "-p tcp -p udp --sp 1", false,
		"p=tcp p=udp !unknown:--sp | 1"},
	{"an unknown protocol adds nothing", "-p ipv6-icmp --sport 1", false,
		"p=ipv6-icmp !unknown:--sport | 1"},

	{"a missing argument blames its letter", "-z -s", false, "z !missing:-s"},
	{"a missing argument blames its cluster", "foo -Ls", false, "L !missing:-Ls | foo"},
	{"a missing argument blames its name", "foo --src", false, "!missing:--src | foo"},
	{"an unknown last letter blames its cluster", "-LX", false, "L !unknown:-LX"},
	{"an unknown earlier letter blames the element before", "-L -s 1.1.1.1 -Xz", false,
		"L s=1.1.1.1 !unknown:1.1.1.1 z"},
	{"an unknown earlier letter may blame the program", "-XL", false, "!unknown:conntrack L"},
	{"an unknown earlier letter may blame a skipped word", "foo -XL", false, "!unknown:foo L | foo"},
	{"the element before is the one after permutation", "foo -z -XL", false, "z !unknown:foo L | foo"},
	{"an unknown name blames its element", "foo --foo=bar", false, "!unknown:--foo=bar | foo"},

	{"a word can be taken", "-L expect -z", false, "L@expect z"},
	{"a word can be taken after a long name", "--dump expect", false, "L@expect"},
	{"a word can be taken after skipped words", "a b -L expect c -z d", false, "L@expect z | a b c d"},
	{"a word taken stays with its option", "a -n 1.1.1.1 b -g 2.2.2.2 c -XL", false,
		"n@1.1.1.1 g@2.2.2.2 !unknown:c L | a b c"},
	{"no word is taken inside a cluster", "-Lz expect", false, "L z | expect"},
	{"no word is taken after an attached argument", "--dump=x expect -Cx expect", false,
		"L=x C=x | expect expect"},
	{"the caller decides what a word is", "-L -z -D !x -S", false, "L z D S | !x"},
	{"an empty word can be taken", "-L ” -z", false, "L@ z"},
	{"a word can be taken before two dashes", "a -L b -- -z", false, "L@b | a -z"},
}

func split(line string) []string {
	args := []string{"conntrack"}
	for f := range strings.FieldsSeq(line) {
		args = append(args, strings.ReplaceAll(f, "”", ""))
	}
	return args
}

func TestRules(t *testing.T) {
	tb := conntrackTables
	for _, tt := range ruleCases {
		t.Run(tt.rule, func(t *testing.T) {
			s := New(split(tt.args), tb.short, tb.long, tt.posixly)
			if got := describe(s, tb.scan(s)); got != tt.want {
				t.Errorf("scan %q\n got %s\nwant %s", tt.args, got, tt.want)
			}
		})
	}
}

func TestLeadingPlusEndsAtTheFirstWord(t *testing.T) {
	tb := *conntrackTables
	tb.short = "+" + tb.short
	s := New(split("-z foo -V"), tb.short, tb.long, false)
	if got, want := describe(s, tb.scan(s)), "z | foo -V"; got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
}

func TestPrefixOfSeveralNames(t *testing.T) {
	for _, tt := range []struct {
		rule string
		long []Long
		want error
	}{
		{"stands for the first if all are the same option",
			[]Long{{Name: "other", Arg: None, Value: 'o'}, {Name: "colour", Arg: Required, Value: 'c'}, {Name: "color", Arg: Required, Value: 'c'}}, nil},
		{"is unknown if a kind differs",
			[]Long{{Name: "other", Arg: None, Value: 'o'}, {Name: "colour", Arg: Required, Value: 'c'}, {Name: "color", Arg: Optional, Value: 'c'}}, ErrUnknown},
		{"is unknown if a value differs",
			[]Long{{Name: "other", Arg: None, Value: 'o'}, {Name: "colour", Arg: Required, Value: 'c'}, {Name: "color", Arg: Required, Value: 'd'}}, ErrUnknown},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			opt, ok := New([]string{"x", "--colo=red"}, "", tt.long, false).Next()
			if !ok || opt.Err != tt.want {
				t.Fatalf("--colo=red among %v: got %+v, %v, want error %v", tt.long, opt, ok, tt.want)
			}
			if tt.want == nil && (opt.LongIndex != 1 || opt.Arg != "red") {
				t.Errorf("--colo=red among %v: got %+v, want the second with red", tt.long, opt)
			}
		})
	}
}

func TestNotationIsNeverALetter(t *testing.T) {
	s := New([]string{"x", "-;", "-:", "-a"}, ":;a", nil, false)
	if got, want := describe(s, conntrackTables.scan(s)), "!unknown:-; !unknown:-: a"; got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
}

func TestEndIsForEver(t *testing.T) {
	s := New(split("a -z -- -L"), conntrackTables.short, conntrackTables.long, false)
	conntrackTables.scan(s)
	for range 3 {
		if opt, ok := s.Next(); ok {
			t.Fatalf("after the end: got %+v", opt)
		}
	}
	if got, want := s.Args[s.Index:], []string{"a", "-L"}; !slices.Equal(got, want) {
		t.Errorf("words: got %q, want %q", got, want)
	}
}

func TestEmptyVectorHasNoOptions(t *testing.T) {
	for _, args := range [][]string{nil, {}, {"conntrack"}} {
		s := New(args, conntrackTables.short, conntrackTables.long, false)
		if opt, ok := s.Next(); ok || s.Index != len(args) {
			t.Errorf("%q: got %+v, %v, index %d", args, opt, ok, s.Index)
		}
	}
}

func TestCallersSlicesAreNotWrittenTo(t *testing.T) {
	args := split("a -p tcp b -z")
	backing := make([]Long, 3)
	copy(backing, []Long{{Name: "protonum", Arg: Required, Value: 'p'}, {Name: "zero", Arg: None, Value: 'z'}, {Name: "sentinel", Arg: None, Value: 1}})
	tb := *conntrackTables
	tb.long = backing[:2]
	tb.scan(New(args, tb.short, tb.long, false))
	if want := split("a -p tcp b -z"); !slices.Equal(args, want) {
		t.Errorf("args: got %q, want %q", args, want)
	}
	if backing[2].Name != "sentinel" {
		t.Errorf("the table behind the caller's slice became %+v", backing[2])
	}
}

func TestIndexOutOfRangeIsTheNearestElement(t *testing.T) {
	for _, index := range []int{-5, 0, 1, 2, 3, 99} {
		s := New(split("-Lz a"), conntrackTables.short, conntrackTables.long, false)
		s.Next()
		s.Index = index
		for range 10 {
			if _, ok := s.Next(); !ok {
				break
			}
		}
		slices.Sort(s.Args)
		if want := []string{"-Lz", "a", "conntrack"}; !slices.Equal(s.Args, want) {
			t.Errorf("index %d: got %q", index, s.Args)
		}
	}
}

func TestScanningDoesNotAllocate(t *testing.T) {
	args := split("foo -L expect --orig-src 1.1.1.1 bar --proto=tcp -XzX --nope baz -m")
	got := testing.AllocsPerRun(100, func() {
		s := New(args, conntrackTables.short, conntrackTables.long, false)
		for {
			if _, ok := s.Next(); !ok {
				break
			}
		}
	})
	if got > 2 { // the copy of the vector, and the Scanner
		t.Errorf("got %v allocations, want at most 2", got)
	}
}

func BenchmarkScan(b *testing.B) {
	args := split("-L expect --orig-src 1.1.1.1 bar --protonum=tcp -z -m 5 -o xml")
	b.ReportAllocs()
	for b.Loop() {
		s := New(args, conntrackTables.short, conntrackTables.long, false)
		for {
			if _, ok := s.Next(); !ok {
				break
			}
		}
	}
}
