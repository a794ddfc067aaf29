package libc

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func TestAtoiIsThatOfTheCLibrary(t *testing.T) {
	for s, want := range map[string]int32{
		"": 0, "0": 0, "10": 10, "abc": 0, "10x": 10, "0x10": 0, "010": 10, " \t\n\v\f\r7": 7, "+5": 5, "-5": -5, "+-5": 0, "- 5": 0, "5 6": 5,
		"2147483647": 2147483647, "2147483648": -2147483648, "4294967295": -1, "4294967296": 0, "17179870": 17179870,
		"9223372036854775807": -1, "9223372036854775808": -1, "99999999999999999999": -1, "18446744073709551616": -1,
		"-9223372036854775808": 0, "-9223372036854775809": 0, "-99999999999999999999": 0, "-2147483649": 2147483647,
	} {
		if got := Atoi(s); got != want {
			t.Errorf("%q: %d, want %d", s, got, want)
		}
	}
}

func TestProtocolsAreReadAsTheCLibraryDoes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "protocols")
	const text = "tcp 6 TCP\nsix 6x\nneg -1\nbig 300\nhuge 4294967302\nnonum\nhex 0x11\n  lead 17 LEAD\ncomm#ent 17\noct 021\n" +
		"alias 17 #hidden\nalias2 6 foo#hidden2\nplus +17\n# tcp 1\ntcp 17\nesp\t50\tESP"
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	names, err := ReadProtocols(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]int{"tcp": 6, "TCP": 6, "big": 300, "lead": 17, "LEAD": 17, "oct": 21, "foo": 6, "plus": 17,
		"esp": 50, "ESP": 50} {
		if got, ok := names.Number(name); got != want || !ok {
			t.Errorf("%s: %d, %v, want %d", name, got, ok, want)
		}
	}
	for _, name := range []string{"", "Tcp", "six", "neg", "huge", "nonum", "hex", "comm", "comm#ent", "#hidden", "hidden2", "6"} {
		if got, ok := names.Number(name); ok {
			t.Errorf("%s: %d", name, got)
		}
	}
	if got := names.Name(17); got != "lead" {
		t.Errorf("17 is %q", got)
	}
	if names, err := ReadProtocols(path + "x"); err == nil || names != nil {
		t.Errorf("no such file: %v, %v", names, err)
	}
	if _, err := ReadProtocols(t.TempDir()); err == nil || !strings.Contains(ErrorText(err), "Is a directory") {
		t.Errorf("a directory: %v", err)
	}
}

// FuzzAtoi states the law: what this reads of any text it also reads of the part that
// counts, and nothing crashes it.
func FuzzAtoi(f *testing.F) {
	for _, s := range []string{"", "-1", " +7x", "99999999999999999999"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if got, want := Atoi(s), Atoi(strings.TrimLeft(s, " \t\n\v\f\r")); got != want {
			t.Errorf("%q: %d, without blanks %d", s, got, want)
		}
		if got, want := Atoi(s+"x5"), Atoi(s); got != want {
			t.Errorf("%q: %d with text behind it, else %d", s, got, want)
		}
	})
}

// FuzzParseProtocols states the laws: any text will do, every name is found, and what was
// understood says the same when it is written and read again.
func FuzzParseProtocols(f *testing.F) {
	f.Add("tcp 6 TCP # the usual\n\n udp\t17")
	f.Add("a b\nc -1\nd 300 e f")
	f.Fuzz(func(t *testing.T, text string) {
		names, err := parseProtocols(strings.NewReader(text))
		if err != nil && len(text) < 1<<16 {
			t.Fatalf("%q: %v", text, err)
		}
		var again strings.Builder
		for _, row := range names {
			if n, ok := names.Number(row.Name); !ok || row.Number < 0 || n < 0 {
				t.Errorf("%q: %+v is not found", text, row)
			}
			if !row.Alias {
				fmt.Fprintf(&again, "\n%s %d", row.Name, row.Number)
			} else {
				again.WriteString(" " + row.Name)
			}
		}
		if copied, err := parseProtocols(strings.NewReader(again.String())); err == nil && !reflect.DeepEqual(copied, names) {
			t.Errorf("%q, written and read again: %v, want %v", text, copied, names)
		}
	})
}
