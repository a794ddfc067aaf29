package getopt

import (
	"slices"
	"strings"
	"testing"
)

// The laws: nothing panics, every call but the last consumes a letter or an
// element, the vector stays a permutation of the input with the program name
// in front, and without "--" or posixly no option is left behind.
func FuzzScan(f *testing.F) {
	for _, tt := range ruleCases {
		f.Add(strings.Join(split(tt.args), "\n"), tt.posixly, byte(0))
	}
	f.Add("x\n-Lz\na\nb", false, byte(7))

	f.Fuzz(func(t *testing.T, input string, posixly bool, jump byte) {
		args := strings.Split(input, "\n")
		tb := conntrackTables

		s := New(args, tb.short, tb.long, posixly)
		steps := tb.scan(s)
		if most := len(input) + len(args); len(steps) > most {
			t.Errorf("%q: %d options out of %d letters and elements", args, len(steps), most)
		}
		for _, st := range steps {
			checkPermutation(t, args, st.args)
		}
		checkPermutation(t, args, s.Args)
		if !posixly && !slices.Contains(args, "--") {
			for _, w := range s.Args[s.Index:] {
				if !isWord(w) {
					t.Errorf("%q: %q was left behind", args, w)
				}
			}
		}

		// A caller that moves Index as it likes can lose options, not elements.
		s = New(args, tb.short, tb.long, posixly)
		for n := 0; n < len(input)+len(args); n++ {
			if _, ok := s.Next(); !ok {
				break
			}
			s.Index += int(int8(jump)) >> (n % 8)
			checkPermutation(t, args, s.Args)
		}
	})
}

func checkPermutation(t *testing.T, args, got []string) {
	t.Helper()
	a, b := slices.Sorted(slices.Values(args)), slices.Sorted(slices.Values(got))
	if !slices.Equal(a, b) || got[0] != args[0] {
		t.Fatalf("%q became %q", args, got)
	}
}
