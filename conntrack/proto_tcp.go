package conntrack

import (
	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/nfnetlink"
)

// TCP is what can be set of TCP's tracker.
type TCP struct {
	State *uint8 // flow.TCPNone and so on
	Orig  *TCPWindow
	Reply *TCPWindow
}

// TCPWindow changes the window tracker's view of one direction.
type TCPWindow struct {
	// Scale is stored only if it is given for both directions and both have, or
	// are given, the flag TCPWindowScale.
	Scale *uint8
	// The new flags are (old &^ Mask) | (Flags & Mask).
	Flags, Mask flow.TCPFlags
}

func decodeTCP(a nfnetlink.Attrs, f *flow.Flow) {
	for a.Next() {
		switch a.Type {
		case ctaTCPState:
			decodeState(&a, f)
		case ctaTCPWScaleOrig:
			if v, ok := a.Uint8(); ok {
				f.OrigWindow.Scale = v
				f.Has |= flow.HasTCPWindow
			}
		case ctaTCPWScaleReply:
			if v, ok := a.Uint8(); ok {
				f.ReplyWindow.Scale = v
				f.Has |= flow.HasTCPWindow
			}
		case ctaTCPFlagsOrig: // flags and a mask, which the kernel always sends as 0
			if v, ok := a.Uint8(); ok {
				f.OrigWindow.Flags = flow.TCPFlags(v)
				f.Has |= flow.HasTCPWindow
			}
		case ctaTCPFlagsReply:
			if v, ok := a.Uint8(); ok {
				f.ReplyWindow.Flags = flow.TCPFlags(v)
				f.Has |= flow.HasTCPWindow
			}
		}
	}
}

func (t *TCP) append(b *nfnetlink.Builder) {
	info := b.Nest(ctaProtoinfo)
	tcp := b.Nest(ctaProtoinfoTCP)
	if t.State != nil {
		b.Uint8(ctaTCPState, *t.State)
	}
	t.Orig.append(b, ctaTCPFlagsOrig, ctaTCPWScaleOrig)
	t.Reply.append(b, ctaTCPFlagsReply, ctaTCPWScaleReply)
	b.Close(tcp)
	b.Close(info)
}

func (w *TCPWindow) append(b *nfnetlink.Builder, flags, scale uint16) {
	if w == nil {
		return
	}
	b.Raw(flags, []byte{byte(w.Flags), byte(w.Mask)})
	if w.Scale != nil {
		b.Uint8(scale, *w.Scale)
	}
}
