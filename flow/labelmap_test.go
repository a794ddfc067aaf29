package flow

import (
	"encoding"
	"errors"
	"maps"
	"math"
	"strings"
	"testing"
	"testing/iotest"
)

var _ encoding.TextAppender = (*LabelMap)(nil)

// labelMapCases were checked against libnetfilter_conntrack 1.0.9.
var labelMapCases = []struct {
	rule, file string
	want       map[int]string
}{
	{"number and name", "1 one\n5 spaced name\n", map[int]string{1: "one", 5: "spaced name"}},
	{"first definition of a bit wins", "1 one\n1 uno\n", map[int]string{1: "one"}},
	{"first definition of a name wins", "1 one\n2 one\n3 three", map[int]string{1: "one", 3: "three"}},
	{"base is found by the prefix", "0x10 hex\n010 oct\n0X1F up\n", map[int]string{16: "hex", 8: "oct", 31: "up"}},
	{"number ends where its digits end", "5name\n08 x\n", map[int]string{5: "name", 0: "8 x"}},
	{"0x without a digit is a zero", "0x zed\n", map[int]string{0: "x zed"}},
	{"other prefixes are not known", "0b11 bin\n", map[int]string{0: "b11 bin"}},
	{"bits end at 1023", "1024 big\n1023 max\n", map[int]string{1023: "max"}},
	{"sign is allowed", "+7 plus\n-0 zero\n-1 x\n- 5 y\n+-5 z\n", map[int]string{7: "plus", 0: "zero"}},
	{"huge numbers are too large", "4294967296 x\n18446744073709551615 y\n18446744073709551617 z\n", nil},
	{"negative numbers wrap", "-18446744073709551611 five\n", map[int]string{5: "five"}},
	{"blanks around are dropped", "\t\v\f 9 \t lead\v\r\n1 one\r\n2 \rtwo\n", map[int]string{9: "lead", 1: "one", 2: "two"}},
	{"comment is a # in the first column", "#8 c\n #9 d\n10 # c\n11 a#b\n", nil},
	{"name has letters, digits, blanks and dashes", "1 a_b\n2 a-b\n3 a b\n4 a\tb\n7 \xc3\xa9\n8 - -\n9 0x\n12 9lives\n",
		map[int]string{2: "a-b", 3: "a b", 8: "- -", 9: "0x", 12: "9lives"}},
	{"name is needed", "5\n6 \n", nil},
	{"bad name leaves the bit free", "5 a_b\n5 c\n", map[int]string{5: "c"}},
	{"NUL ends the line", "1 nul\x00more\n2 x\n", map[int]string{1: "nul", 2: "x"}},
	{"longest line", "11 " + n(1019) + "\n12 x\n", map[int]string{11: n(1019), 12: "x"}},
	{"line as long as the buffer", "11 " + n(1020) + "\n12 x\n", map[int]string{11: n(1020), 12: "x"}},
	{"rest of a longer line is a line", "11 " + n(1020) + "13 tail\n12 x\n", map[int]string{11: n(1020), 13: "tail", 12: "x"}},
	{"rest of a longer line may be a comment", "11 " + n(1020) + "#13 tail\n12 x\n", map[int]string{11: n(1020), 12: "x"}},
	{"long name needs no blank", "5" + n(1022) + "\n6 six", map[int]string{5: n(1022), 6: "six"}},
	{"empty file", "", nil},
}

func n(count int) string { return strings.Repeat("n", count) }

func TestParseLabelMap(t *testing.T) {
	for _, c := range labelMapCases {
		t.Run(c.rule, func(t *testing.T) {
			m, err := ParseLabelMap(iotest.OneByteReader(strings.NewReader(c.file)))
			if err != nil {
				t.Fatal(err)
			}
			if got := mapNames(m); !maps.Equal(got, c.want) {
				t.Errorf("ParseLabelMap(%q) = %v, want %v", c.file, got, c.want)
			}
			if m.Len() != len(c.want) {
				t.Errorf("Len() = %d, want %d", m.Len(), len(c.want))
			}
			for bit, name := range c.want {
				if got, ok := m.Bit(name); got != bit || !ok {
					t.Errorf("Bit(%q) = %d, %v, want %d, true", name, got, ok, bit)
				}
			}
		})
	}
}

func TestParseLabelMapReturnsTheReadersError(t *testing.T) {
	broken := errors.New("broken")
	m, err := ParseLabelMap(iotest.ErrReader(broken))
	if m != nil || !errors.Is(err, broken) {
		t.Errorf("ParseLabelMap = %v, %v, want nil, %v", m, err, broken)
	}
}

func TestNilLabelMapHasNoNames(t *testing.T) {
	var m *LabelMap
	if _, ok := m.Bit("one"); ok || m.Name(1) != "" || m.Len() != 0 {
		t.Error("a nil map has a name")
	}
	if b, err := m.AppendText(nil); len(b) != 0 || err != nil {
		t.Errorf("AppendText = %q, %v", b, err)
	}
}

func TestLabelMapNameOutOfRangeIsEmpty(t *testing.T) {
	m, _ := ParseLabelMap(strings.NewReader("0 zero\n1023 last\n"))
	for _, bit := range []int{-1, mapBits, math.MaxInt} {
		if got := m.Name(bit); got != "" {
			t.Errorf("Name(%d) = %q, want none", bit, got)
		}
	}
}

// FuzzLabelMap states the law: what a map prints, parses to the same map.
func FuzzLabelMap(f *testing.F) {
	for _, c := range labelMapCases {
		f.Add([]byte(c.file))
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		m, err := ParseLabelMap(strings.NewReader(string(file)))
		if err != nil {
			t.Fatal(err)
		}
		text, err := m.AppendText(nil)
		if err != nil {
			t.Fatal(err)
		}
		again, err := ParseLabelMap(strings.NewReader(string(text)))
		if err != nil {
			t.Fatal(err)
		}
		if got, want := mapNames(again), mapNames(m); !maps.Equal(got, want) {
			t.Errorf("%q prints %q, which parses to %v, want %v", file, text, got, want)
		}
		for bit, name := range mapNames(m) {
			if got, ok := m.Bit(name); got != bit || !ok {
				t.Errorf("Bit(%q) = %d, %v, want %d", name, got, ok, bit)
			}
		}
	})
}

func mapNames(m *LabelMap) map[int]string {
	names := map[int]string{}
	for bit := range mapBits {
		if name := m.Name(bit); name != "" {
			names[bit] = name
		}
	}
	return names
}
