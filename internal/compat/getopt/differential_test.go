package getopt

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A vector is one question to both implementations.
type vector struct {
	args    []string
	posixly bool
}

func TestSameAsTheCLibraryOnRules(t *testing.T) {
	o := newOracle(t)
	var vs []vector
	for _, tt := range ruleCases {
		vs = append(vs, vector{split(tt.args), tt.posixly}, vector{split(tt.args), !tt.posixly})
	}
	o.compare(t, conntrackTables, vs)
}

func TestSameAsTheCLibraryOnRandomCommandLines(t *testing.T) {
	o := newOracle(t)
	rng := rand.New(rand.NewPCG(1, 1))
	vs := make([]vector, 20_000)
	for i := range vs {
		vs[i] = vector{randomArgs(rng, conntrackTables), rng.IntN(8) == 0}
	}
	o.compare(t, conntrackTables, vs)
}

// Small alphabets make prefixes, repetitions and odd short strings likely.
func TestSameAsTheCLibraryOnRandomTables(t *testing.T) {
	o := newOracle(t)
	rng := rand.New(rand.NewPCG(2, 2))
	for range 60 {
		tb := randomTables(rng)
		vs := make([]vector, 100)
		for i := range vs {
			vs[i] = vector{randomArgs(rng, tb), rng.IntN(8) == 0}
		}
		o.compare(t, tb, vs)
	}
}

func randomArgs(rng *rand.Rand, tb *tables) []string {
	args := []string{"prog"}
	for range rng.IntN(10) {
		args = append(args, randomElem(rng, tb))
	}
	return args
}

func randomElem(rng *rand.Rand, tb *tables) string {
	letters := tb.short // its notation included: those are wrong letters
	words := []string{"-", "--", "", "!", "!x", "expect", "conntrack", "1.1.1.1", "udp", "tcp", "gre", "foo", "a=b", "5"}
	switch rng.IntN(9) {
	case 0, 1:
		return words[rng.IntN(len(words))]
	case 2:
		return words[5+rng.IntN(len(words)-5)]
	case 3, 4: // a cluster
		b := []byte{'-'}
		for range 1 + rng.IntN(4) {
			if rng.IntN(10) == 0 {
				b = append(b, pick(rng, "X-:;=+\xc3 0Lz"))
			} else {
				b = append(b, pick(rng, letters))
			}
		}
		return string(b)
	case 5: // noise
		b := make([]byte, rng.IntN(4))
		for i := range b {
			b[i] = pick(rng, "-=aLpz! \t\n\xff\\\"")
		}
		return string(b)
	}
	name := randomName(rng, tb)
	if rng.IntN(2) == 0 {
		name = name[:rng.IntN(len(name)+1)]
	}
	switch rng.IntN(8) {
	case 0:
		name += "x"
	case 1:
		name += "="
	case 2:
		name += "=" + words[rng.IntN(len(words))]
	}
	return "--" + name
}

func pick(rng *rand.Rand, from string) byte {
	return from[rng.IntN(len(from))]
}

func randomName(rng *rand.Rand, tb *tables) string {
	long := tb.long
	if len(tb.protos) > 0 && rng.IntN(3) == 0 {
		long = tb.protos[rng.IntN(len(tb.protos))].long
	}
	if len(long) == 0 {
		return "none"
	}
	return long[rng.IntN(len(long))].Name
}

func randomTables(rng *rand.Rand) *tables {
	var short strings.Builder
	short.WriteString([]string{":", "+:", ":", ":"}[rng.IntN(4)]) // C cannot tell the errors apart without ':'
	for range 1 + rng.IntN(8) {
		short.WriteByte(pick(rng, "abcdLn[+=;"))
		short.WriteString([]string{"", "", ":", "::", ":::"}[rng.IntN(5)])
	}
	tb := &tables{short: short.String(), takers: "Lna"}
	for range rng.IntN(8) {
		name := make([]byte, 1+rng.IntN(4))
		for i := range name {
			name[i] = pick(rng, "ab-")
		}
		tb.long = append(tb.long, Long{Name: string(name), Arg: Arg(rng.IntN(3)), Value: rune(pick(rng, "abL"))})
	}
	return tb
}

// oracle is a C program that scans vectors with the machine's C library.
type oracle struct{ path string }

