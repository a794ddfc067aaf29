package conntrackcli

import (
	"io"
	"strconv"
)

// output is stdout and stderr as the C library would write them: stdout leaves in
// whole blocks and its rest at the end, stderr at once. With both on one pipe the
// summary therefore stands before the last lines, or all of few, and programs
// that read the two together have come to expect it so.
type output struct {
	out, err io.Writer
	terminal bool
	buf      []byte // not written yet
}

const (
	// stdioBlock is the C library's buffer for anything but a terminal.
	stdioBlock = 4096
	// writeSize is how much is gathered for one write; a multiple of stdioBlock.
	writeSize = 64 << 10
)

func newOutput(env *Env) *output {
	return &output{out: env.Stdout, err: env.Stderr, terminal: env.Terminal}
}

// Write errors are ignored, as the original does: a full disk does not change the
// exit code. A closed pipe ends the process by signal.

// data appends to stdout.
func (o *output) data(s string) {
	o.buf = append(o.buf, s...)
	o.relax()
}

// relax writes what is due. Call it after appending to buf.
func (o *output) relax() {
	if len(o.buf) >= writeSize {
		o.writeBlocks()
	}
}

// bulk appends much to stdout. What makes whole blocks is written as it lies there.
func (o *output) bulk(b []byte) {
	if o.terminal || len(b) < writeSize {
		o.buf = append(o.buf, b...)
		o.relax()
		return
	}
	head := (stdioBlock - len(o.buf)%stdioBlock) % stdioBlock
	o.buf = append(o.buf, b[:head]...)
	b = b[head:] // not empty
	o.flush()
	whole := (len(b) - 1) / stdioBlock * stdioBlock
	o.out.Write(b[:whole])
	o.buf = append(o.buf, b[whole:]...)
}

// writeBlocks writes what stdio would have written by now: the last block stays
// until a byte follows it.
func (o *output) writeBlocks() {
	n := len(o.buf)
	if !o.terminal {
		n = max(n-1, 0) / stdioBlock * stdioBlock
	}
	if n > 0 {
		o.out.Write(o.buf[:n])
		o.buf = o.buf[:copy(o.buf, o.buf[n:])]
	}
}

// flush writes all of stdout.
func (o *output) flush() {
	if len(o.buf) > 0 {
		o.out.Write(o.buf)
		o.buf = o.buf[:0]
	}
}

// message writes to stderr.
func (o *output) message(s string) {
	if s == "" {
		return
	}
	o.writeBlocks()
	io.WriteString(o.err, s)
}

// close writes what is left.
func (o *output) close() { o.flush() }

func itoa(n int) string { return strconv.Itoa(n) }
