package nfnetlink

import (
	"bytes"
	"encoding/binary"
	"slices"
)

// Attrs walks a run of netlink attributes in place. It is a value: a copy saves
// the position. Use:
//
//	for a.Next() {
//		switch a.Type { … a.Data … }
//	}
type Attrs struct {
	rest []byte

	Type uint16 // of the current attribute, without flag bits
	Data []byte // of the current attribute; shares the message's memory
}

// Walk returns a walker over b.
func Walk(b []byte) Attrs { return Attrs{rest: b} }

// Next moves to the next attribute. It returns false at the end, and at a length
// that does not fit, after which Truncated reports true.
func (a *Attrs) Next() bool {
	if len(a.rest) < 4 {
		return false
	}
	n := int(binary.NativeEndian.Uint16(a.rest))
	if n < 4 || n > len(a.rest) {
		return false
	}
	a.Type = binary.NativeEndian.Uint16(a.rest[2:]) & attrTypeMask
	a.Data = a.rest[4:n:n]
	a.rest = a.rest[min(align4(n), len(a.rest)):]
	return true
}

// Truncated reports, after Next returned false, whether bytes were left that are
// not an attribute.
func (a *Attrs) Truncated() bool { return len(a.rest) > 0 }

// Rest returns what the walker has not reached yet, in the message's memory.
func (a *Attrs) Rest() []byte { return a.rest }

// Nested walks the attributes inside the current one.
func (a *Attrs) Nested() Attrs { return Attrs{rest: a.Data} }

// The getters read the start of the current attribute, in network byte order as
// all of netfilter does. ok is false if it is too short; more bytes than needed
// are ignored, like the kernel does.

// Uint8 reads one byte.
func (a *Attrs) Uint8() (v uint8, ok bool) {
	if len(a.Data) < 1 {
		return 0, false
	}
	return a.Data[0], true
}

// Uint16 reads two bytes.
func (a *Attrs) Uint16() (v uint16, ok bool) {
	if len(a.Data) < 2 {
		return 0, false
	}
	return binary.BigEndian.Uint16(a.Data), true
}

// Uint32 reads four bytes.
func (a *Attrs) Uint32() (v uint32, ok bool) {
	if len(a.Data) < 4 {
		return 0, false
	}
	return binary.BigEndian.Uint32(a.Data), true
}

// Uint64 reads eight bytes.
func (a *Attrs) Uint64() (v uint64, ok bool) {
	if len(a.Data) < 8 {
		return 0, false
	}
	return binary.BigEndian.Uint64(a.Data), true
}

// Text is the attribute up to its first zero byte; it shares the message's memory.
func (a *Attrs) Text() []byte {
	if i := bytes.IndexByte(a.Data, 0); i >= 0 {
		return a.Data[:i]
	}
	return a.Data
}

// String is Text, copied.
func (a *Attrs) String() string { return string(a.Text()) }

// Builder appends messages to a buffer. The zero Builder is ready; Reset keeps the
// memory.
type Builder struct {
	buf   []byte
	start int // of the message under construction
}

// Bytes returns the messages built so far. The memory is the builder's.
func (b *Builder) Bytes() []byte { return b.buf }

// Len returns the length of Bytes.
func (b *Builder) Len() int { return len(b.buf) }

// Reset forgets all messages.
func (b *Builder) Reset() { b.buf, b.start = b.buf[:0], 0 }

// Grow makes room for n more bytes.
func (b *Builder) Grow(n int) { b.buf = slices.Grow(b.buf, n) }

// Begin starts a message. The request flag is implied.
func (b *Builder) Begin(s Subsystem, kind uint8, flags uint16, seq uint32, family, version uint8) {
	b.start = len(b.buf)
	b.buf = append(b.buf, 0, 0, 0, 0) // the length, set by End
	b.buf = binary.NativeEndian.AppendUint16(b.buf, uint16(s)<<8|uint16(kind))
	b.buf = binary.NativeEndian.AppendUint16(b.buf, Request|flags)
	b.buf = binary.NativeEndian.AppendUint32(b.buf, seq)
	b.buf = append(b.buf, 0, 0, 0, 0) // the kernel's port
	b.buf = append(b.buf, family, version, 0, 0)
}

// End finishes the message. All attributes are padded, so the next message is
// aligned: the kernel silently drops what follows an unaligned one.
func (b *Builder) End() {
	binary.NativeEndian.PutUint32(b.buf[b.start:], uint32(len(b.buf)-b.start))
}

// SetResource sets the nfgenmsg resource number of the message begun last: the queue, in the subsystem PacketQueue.
func (b *Builder) SetResource(n uint16) { binary.BigEndian.PutUint16(b.buf[b.start+headerLen+2:], n) }

// SetFlags adds flags to the message begun last.
func (b *Builder) SetFlags(flags uint16) {
	at := b.buf[b.start+6:]
	binary.NativeEndian.PutUint16(at, binary.NativeEndian.Uint16(at)|flags)
}

func (b *Builder) header(t uint16, n int) {
	b.buf = binary.NativeEndian.AppendUint16(b.buf, uint16(4+n))
	b.buf = binary.NativeEndian.AppendUint16(b.buf, t)
}

// Uint8 adds an attribute of one byte.
func (b *Builder) Uint8(t uint16, v uint8) {
	b.header(t, 1)
	b.buf = append(b.buf, v, 0, 0, 0)
}

// Uint16 adds an attribute of two bytes in network order.
func (b *Builder) Uint16(t uint16, v uint16) {
	b.header(t, 2)
	b.buf = binary.BigEndian.AppendUint16(b.buf, v)
	b.buf = append(b.buf, 0, 0)
}

// Uint32 adds an attribute of four bytes in network order.
func (b *Builder) Uint32(t uint16, v uint32) {
	b.header(t, 4)
	b.buf = binary.BigEndian.AppendUint32(b.buf, v)
}

// HostUint32 adds an attribute of four bytes in host order.
func (b *Builder) HostUint32(t uint16, v uint32) {
	b.header(t, 4)
	b.buf = binary.NativeEndian.AppendUint32(b.buf, v)
}

// Uint64 adds an attribute of eight bytes in network order.
func (b *Builder) Uint64(t uint16, v uint64) {
	b.header(t, 8)
	b.buf = binary.BigEndian.AppendUint64(b.buf, v)
}

// Raw adds an attribute with the given content.
func (b *Builder) Raw(t uint16, p []byte) {
	b.header(t, len(p))
	b.buf = append(b.buf, p...)
	b.pad()
}

// Append adds attributes that were built elsewhere; they must be padded.
func (b *Builder) Append(attrs []byte) { b.buf = append(b.buf, attrs...) }

// Text adds a string and its terminating zero.
func (b *Builder) Text(t uint16, s string) {
	b.header(t, len(s)+1)
	b.buf = append(append(b.buf, s...), 0)
	b.pad()
}

func (b *Builder) pad() {
	for len(b.buf)%4 != 0 {
		b.buf = append(b.buf, 0)
	}
}

// Nest begins a container; what is added until Close lies inside.
func (b *Builder) Nest(t uint16) (at int) {
	at = len(b.buf)
	b.header(t|attrNested, 0)
	return at
}

// Close ends the container that Nest began.
func (b *Builder) Close(at int) {
	binary.NativeEndian.PutUint16(b.buf[at:], uint16(len(b.buf)-at))
}
