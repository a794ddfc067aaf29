package wire

import "encoding/binary"

// Fault is why a message was rejected, and thereby the counter in conntrackd's network statistics
// that it belongs to. Every rejected message also counts as a malformed one. Zero means that
// nothing is wrong.
type Fault uint8

const (
	Truncated  Fault = iota + 1 // the datagram ends inside a header
	BadSize                     // the length is that of no message, or more than there is
	BadVersion                  // another version of the protocol
	BadHeader                   // type and flags do not go together; for the modes to say, never found here
	BadType                     // a type that has no objects
	BadPayload                  // an attribute that is malformed or unknown, or one that is missing

	NumFaults // for arrays that are indexed by Fault
)

var faultNames = [NumFaults]string{"", "truncated message", "bad message size", "wrong protocol version",
	"malformed header", "bad message type", "malformed payload"}

// String is the name of the counter: "bad message size". It is "" for zero.
func (f Fault) String() string {
	if f < NumFaults {
		return faultNames[f]
	}
	return "unknown fault"
}

// Reader takes a datagram, or what was read of a stream, apart into messages:
//
//	for r := wire.Datagram(b); r.Next(); {
//		if r.Fault != 0 {
//			count[r.Fault]++
//			continue
//		}
//		… r.Message …
//	}
//
// After a message of another version the reader goes on with the one behind it. After any other
// fault it cannot know where that begins, and the message is the last.
type Reader struct {
	Message Message // the current message; of a rejected one only the header, as far as there is one
	Fault   Fault   // why it was rejected, or zero

	buf      []byte
	at, next int // where the current message and the one behind it begin
	stream   bool
}

// Datagram returns a reader of a datagram's payload. It keeps b.
func Datagram(b []byte) Reader { return Reader{buf: b} }

// Stream returns a reader of the bytes that were read from a TCP connection and not consumed yet. It keeps b.
// A message whose end has not come yet is no fault: the caller keeps what is behind
// [Reader.Consumed] and reads on. 65535 bytes of room are enough for any message.
func Stream(b []byte) Reader { return Reader{buf: b, stream: true} }

// Next goes to the next message, or the next rejected one, and reports whether there is one.
func (r *Reader) Next() bool {
	r.Message, r.Fault = Message{}, 0
	r.at = r.next
	rest := r.buf[r.at:]
	switch {
	case len(rest) == 0:
		return false
	case len(rest) < headerSize:
		return r.short(Truncated)
	}
	m := &r.Message
	m.Header = parseHeader(rest)
	length := int(m.Length)
	switch {
	case length == 0:
		return r.stop(BadSize)
	case length > len(rest):
		return r.short(BadSize)
	case m.hasRange() && len(rest) < headerSize+rangeSize:
		return r.short(Truncated)
	case m.hasRange() && length < headerSize+rangeSize, length < headerSize:
		return r.stop(BadSize)
	}
	r.next += length
	if rest[0]>>4 != version {
		r.Fault = BadVersion
		return true
	}
	m.body = rest[headerSize:length]
	if m.hasRange() {
		m.Range = Range{binary.BigEndian.Uint32(m.body), binary.BigEndian.Uint32(m.body[4:])}
	}
	return true
}

// Consumed returns how many bytes of the buffer are done with once Next has returned false: all
// of a datagram; all of a stream but a message whose end has not come yet. When a length
// makes no sense the rest of what was read is given up, since nothing marks the next message.
func (r *Reader) Consumed() int { return r.next }

// short deals with a message that goes on behind the buffer.
func (r *Reader) short(f Fault) bool {
	if r.stream {
		r.Message = Message{}
		return false
	}
	return r.stop(f)
}

func (r *Reader) stop(f Fault) bool {
	r.Fault, r.next = f, len(r.buf)
	return true
}
