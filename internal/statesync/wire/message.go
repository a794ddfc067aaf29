package wire

import (
	"encoding/binary"
	"fmt"
	"strings"
)

const (
	version    = 1
	headerSize = 8
	rangeSize  = 8 // of the Range behind the header
)

// MaxSize is more than the length of any message that is built here. A received one may be longer.
const MaxSize = 384

// Type is what a message is about.
type Type uint8

const (
	CTNew        Type = 0  // CT_NEW: a flow that was not updated since it was added
	CTUpdate     Type = 1  // CT_UPD: a flow, perhaps one that the peer has never heard of
	CTDelete     Type = 2  // CT_DEL: a flow that ended
	ExpectNew    Type = 3  // EXP_NEW
	ExpectUpdate Type = 4  // EXP_UPD
	ExpectDelete Type = 5  // EXP_DEL
	Control      Type = 10 // CTL: between the daemons
)

// IsFlow reports whether messages of type t tell about a flow.
func (t Type) IsFlow() bool { return t <= CTDelete }

// IsExpect reports whether messages of type t tell about an expectation.
func (t Type) IsExpect() bool { return ExpectNew <= t && t <= ExpectDelete }

var typeNames = map[Type]string{CTNew: "CT_NEW", CTUpdate: "CT_UPD", CTDelete: "CT_DEL",
	ExpectNew: "EXP_NEW", ExpectUpdate: "EXP_UPD", ExpectDelete: "EXP_DEL", Control: "CTL"}

// String returns the name ("CT_NEW"), or "type 7".
func (t Type) String() string {
	if name, ok := typeNames[t]; ok {
		return name
	}
	return fmt.Sprintf("type %d", uint8(t))
}

// Flags are a message's flags.
type Flags uint8

const (
	// One of these four says what a Control message is; elsewhere they mean nothing.
	Resync Flags = 0x02 // send everything you have
	Nack   Flags = 0x04 // the messages of the range are missing
	Ack    Flags = 0x08 // the messages of the range have come
	Alive  Flags = 0x10 // nothing to say

	// These two may be set in any message.
	Hello     Flags = 0x20 // the sender has just started
	HelloBack Flags = 0x40 // the answer to Hello
)

var flagNames = [8]string{1: "RESYNC", 2: "NACK", 3: "ACK", 4: "ALIVE", 5: "HELLO", 6: "HELLO_BACK"}

// Has reports whether all flags of want are set in f.
func (f Flags) Has(want Flags) bool { return f&want == want }

// Names returns the names of the flags that are set, lowest bit first: "ACK", "HELLO". A bit
// that has no name is written as "0x80". It is never nil.
func (f Flags) Names() []string {
	names := []string{}
	for i, name := range flagNames {
		if f&(1<<i) == 0 {
			continue
		}
		if name == "" {
			name = fmt.Sprintf("0x%02x", 1<<i)
		}
		names = append(names, name)
	}
	return names
}

// String returns the names with '|' between them; "" if no flag is set.
func (f Flags) String() string { return strings.Join(f.Names(), "|") }

// Header begins every message.
type Header struct {
	Type   Type
	Flags  Flags
	Length uint16 // of the whole message, in bytes; the Append functions fill it in
	Seq    uint32 // counts the sender's messages, and wraps
}

// hasRange reports whether a [Range] follows.
func (h *Header) hasRange() bool { return h.Type == Control && h.Flags&(Ack|Nack|Resync) != 0 }

// Range is the sequence numbers that an ACK or NACK is about, both ends included. A RESYNC has
// the zero Range.
type Range struct{ From, To uint32 }

// Message is a message that was received. It points into the buffer of its [Reader] and is valid
// as long as that buffer.
type Message struct {
	Header
	Range Range  // of ACK, NACK and RESYNC; otherwise zero
	body  []byte // what follows the header
}

// AppendControl appends a control message to b. h.Type and h.Length need not be given. r is
// written if h.Flags has Ack, Nack or Resync.
func AppendControl(b []byte, h Header, r Range) []byte {
	start := len(b)
	h.Type = Control
	b = appendHeader(b, h)
	if h.hasRange() {
		b = binary.BigEndian.AppendUint32(b, r.From)
		b = binary.BigEndian.AppendUint32(b, r.To)
	}
	return setLength(b, start)
}

// Stamp gives an encoded message, which m begins with, other flags and another sequence number: a
// message that is sent again is numbered anew.
func Stamp(m []byte, flags Flags, seq uint32) {
	_ = m[headerSize-1]
	m[1] = byte(flags)
	binary.BigEndian.PutUint32(m[4:], seq)
}

func appendHeader(b []byte, h Header) []byte {
	b = append(b, version<<4|byte(h.Type)&0x0f, byte(h.Flags), 0, 0)
	return binary.BigEndian.AppendUint32(b, h.Seq)
}

// setLength ends the message that begins at start.
func setLength(b []byte, start int) []byte {
	binary.BigEndian.PutUint16(b[start+2:], uint16(len(b)-start))
	return b
}

// parseHeader reads the header of b, which is long enough.
func parseHeader(b []byte) Header {
	return Header{
		Type:   Type(b[0] & 0x0f),
		Flags:  Flags(b[1]),
		Length: binary.BigEndian.Uint16(b[2:]),
		Seq:    binary.BigEndian.Uint32(b[4:]),
	}
}
