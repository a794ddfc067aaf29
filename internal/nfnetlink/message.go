package nfnetlink

import (
	"encoding/binary"
	"errors"
	"fmt"
	"syscall"
)

// ErrMalformed is wrapped by the errors about bytes that are not netlink.
var ErrMalformed = errors.New("malformed netlink message")

// minLen is a netlink header and the nfgenmsg behind it.
const minLen = headerLen + 4

// Message is a netlink message, in place: Payload shares the memory of the buffer
// it was found in.
type Message struct {
	Type    uint16 // subsystem<<8 | message, see Subsystem and Kind
	Flags   uint16
	Seq     uint32
	PortID  uint32
	Payload []byte // all behind the netlink header
}

// Subsystem and Kind are the two halves of the type.
func (m *Message) Subsystem() Subsystem { return Subsystem(m.Type >> 8) }
func (m *Message) Kind() uint8          { return uint8(m.Type) }

// Family is the nfgenmsg family, 0 if the message is too short to have one.
func (m *Message) Family() uint8 {
	if len(m.Payload) < 4 {
		return 0
	}
	return m.Payload[0]
}

// ResID is the nfgenmsg resource number: the CPU in statistics.
func (m *Message) ResID() uint16 {
	if len(m.Payload) < 4 {
		return 0
	}
	return binary.BigEndian.Uint16(m.Payload[2:])
}

// Attrs walks the attributes behind the nfgenmsg.
func (m *Message) Attrs() Attrs {
	if len(m.Payload) < 4 {
		return Attrs{}
	}
	return Attrs{rest: m.Payload[4:]}
}

// Next takes the first message off b, which must not be empty: loop while there is a
// rest. The error wraps ErrMalformed when a length does not fit.
func Next(b []byte) (m Message, rest []byte, err error) {
	if len(b) < headerLen {
		return m, nil, fmt.Errorf("%w: %d bytes left, a header has %d", ErrMalformed, len(b), headerLen)
	}
	n := int(binary.NativeEndian.Uint32(b))
	if n < headerLen || n > len(b) {
		return m, nil, fmt.Errorf("%w: length %d in %d bytes", ErrMalformed, n, len(b))
	}
	m = Message{
		Type:    binary.NativeEndian.Uint16(b[4:]),
		Flags:   binary.NativeEndian.Uint16(b[6:]),
		Seq:     binary.NativeEndian.Uint32(b[8:]),
		PortID:  binary.NativeEndian.Uint32(b[12:]),
		Payload: b[headerLen:n:n],
	}
	return m, b[min(align4(n), len(b)):], nil
}

// Data reports whether m belongs to a subsystem, and not to netlink itself.
func (m *Message) Data() bool { return m.Type >= typeMin }

// End reports whether m ends the answer to a request: an acknowledgement, an
// error, or the end of a dump. err is the kernel's verdict, a *[Error], or
// wraps ErrMalformed.
func (m *Message) End() (end bool, err error) {
	switch m.Type {
	case typeError:
		return true, parseError(m)
	case typeDone:
		if len(m.Payload) < 4 {
			return true, nil
		}
		if code := int32(binary.NativeEndian.Uint32(m.Payload)); code < 0 {
			return true, &Error{Errno: syscall.Errno(-code)}
		}
		return true, nil
	}
	return false, nil
}

// Error is the kernel's refusal of a request.
type Error struct {
	Errno  syscall.Errno
	Text   string // the kernel's explanation (extended acknowledgement), often empty
	Offset int    // of the offending attribute in the request, 0 if not told
}

// Error returns the error number's text, and the kernel's explanation if there is one.
func (e *Error) Error() string {
	switch {
	case e.Text == "":
		return e.Errno.Error()
	case e.Offset == 0:
		return e.Errno.Error() + ": " + e.Text
	}
	return fmt.Sprintf("%v: %s (at byte %d of the request)", e.Errno, e.Text, e.Offset)
}

// Unwrap returns the error number.
func (e *Error) Unwrap() error { return e.Errno }

func parseError(m *Message) error {
	p := m.Payload
	if len(p) < 4 {
		return fmt.Errorf("%w: error of %d bytes", ErrMalformed, len(p))
	}
	code := int32(binary.NativeEndian.Uint32(p))
	if code == 0 {
		return nil
	}
	e := &Error{Errno: syscall.Errno(-code)}
	if m.Flags&ackTLVs == 0 || len(p) < 4+headerLen {
		return e
	}
	skip := 4 + headerLen
	if m.Flags&capped == 0 { // the whole request stands before the attributes
		if n := int(binary.NativeEndian.Uint32(p[4:])); n > headerLen && n <= len(p)-4 {
			skip = 4 + align4(n)
		}
	}
	attrs := Attrs{rest: p[min(skip, len(p)):]}
	for attrs.Next() {
		switch attrs.Type {
		case extAckText:
			e.Text = attrs.String()
		case extAckOffset:
			if len(attrs.Data) >= 4 {
				e.Offset = int(binary.NativeEndian.Uint32(attrs.Data))
			}
		}
	}
	return e
}

func align4(n int) int { return (n + 3) &^ 3 }
