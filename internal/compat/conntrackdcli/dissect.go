package conntrackdcli

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spoor-project/spoor/internal/capture"
	"github.com/spoor-project/spoor/internal/statesync/wire"
)

// dissection is what --dissect was asked for.
type dissection struct {
	json bool
	port uint16   // of captures; 0: all ports
	from []string // hexadecimal digits, files of them, captures, - for standard input
}

// parseDissection reads what stands behind --dissect.
func parseDissection(args []string, json bool) (*dissection, error) {
	d := &dissection{json: json}
	for i := 0; i < len(args); i++ {
		switch args[i] {
		case "--json":
			d.json = true
		case "--port":
			i++
			if i == len(args) {
				return nil, plainError{"--port wants a number"}
			}
			n, err := strconv.ParseUint(args[i], 10, 16)
			if err != nil || n == 0 {
				return nil, plainError{fmt.Sprintf("--port %s: a port is a number from 1 to 65535", args[i])}
			}
			d.port = uint16(n)
		default:
			d.from = append(d.from, args[i])
		}
	}
	if len(d.from) == 0 {
		return nil, plainError{"--dissect wants a datagram in hexadecimal digits, a file of them, or a capture"}
	}
	return d, nil
}

// dissect prints what datagrams say.
func (p *program) dissect(d *dissection) error {
	out := bufio.NewWriter(p.stdout)
	defer out.Flush()
	for _, arg := range d.from {
		err := p.dissectOne(d, arg, out)
		if err == errReader {
			return nil // like everybody at the head of a pipe
		} else if err != nil {
			out.Flush()
			return p.fail("--dissect %s: %v", arg, err)
		}
	}
	return nil
}

// errReader is that whoever reads the output has gone.
var errReader = errors.New("nobody reads")

func (p *program) dissectOne(d *dissection, arg string, out *bufio.Writer) error {
	in := os.Stdin
	if arg != "-" {
		f, err := os.Open(arg)
		if err != nil {
			return d.digits(arg, out, "neither a file nor hexadecimal digits")
		}
		defer f.Close()
		in = f
	}
	r := bufio.NewReaderSize(in, 1<<16) // as large as the reader of captures wants it
	begin, err := r.Peek(4)
	if err != nil && err != io.EOF {
		return err
	}
	if capture.IsCapture(begin) {
		return p.dissectCapture(d, arg, r, out)
	}
	text, err := io.ReadAll(io.LimitReader(r, maxHex))
	if err != nil {
		return err
	}
	return d.digits(string(text), out, "neither a capture nor hexadecimal digits")
}

// maxHex is more than any datagram has digits and blanks.
const maxHex = 1 << 20

// digits dissects one datagram.
func (d *dissection) digits(text string, out *bufio.Writer, otherwise string) error {
	datagram, err := hex.DecodeString(strings.Join(strings.Fields(text), ""))
	if err != nil {
		return fmt.Errorf("%s: %w", otherwise, err)
	}
	return d.print(record{Dissection: wire.Dissect(datagram)}, out)
}

// record is a datagram, or what came of a stream at once, with where it was found.
type record struct {
	Time  *time.Time      `json:"time,omitempty"`
	Proto string          `json:"proto,omitempty"`
	Src   *netip.AddrPort `json:"src,omitempty"`
	Dst   *netip.AddrPort `json:"dst,omitempty"`
	Len   int             `json:"len,omitempty"`
	Cut   bool            `json:"cut,omitempty"` // the sniffer has recorded the beginning only
	wire.Dissection
}

func (d *dissection) print(r record, out *bufio.Writer) error {
	var b []byte
	if d.json {
		b, _ = json.Marshal(r) // numbers, strings and what marshals itself
		b = append(b, '\n')
	} else {
		b = r.Append(r.appendHead(b))
	}
	if _, err := out.Write(b); err != nil {
		return errReader
	}
	return nil
}

func (r *record) appendHead(b []byte) []byte {
	if r.Src == nil {
		return b
	}
	if r.Time != nil {
		b = append(r.Time.AppendFormat(b, timeLayout), ' ')
	}
	b = fmt.Appendf(b, "%s %v > %v, %d bytes", r.Proto, r.Src, r.Dst, r.Len)
	if r.Cut {
		b = append(b, ", the rest was not captured"...)
	}
	return append(b, '\n')
}

// timeLayout is with as many digits as sniffers have.
const timeLayout = "2006-01-02T15:04:05.000000000Z07:00"

// dissectCapture prints what is of the replication's protocol in a capture, as it comes. What else there was is told in the end.
func (p *program) dissectCapture(d *dissection, name string, r *bufio.Reader, out *bufio.Writer) error {
	c, err := capture.Open(r, capture.Options{Port: d.port, Split: wholeMessages})
	if err != nil {
		return err
	}
	var shown, other int
	var failed error
	for x, err := range c.Payloads() {
		if err != nil {
			failed = err
			break
		}
		if x.Proto == capture.UDP && (d.port == 0 || len(x.Data) == 0) && !isSync(x.Data, x.Cut) {
			other++
			continue
		}
		shown++
		rec := record{Proto: "udp", Src: &x.Src, Dst: &x.Dst, Len: len(x.Data), Cut: x.Cut, Dissection: wire.Dissect(x.Data)}
		if x.Proto == capture.TCP {
			rec.Proto = "tcp"
		}
		if !x.Time.IsZero() {
			at := x.Time.UTC()
			rec.Time = &at
		}
		if err := d.print(rec, out); err != nil {
			return err
		}
		if r.Buffered() == 0 { // of a pipe, all there is for now
			out.Flush()
		}
	}
	out.Flush()
	fmt.Fprintln(p.stderr, summary(name, c.Counts(), shown, other))
	return failed
}

// summary says what was in a capture, and what was left out, if anything.
func summary(name string, n capture.Counts, shown, other int) string {
	s := fmt.Sprintf("%s: %d packets, %d shown", name, n.Packets, shown)
	for _, c := range []struct {
		n    uint64
		what string
	}{
		{uint64(other), "datagrams of other protocols"},
		{n.Others, "packets without UDP or TCP, or of other ports"},
		{n.Fragments, "datagrams of which fragments are missing"},
		{n.Gaps, "gaps in streams"},
		{n.Bytes, "bytes of streams that are no messages, or incomplete ones"},
	} {
		if c.n > 0 {
			s += fmt.Sprintf("; %d %s", c.n, c.what)
		}
	}
	return s
}

// wholeMessages says how much of a stream's beginning is whole messages, negative if no message begins so.
func wholeMessages(b []byte) int {
	n := 0
	for n < len(b) && wire.Begins(b[n:]) {
		r := wire.Stream(b[n:])
		if !r.Next() {
			return n // its end is missing
		}
		if r.Fault != 0 {
			break
		}
		n += int(r.Message.Length)
	}
	if n == 0 && len(b) > 0 {
		return -1
	}
	return n
}

// isSync reports whether a datagram consists of messages, as far as it was captured. What they hold may be wrong.
func isSync(b []byte, cut bool) bool {
	n := wholeMessages(b)
	return len(b) > 0 && n >= 0 && (n == len(b) || cut && wire.Begins(b[n:]))
}
