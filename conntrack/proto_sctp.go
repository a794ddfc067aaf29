package conntrack

import (
	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/nfnetlink"
)

// SCTP is what can be set of SCTP's tracker; the kernel wants all of it.
type SCTP struct {
	State *uint8 // flow.SCTPNone and so on
	VTags *flow.VTags
}

func decodeSCTP(a nfnetlink.Attrs, f *flow.Flow) {
	for a.Next() {
		switch a.Type {
		case ctaSCTPState:
			decodeState(&a, f)
		case ctaSCTPVTagOrig:
			f.Has |= decode32(&a, &f.VTags.Orig, flow.HasVTags)
		case ctaSCTPVTagReply:
			f.Has |= decode32(&a, &f.VTags.Reply, flow.HasVTags)
		}
	}
}

func (s *SCTP) append(b *nfnetlink.Builder) {
	info := b.Nest(ctaProtoinfo)
	sctp := b.Nest(ctaProtoinfoSCTP)
	if s.State != nil {
		b.Uint8(ctaSCTPState, *s.State)
	}
	if s.VTags != nil {
		b.Uint32(ctaSCTPVTagOrig, s.VTags.Orig)
		b.Uint32(ctaSCTPVTagReply, s.VTags.Reply)
	}
	b.Close(sctp)
	b.Close(info)
}
