package conntrack

import (
	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/nfnetlink"
)

// DCCP is what can be set of DCCP's tracker (Linux before 6.17).
type DCCP struct {
	State *uint8 // flow.DCCPNone and so on
	Role  *flow.DCCPRole
	// HandshakeSeq is the sequence number of the handshake.
	HandshakeSeq *uint64
}

func decodeDCCP(a nfnetlink.Attrs, f *flow.Flow) {
	for a.Next() {
		switch a.Type {
		case ctaDCCPState:
			decodeState(&a, f)
		case ctaDCCPRole:
			if v, ok := a.Uint8(); ok {
				f.DCCP.Role = flow.DCCPRole(v)
				f.Has |= flow.HasDCCP
			}
		case ctaDCCPHandshakeSeq:
			if v, ok := a.Uint64(); ok {
				f.DCCP.HandshakeSeq = v
				f.Has |= flow.HasDCCP
			}
		}
	}
}

func (d *DCCP) append(b *nfnetlink.Builder) {
	info := b.Nest(ctaProtoinfo)
	dccp := b.Nest(ctaProtoinfoDCCP)
	if d.State != nil {
		b.Uint8(ctaDCCPState, *d.State)
	}
	if d.Role != nil {
		b.Uint8(ctaDCCPRole, uint8(*d.Role))
	}
	if d.HandshakeSeq != nil {
		b.Uint64(ctaDCCPHandshakeSeq, *d.HandshakeSeq)
	}
	b.Close(dccp)
	b.Close(info)
}
