//go:build linux

package nfnetlinktest

import (
	"encoding/binary"
	"syscall"

	"github.com/spoor-project/spoor/internal/nfnetlink"
)

// include/uapi/linux/netlink.h
const (
	headerLen = 16 // sizeof(struct nlmsghdr)

	typeError = 2 // NLMSG_ERROR
	typeDone  = 3 // NLMSG_DONE

	flagMulti   = 0x2   // NLM_F_MULTI
	flagCapped  = 0x100 // NLM_F_CAPPED
	flagAckTLVs = 0x200 // NLM_F_ACK_TLVS

	extAckText   = 1 // NLMSGERR_ATTR_MSG
	extAckOffset = 2 // NLMSGERR_ATTR_OFFS
)

// Request is a message that the Conn sent. It is the handler's to keep.
type Request struct{ nfnetlink.Message }

// Is reports whether r asks for that kind of thing.
func (r *Request) Is(s nfnetlink.Subsystem, kind uint8) bool {
	return r.Subsystem() == s && r.Kind() == kind
}

// Body is what stands behind a netlink header: for netfilter, a family, a version, a
// resource number and attributes.
type Body []byte

// NewBody makes a body of the given family; fill, which may be nil, adds the attributes.
func NewBody(family uint8, fill func(*nfnetlink.Builder)) Body {
	var b nfnetlink.Builder
	b.Begin(0, 0, 0, 0, family, 0)
	if fill != nil {
		fill(&b)
	}
	b.End()
	return Body(b.Bytes()[headerLen:])
}

// Message builds a message of any kind. It is padded, so that another can follow.
func Message(typ, flags uint16, seq, port uint32, body Body) []byte {
	b := make([]byte, headerLen, headerLen+len(body)+3)
	binary.NativeEndian.PutUint32(b, uint32(headerLen+len(body)))
	binary.NativeEndian.PutUint16(b[4:], typ)
	binary.NativeEndian.PutUint16(b[6:], flags)
	binary.NativeEndian.PutUint32(b[8:], seq)
	binary.NativeEndian.PutUint32(b[12:], port)
	b = append(b, body...)
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}

// Event builds a message that is no answer; port is whose request caused it, 0 for the
// kernel itself.
func Event(s nfnetlink.Subsystem, kind uint8, flags uint16, port uint32, body Body) []byte {
	return Message(uint16(s)<<8|uint16(kind), flags, 0, port, body)
}

// Data builds a message of an answer, of any kind of the request's subsystem.
func (r *Request) Data(kind uint8, flags uint16, body Body) []byte {
	return Message(uint16(r.Subsystem())<<8|uint16(kind), flags|flagMulti, r.Seq, 0, body)
}

// Multipart is the answer to a dump: bodies as messages of the given kind, perDatagram
// of them in each datagram, and the end.
func (r *Request) Multipart(kind uint8, perDatagram int, bodies ...Body) [][]byte {
	var datagrams [][]byte
	for i, body := range bodies {
		if i%perDatagram == 0 {
			datagrams = append(datagrams, nil)
		}
		last := &datagrams[len(datagrams)-1]
		*last = append(*last, r.Data(kind, 0, body)...)
	}
	return append(datagrams, r.Done(0))
}

// Done ends a dump; errno is why it ended early, or 0.
func (r *Request) Done(errno syscall.Errno) []byte {
	return Message(typeDone, flagMulti, r.Seq, 0, code(errno))
}

// Ack says that the request was carried out.
func (r *Request) Ack() []byte { return r.Error(0) }

// Error refuses the request without an explanation.
func (r *Request) Error(errno syscall.Errno) []byte {
	return Message(typeError, flagCapped, r.Seq, 0, append(code(errno), r.header()...))
}

// Explain refuses the request with the kernel's explanation (extended acknowledgement)
// and, if not 0, the offset of the attribute that is to blame.
func (r *Request) Explain(errno syscall.Errno, text string, offset int) []byte {
	var b nfnetlink.Builder
	b.Text(extAckText, text)
	if offset != 0 {
		b.HostUint32(extAckOffset, uint32(offset))
	}
	body := append(append(code(errno), r.header()...), b.Bytes()...)
	return Message(typeError, flagCapped|flagAckTLVs, r.Seq, 0, body)
}

// Acked appends an acknowledgement to answers if the request wants one.
func (r *Request) Acked(answers ...[]byte) [][]byte {
	if r.Flags&nfnetlink.Ack != 0 {
		answers = append(answers, r.Ack())
	}
	return answers
}

func (r *Request) header() Body {
	return Body(Message(r.Type, r.Flags, r.Seq, r.PortID, r.Payload)[:headerLen])
}

func code(errno syscall.Errno) Body {
	return binary.NativeEndian.AppendUint32(nil, uint32(-int32(errno)))
}
