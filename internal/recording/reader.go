package recording

import (
	"bufio"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spoor-project/spoor/flow"
)

// Record is a line of a recording.
type Record struct {
	// Time is when it happened, in UTC; zero if the line does not say, as those of a list do not.
	Time time.Time
	// Event has the type 0 if the flow was in the table before anything happened to it. Its own Time is always 0: whether it was the
	// kernel that told the time, nobody has written down.
	Event flow.Event
}

// Error is a line that is no record.
type Error struct {
	Line   int // from 1 on
	Column int // in bytes, from 1 on
	Text   string
}

func (e *Error) Error() string {
	return fmt.Sprintf("line %d, column %d: %s", e.Line, e.Column, e.Text)
}

// longestLine is far above what any flow needs.
const longestLine = 1 << 18

// Reader reads a recording. It is for one goroutine.
type Reader struct {
	in     *bufio.Reader
	opened bool
	err    error // of the input; it stays
	line   int
	rec    Record
	scan   scanner
	last   []byte // a last line without its end
}

// NewReader returns a reader of r, which may be compressed. Nothing is read yet.
func NewReader(r io.Reader) *Reader {
	return &Reader{in: bufio.NewReaderSize(r, longestLine)}
}

// Line is the number of the line that was read last, from 1 on.
func (r *Reader) Line() int { return r.line }

// Next returns the next record, which is valid until Next is called again. At the end the error is [io.EOF]. After an [*Error], a line that
// is no record, reading can go on with the next one. Every other error is the input's, and final.
func (r *Reader) Next() (*Record, error) {
	for {
		line, err := r.next()
		if err != nil {
			return nil, err
		}
		switch told, err := r.scan.record(line, &r.rec); {
		case err != nil:
			err.Line = r.line
			return nil, err
		case told:
			return &r.rec, nil
		}
	}
}

// next returns the next line, with a line feed at its end.
func (r *Reader) next() ([]byte, error) {
	if r.err == nil && !r.opened {
		r.opened = true
		r.err = r.open()
	}
	if r.err != nil {
		return nil, r.err
	}
	r.line++
	line, err := r.in.ReadSlice('\n')
	switch {
	case err == nil:
		return line, nil
	case errors.Is(err, bufio.ErrBufferFull):
		for errors.Is(err, bufio.ErrBufferFull) {
			_, err = r.in.ReadSlice('\n')
		}
		r.err = err
		return nil, &Error{Line: r.line, Column: longestLine, Text: fmt.Sprintf("longer than %d bytes", longestLine)}
	}
	r.err = err
	if len(line) == 0 {
		return nil, err
	}
	r.last = append(append(r.last[:0], line...), '\n')
	return r.last, nil
}

// open looks whether the input is compressed.
func (r *Reader) open() error {
	if magic, _ := r.in.Peek(2); string(magic) != "\x1f\x8b" {
		return nil
	}
	unpacked, err := gzip.NewReader(r.in)
	if err != nil {
		return err
	}
	r.in = bufio.NewReaderSize(unpacked, longestLine)
	return nil
}
