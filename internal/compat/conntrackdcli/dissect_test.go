package conntrackdcli

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write what --dissect prints of the recorded captures")

// run carries out a command line.
func run(args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = Main(append([]string{"conntrackd"}, args...), &out, &errs)
	return code, out.String(), errs.String()
}

// TestCapturesAreDissected: what a sniffer has recorded between our daemon and the distribution's.
func TestCapturesAreDissected(t *testing.T) {
	for _, name := range []string{"udp4", "tcp6"} {
		file := filepath.Join("testdata", name+".pcap")
		for ext, args := range map[string][]string{"txt": {"--dissect", file}, "json": {"--dissect", "--json", "--port", "3780", file}} {
			golden := filepath.Join("testdata", name+"."+ext)
			code, got, told := run(args...)
			got += "--- " + told
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) || code != 0 {
				t.Errorf("%s, exit %d:\n%s\nwant\n%s", golden, code, got, want)
			}
		}
	}
}

func TestDigitsAreDissected(t *testing.T) {
	const alive = "1a300008 6b011fe9"
	want := "CTL ALIVE|HELLO seq=1795235817 len=8\n"
	file := filepath.Join(t.TempDir(), "hex")
	if err := os.WriteFile(file, []byte("1a30\n0008 6b01 1fe9\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, from := range []string{alive, file} {
		if code, out, told := run("--dissect", from); code != 0 || out != want || told != "" {
			t.Errorf("%s: exit %d, %q, %q", from, code, out, told)
		}
		for _, args := range [][]string{{"--json", "--dissect", from}, {"--dissect", from, "--json"}} {
			code, out, _ := run(args...)
			var d struct{ Messages []struct{ Seq uint32 } }
			if err := json.Unmarshal([]byte(out), &d); err != nil || code != 0 || len(d.Messages) != 1 || d.Messages[0].Seq != 1795235817 {
				t.Errorf("%q: exit %d, %s, %v", args, code, out, err)
			}
		}
	}
	if code, out, _ := run("--dissect", alive, alive); code != 0 || out != want+want {
		t.Errorf("two: exit %d, %q", code, out)
	}
}

func TestWhatCannotBeDissectedIsRefused(t *testing.T) {
	dir := t.TempDir()
	broken := filepath.Join(dir, "broken")
	b, err := os.ReadFile("testdata/udp4.pcap")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(broken, b[:len(b)-300], 0o600); err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(dir, "binary")
	if err := os.WriteFile(binary, []byte("\x1f\x8b\x08\x00"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{nil, "--dissect wants a datagram in hexadecimal digits, a file of them, or a capture"},
		{[]string{"xyz"}, "--dissect xyz: neither a file nor hexadecimal digits: encoding/hex: invalid byte: U+0078 'x'"},
		{[]string{binary}, "neither a capture nor hexadecimal digits"},
		{[]string{"--port"}, "--port wants a number"},
		{[]string{"--port", "0", "00"}, "--port 0: a port is a number from 1 to 65535"},
		{[]string{"--port", "70000", "00"}, "--port 70000: a port is a number from 1 to 65535"},
		{[]string{broken}, "--dissect " + broken + ": the capture ends inside a record"},
	} {
		code, out, told := run(append([]string{"--dissect"}, c.args...)...)
		if code != 1 || !strings.Contains(told, c.want) {
			t.Errorf("%q: exit %d, %s", c.args, code, told)
		}
		if shown := len(c.args) == 1 && c.args[0] == broken; shown != strings.Contains(out, "CT_NEW") {
			t.Errorf("%q: %s", c.args, out)
		}
	}
}

// Whatever a stream brings, what is called whole messages is at its beginning, and never more than there is.
func FuzzWholeMessages(f *testing.F) {
	f.Add([]byte("\x1a\x30\x00\x08\x6b\x01\x1f\xe9\x10\x00\x00\x34"))
	f.Add([]byte("\x10\x00\x00\x08GETT/ HT"))
	f.Fuzz(func(t *testing.T, b []byte) {
		n := wholeMessages(b)
		if n > len(b) || n < 0 && len(b) == 0 {
			t.Errorf("%d of %d", n, len(b))
		}
		if n > 0 && wholeMessages(b[:n]) != n {
			t.Errorf("%d, and of these %d", n, wholeMessages(b[:n]))
		}
		if isSync(b, false) && n != len(b) {
			t.Errorf("%d of %d, and that is all", n, len(b))
		}
	})
}

// rawCapture is a pcap of UDP datagrams over IPv4 without a frame around them, to port 3780.
func rawCapture(payloads ...string) []byte {
	le := binary.LittleEndian
	b := le.AppendUint32(nil, 0xa1b2c3d4)
	b = le.AppendUint32(append(b, make([]byte, 12)...), 65535)
	b = le.AppendUint32(b, 101)
	for _, p := range payloads {
		n := 28 + len(p)
		b = append(b, make([]byte, 8)...)
		b = le.AppendUint32(le.AppendUint32(b, uint32(n)), uint32(n))
		b = append(b, 0x45, 0, byte(n>>8), byte(n), 0, 0, 0, 0, 64, 17, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2)
		b = append(b, 0x30, 0x39, 0x0e, 0xc4, byte((n-20)>>8), byte(n-20), 0, 0)
		b = append(b, p...)
	}
	return b
}

// TestAPortIsShownAsItIs: what is on it is shown even if it makes no sense; otherwise only what consists of messages is.
func TestAPortIsShownAsItIs(t *testing.T) {
	const alive, malformed, other = "\x1a\x10\x00\x08\x00\x00\x00\x07", "\x10\x00\x00\x0c\x00\x00\x00\x08\x00\x08\x00\x63", "hello there"
	file := filepath.Join(t.TempDir(), "pcap")
	if err := os.WriteFile(file, rawCapture(alive, malformed, other, "", alive+other), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args              []string
		shown, wrong, say string
	}{
		{[]string{file}, "2", "1", "3 datagrams of other protocols"},
		{[]string{"--port", "3780", file}, "4", "3", "1 datagrams of other protocols"},
		{[]string{"--port", "3781", file}, "0", "0", "5 packets without UDP or TCP, or of other ports"},
	} {
		code, out, told := run(append([]string{"--dissect"}, c.args...)...)
		if shown, wrong := strings.Count(out, " > 192.0.2.2:3780, "), strings.Count(out, "    ! "); code != 0 || fmt.Sprint(shown) != c.shown || fmt.Sprint(wrong) != c.wrong ||
			!strings.Contains(told, "5 packets, "+c.shown+" shown; "+c.say) {
			t.Errorf("%q: exit %d\n%s%s", c.args, code, out, told)
		}
	}
}
