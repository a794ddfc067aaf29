package cli

import (
	"fmt"
	"net/netip"
	"os"

	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/session"
)

// ownSession is the connections that keep the user logged in. A nil one is none.
type ownSession struct{ ends []session.Connection }

// is reports whether f is one of them: in either direction, before or after translation.
func (s *ownSession) is(f *flow.Flow) bool {
	if s == nil || f.Orig.Proto != flow.TCP {
		return false
	}
	for _, t := range [...]*flow.Tuple{&f.Orig, &f.Reply} {
		a, b := netip.AddrPortFrom(t.Src, t.SrcPort), netip.AddrPortFrom(t.Dst, t.DstPort)
		for _, c := range s.ends {
			if c == (session.Connection{Local: a, Remote: b}) || c == (session.Connection{Local: b, Remote: a}) {
				return true
			}
		}
	}
	return false
}

// ownSession finds the session that --keep-session asks to keep.
func (c *call) ownSession() (*ownSession, error) {
	switch whether := c.value("keep-session", "auto"); whether {
	case "no":
		return nil, nil
	case "yes", "auto":
		ends := session.Of(os.Getpid())
		if whether == "yes" && ends == nil {
			return nil, fmt.Errorf("--keep-session yes: no connection was found that anybody is logged in by")
		}
		return &ownSession{ends}, nil
	default:
		return nil, usagef("--keep-session %s: choose from yes, no and auto", whether)
	}
}