func newOracle(t *testing.T) oracle {
	t.Helper()
	cc, err := exec.LookPath("cc")
	if err != nil {
		skip(t, "needs a C compiler called cc")
	}
	path := filepath.Join(t.TempDir(), "oracle")
	if out, err := exec.Command(cc, "-D_GNU_SOURCE", "-o", path, filepath.Join("testdata", "oracle.c")).CombinedOutput(); err != nil {
		t.Fatalf("compile oracle: %v\n%s", err, out)
	}
	return oracle{path}
}

// skip skips the test, unless the environment says nothing may be skipped.
func skip(t *testing.T, reason string) {
	t.Helper()
	if os.Getenv("SPOOR_TEST_REQUIRE") != "" {
		t.Fatalf("%s (SPOOR_TEST_REQUIRE is set)", reason)
	}
	t.Skip(reason)
}

// compare scans every vector in both ways.
func (o oracle) compare(t *testing.T, tb *tables, vs []vector) {
	t.Helper()
	cmd := exec.Command(o.path)
	cmd.Stdin = bytes.NewReader(question(tb, vs))
	out, err := cmd.Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.ExitCode() == 77 {
		skip(t, "needs the GNU C library")
	}
	if err != nil {
		t.Fatalf("run oracle: %v", err)
	}
	rest := string(out)
	bad := 0
	for _, v := range vs {
		want := cutAnswer(&rest)
		s := New(v.args, tb.short, tb.long, v.posixly)
		got := answer(s, tb.scan(s))
		if got == want {
			continue
		}
		t.Errorf("args %q, posixly %v, short %q, long %v\n got\n%swant\n%s", v.args, v.posixly, tb.short, tb.long, got, want)
		if bad++; bad == 5 {
			t.Fatal("too many differences")
		}
	}
	if rest != "" {
		t.Errorf("the oracle answered more than was asked: %q", rest)
	}
}

// question writes the tables and vectors in the form testdata/oracle.c reads.
func question(tb *tables, vs []vector) []byte {
	var b []byte
	put := func(fields ...any) {
		for _, f := range fields {
			b = append(fmt.Append(b, f), 0)
		}
	}
	putLong := func(long []Long) {
		put(len(long))
		for _, l := range long {
			put(l.Name, uint8(l.Arg), int32(l.Value))
		}
	}

	put("table", tb.short)
	putLong(tb.long)
	for _, p := range tb.protos {
		put("proto", p.name)
		putLong(p.long)
	}
	for _, v := range vs {
		posixly := 0
		if v.posixly {
			posixly = 1
		}
		put("run", posixly, tb.takers, len(v.args))
		for _, a := range v.args {
			put(a)
		}
	}
	return b
}

// cutAnswer removes and returns the lines up to the next that starts with end.
func cutAnswer(out *string) string {
	n := 0
	for n < len(*out) {
		line := (*out)[n:]
		i := strings.IndexByte(line, '\n')
		if i < 0 {
			n = len(*out)
			break
		}
		n += i + 1
		if strings.HasPrefix(line, "end ") {
			break
		}
	}
	ans := (*out)[:n]
	*out = (*out)[n:]
	return ans
}

// answer writes a finished scan as testdata/oracle.c does.
func answer(s *Scanner, steps []step) string {
	var b []byte
	for _, st := range steps {
		kind := "option"
		switch st.Err {
		case ErrUnknown:
			kind = "unknown"
		case ErrMissingArg:
			kind = "missing"
		}
		b = fmt.Appendf(b, "%s %d", kind, st.Value)
		if st.HasArg {
			b = appendQuoted(b, st.Arg)
		} else {
			b = append(b, " -"...)
		}
		b = fmt.Appendf(b, " %d %d", st.LongIndex, st.index)
		b = appendQuoted(b, st.Word)
		if st.taken != nil {
			b = appendQuoted(b, *st.taken)
		} else {
			b = append(b, " -"...)
		}
		b = appendQuoted(b, st.args...)
		b = append(b, '\n')
	}
	b = fmt.Appendf(b, "end %d", s.Index)
	b = appendQuoted(b, s.Args...)
	return string(append(b, '\n'))
}

func appendQuoted(b []byte, words ...string) []byte {
	for _, w := range words {
		b = append(b, ' ', '"')
		for _, c := range []byte(w) {
			if c > ' ' && c < 127 && c != '"' && c != '\\' {
				b = append(b, c)
			} else {
				b = fmt.Appendf(b, "\\x%02x", c)
			}
		}
		b = append(b, '"')
	}
	return b
}
