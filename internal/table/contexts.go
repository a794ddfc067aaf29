package table

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/spoor-project/spoor/conntrack"
	"github.com/spoor-project/spoor/flow"
)

// contexts turns security marks into the text that the security module has for them, which
// only netlink tells. Where there is such a module, flows without a mark have one too.
type contexts struct {
	client *conntrack.Client
	plain  atomic.Pointer[string] // of flows without a mark; nil: not known
	mu     sync.Mutex
	known  map[uint32]string // "": none
}

// fill replaces the mark of f by its context, as netlink would report f.
func (s *contexts) fill(f *flow.Flow) {
	var text string
	if plain := s.plain.Load(); plain != nil && !f.Has.Has(flow.HasSecMark) {
		text = *plain
	} else {
		text = s.ask(f)
	}
	f.Has &^= flow.HasSecMark
	f.SecMark = 0
	if text != "" {
		f.SecCtx, f.Has = text, f.Has|flow.HasSecCtx
	}
}

// ask has netlink tell the context of f unless one of the same mark has been told.
func (s *contexts) ask(f *flow.Flow) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if text, ok := s.known[f.SecMark]; ok {
		return text
	}
	now, err := s.client.Get(context.Background(), f.Orig, f.Zone)
	if err != nil {
		return "" // it has ended; the next one of this mark will tell
	}
	if s.known == nil {
		s.known = make(map[uint32]string)
	}
	s.known[f.SecMark] = now.SecCtx
	if f.SecMark == 0 {
		s.plain.Store(&now.SecCtx)
	}
	return now.SecCtx
}
