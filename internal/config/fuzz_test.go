package config

import (
	"strings"
	"testing"
)

// Nothing panics. Problems lie in the file, errors have a text of 1.4.9, and it says nothing after the first. What has
// no error comes back from its effective text.
func FuzzParse(f *testing.F) {
	for _, d := range dialogues {
		if len(d.text) < 200 { // long ones take the fuzzer minutes to minimize
			f.Add(d.text)
		}
	}
	for _, s := range settings {
		for value := range s.valid {
			block, _, _ := strings.Cut(s.blocks, ",")
			f.Add(in(block, s.word+" "+value))
		}
	}
	f.Fuzz(func(t *testing.T, text string) {
		file := parse(text)
		lines := strings.Split(text, "\n")
		for _, p := range file.Problems {
			if p.Line < 1 || p.Line > len(lines) || p.Column < 1 || p.Column > len(lines[p.Line-1])+1 {
				t.Errorf("%q: %s lies outside", text, p)
			}
			if p.Advice == "" || p.Severity == Error && p.Text == "" {
				t.Errorf("%q: %+v", text, p)
			}
		}
		said := file.Original()
		for i, p := range said {
			if p.Text == "" || p.Severity == Error && i != len(said)-1 {
				t.Errorf("%q: 1.4.9 would not say %+v", text, p)
			}
		}
		if file.Err() == nil {
			roundTrip(t, file)
		} else if len(said) == 0 || said[len(said)-1].Severity != Error {
			t.Errorf("%q: 1.4.9 would not fail", text)
		}
	})
}

func TestHostileFiles(t *testing.T) {
	const size = 10 << 20
	for _, c := range []struct{ head, part string }{
		{"Helper { ", "Type a b c { "},
		{"", "Helper { Type ftp inet tcp { Type ftp "},
		{"", "{"},
		{"", "Xyzzy\n"},
		{"Sync { ", "UDP { } "},
		{"General { HashSize ", "1"},
		{"General { Filter { Address Accept { ", "IPv4_address 1.2.3.400 "},
		{"Sync { Options { ExpectationSync { ", "ab::"},
		{"Sync { Mode ", "NACK "},
	} {
		f := parse(c.head + strings.Repeat(c.part, size/len(c.part)))
		if f.Err() == nil {
			t.Errorf("%s%s…: no error", c.head, c.part)
		}
		if len(f.Problems) > maxProblems+1 {
			t.Errorf("%s%s…: %d problems", c.head, c.part, len(f.Problems))
		}
		if testing.Short() {
			return
		}
	}
}

// However many warnings there are, the error that stops the daemon is found.
func TestAFirstErrorIsNeverLeftOut(t *testing.T) {
	f := parse("General { " + strings.Repeat("Syslog x ", 2*maxProblems) + " Foo }")
	if said := f.Original(); f.Err() == nil || !f.Truncated || len(said) == 0 || said[len(said)-1].Severity != Error {
		t.Errorf("%d problems, truncated: %v, error: %v", len(f.Problems), f.Truncated, f.Err())
	}
	f = parse(strings.Repeat("Foo { }\n", 2*maxProblems))
	if !f.Truncated || len(f.Problems) != maxProblems {
		t.Errorf("%d problems, truncated: %v", len(f.Problems), f.Truncated)
	}
	if f := parse("Foo"); f.Truncated {
		t.Error("one problem is too many")
	}
}
