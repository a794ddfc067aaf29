package conntrackcli

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/spoor-project/spoor/conntrack"
	"github.com/spoor-project/spoor/internal/libc"
)

const saveLine = "-A -t 5000 -u SEEN_REPLY,ASSURED -s 10.1.2.3 -d 192.168.3.1 -r 192.168.3.1 -q 10.1.2.3 -p tcp " +
	"--sport 1024 --dport 443 --reply-port-src 443 --reply-port-dst 1024 --state ESTABLISHED\n"

func TestWords(t *testing.T) {
	for name, test := range map[string]struct {
		line string
		want []string
		skip bool
		err  string
	}{
		"blanks and tabs separate":           {line: "-L \t -o\txml\n", want: []string{"-L", "-o", "xml"}},
		"an empty line is skipped":           {line: " \t\n", skip: true},
		"a comment is skipped":               {line: "  # -L\n", skip: true},
		"blanks alone at the end are words":  {line: "  "},
		"a late hash is a word":              {line: "-F # all\n", want: []string{"-F", "#", "all"}},
		"quotes hold blanks":                 {line: `-l "spaced name"` + "\n", want: []string{"-l", "spaced name"}},
		"a closing quote ends the word":      {line: `1.1"."1.1`, want: []string{"1.1.", "1.1"}},
		"empty quotes are an empty word":     {line: `-s ""`, want: []string{"-s", ""}},
		"backslash escapes within quotes":    {line: `"a\"b\\c"`, want: []string{`a"b\c`}},
		"backslash is literal outside":       {line: `a\ b`, want: []string{`a\`, "b"}},
		"single quotes are literal":          {line: `'a b'`, want: []string{"'a", "b'"}},
		"carriage return is literal":         {line: "-F\r\n", want: []string{"-F\r"}},
		"an open quote takes the rest":       {line: "\"a b\n", want: []string{"a b\n"}},
		"a word has at most 1023 bytes":      {line: strings.Repeat("a", 1024), err: "Parameter too long!"},
		"1023 bytes are a word":              {line: strings.Repeat("a", 1023), want: []string{strings.Repeat("a", 1023)}},
		"a line has at most 253 words":       {line: strings.Repeat("a ", 254), err: "too many arguments"},
		"253 words are a line":               {line: strings.Repeat("a ", 253), want: strings.Fields(strings.Repeat("a ", 253))},
		"a quoted part counts for the limit": {line: strings.Repeat("a", 600) + `"` + strings.Repeat("b", 600) + `"`, err: "Parameter too long!"},
	} {
		t.Run(name, func(t *testing.T) {
			got, skip, err := words(test.line, []string{"conntrack"})
			if test.err != "" {
				var f *failure
				if !errors.As(err, &f) || f.text != test.err || f.code != 2 {
					t.Fatalf("error %v, want %q with code 2", err, test.err)
				}
				return
			}
			if err != nil || skip != test.skip || !reflect.DeepEqual(got[1:], append([]string{}, test.want...)) {
				t.Fatalf("words(%q) = %q, %v, %v; want %q, %v", test.line, got[1:], skip, err, test.want, test.skip)
			}
		})
	}
}

// parsed is what parsing a line came to, in a form that can be compared.
type parsed struct {
	request request
	err     string
	skip    bool
}

func parseLine(p *parser, line string) parsed {
	args, skip, err := words(line, []string{"conntrack"})
	if err != nil || skip {
		return parsed{skip: skip, err: errorText(err)}
	}
	r, err := p.parse(args, &Env{protocols: &protocolNames{libc.Protocols{{Name: "igmp", Number: 2}}}})
	return parsed{request: *r, err: errorText(err)}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

var lines = []string{
	saveLine,
	"-I -t 10 -s 1.1.1.1 -d 2.2.2.2 -p udp --sport 1 --dport 2 -m 5/7 -w 9",
	"-A -t 10 -u UNSET -s 1.1.1.1 -d 2.2.2.2 -g 6.6.6.6 -n 5.5.5.5:80 -p udp --sport 1 --dport 2",
	"-A -t 10 -s 2001:db8::1 -d 2001:db8::2 -p icmpv6 --icmpv6-type 128 --icmpv6-code 0 --icmpv6-id 7",
	"-D -s 1.1.1.0/24 -o save",
	"-U -p tcp --state CLOSE -l a,b",
	"-L expect", "-F", "-Lz -pudp", "-p tcp -p udp --sport 3", "foo -L", "-L -- -z", "-j -D", "-D -n -g 1.1.1.1", "-X", "-s", "-o s,xml",
	"-I -s 1.1.1.1 -d 2.2.2.2 -p igmp -t 4", "-E -e NEW -b 5", "--label-del -U", "-U --label-del x", `-L -s ""`,
}

// FuzzShape holds lines that are not scanned, because they are like one before, to
// what scanning them makes of them.
func FuzzShape(f *testing.F) {
	for i, line := range lines {
		f.Add(line, lines[(i+1)%len(lines)])
		f.Add(line, strings.ReplaceAll(line, "1", "-9"))
		f.Add(line, strings.ReplaceAll(line, "1", "!"))
		f.Add(line, strings.ReplaceAll(line, "2", "x"))
	}
	f.Fuzz(func(t *testing.T, first, second string) {
		var p parser
		parseLine(&p, first)
		got, want := parseLine(&p, second), parseLine(new(parser), second)
		if !reflect.DeepEqual(got, want) {
			t.Errorf("after %q, %q parses as\n%+v\nand by itself as\n%+v", first, second, got, want)
		}
	})
}

// FuzzParse holds any vector to an outcome: a request whose command is known, or an
// error with a message and a code.
func FuzzParse(f *testing.F) {
	for _, line := range lines {
		f.Add(strings.Join(strings.Fields(line), "\x00"))
	}
	f.Fuzz(func(t *testing.T, vector string) {
		args := append([]string{"conntrack"}, strings.Split(vector, "\x00")...)
		r, err := parse(args, &Env{protocols: &protocolNames{}})
		var failed *failure
		var e conntrack.Entry
		switch {
		case err == nil && r.cmd == cmdNone:
			t.Error("no command and no error")
		case err != nil && !errors.As(err, &failed):
			t.Errorf("error %v has no exit code", err)
		case failed != nil && (failed.text == "" || failed.code < 1 || failed.code > 2):
			t.Errorf("failure %+v", failed)
		case err == nil && (r.cmd == cmdCreate || r.cmd == cmdAdd) && r.table == tableConntrack:
			if r.fillEntry(&e) == nil {
				new(conntrack.Batch).Create(&e)
			}
		}
	})
}

func TestPieces(t *testing.T) {
	long := strings.Repeat("x", partSize+5)
	for name, text := range map[string]string{
		"nothing":            "",
		"no newline":         "-F",
		"small":              "-F\n-F\n",
		"several pieces":     strings.Repeat("-F some words\n", 3*partSize/14),
		"a very long line":   long,
		"long and short":     long + "\n-F\n",
		"cut within a piece": strings.Repeat("y", partSize-3) + "\n-F\n-F",
	} {
		t.Run(name, func(t *testing.T) {
			var got strings.Builder
			err := eachPiece(strings.NewReader(text), func(piece string) {
				if piece == "" {
					t.Error("empty piece")
				}
				got.WriteString(piece)
			})
			if err != nil || got.String() != text {
				t.Errorf("%d bytes came out of %d, error %v", got.Len(), len(text), err)
			}
		})
	}
}

func TestParsingAKnownShapeAllocatesLittle(t *testing.T) {
	var p parser
	args, _, _ := words(saveLine, []string{"conntrack"})
	env := &Env{}
	p.parse(args, env)
	// What remains are the request's own values: state and status words.
	if n := testing.AllocsPerRun(100, func() { p.parse(args, env) }); n > 4 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkParseSaveLine(b *testing.B) {
	env := &Env{}
	args := make([]string, 0, 64)
	b.ReportAllocs()
	var p parser
	var e conntrack.Entry
	for b.Loop() {
		w, _, err := words(saveLine, append(args[:0], "conntrack"))
		if err != nil {
			b.Fatal(err)
		}
		r, err := p.parse(w, env)
		if err != nil {
			b.Fatal(err)
		}
		if err := r.fillEntry(&e); err != nil {
			b.Fatal(err)
		}
	}
}
