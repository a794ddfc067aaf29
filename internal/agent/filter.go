package agent

import (
	"net/netip"
	"strings"

	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/config"
)

// filter says which flows the daemon is about: those that all of its sets pass.
type filter struct {
	protocols [256]bool
	byProto   config.Policy
	addrs     map[netip.Addr]bool
	nets      []netip.Prefix
	byAddr    config.Policy
	states    [256]bool
	byState   config.Policy

	anyHelper bool
	helpers   []string // prefixes of names, any case
}

func newFilter(c *config.Filter) *filter {
	f := &filter{addrs: make(map[netip.Addr]bool)}
	if c == nil {
		return f
	}
	f.byProto, f.byAddr, f.byState = c.Protocols.Policy, c.Addresses.Policy, c.States.Policy
	for _, p := range c.Protocols.List {
		f.protocols[p.Number] = true
	}
	for _, p := range c.Addresses.List {
		if p.IsSingleIP() {
			f.addrs[p.Addr()] = true
		} else {
			f.nets = append(f.nets, p.Masked())
		}
	}
	for _, s := range c.States.List {
		f.states[s] = true
	}
	return f
}

// verdict is whether something that is listed or not passes a set of the policy.
func verdict(p config.Policy, listed bool) bool {
	return p == config.NoPolicy || listed == (p == config.Accept)
}

// passes reports whether a flow, or an event of it, is one of those. The end of a flow passes whatever state
// it is in: or else a flow that was taken in earlier would stay for ever.
func (f *filter) passes(x *flow.Flow, typ flow.EventType) bool {
	if !verdict(f.byProto, f.protocols[x.Orig.Proto]) {
		return false
	}
	if f.byAddr != config.NoPolicy && !verdict(f.byAddr, f.lists(x.Orig.Src) || f.lists(x.Reply.Src)) {
		return false
	}
	if f.byState != config.NoPolicy && x.Orig.Proto == flow.TCP && x.Has.Has(flow.HasState) && typ != flow.Destroy {
		return verdict(f.byState, f.states[x.State])
	}
	return true
}

func (f *filter) lists(a netip.Addr) bool {
	if f.addrs[a] {
		return true
	}
	for _, n := range f.nets {
		if n.Contains(a) {
			return true
		}
	}
	return false
}

// passesExpect reports whether an expectation is replicated: by its helper's name.
func (f *filter) passesExpect(x *flow.Expect) bool {
	if x.Helper == "" {
		return false
	}
	if f.anyHelper {
		return true
	}
	for _, h := range f.helpers {
		if len(x.Helper) >= len(h) && strings.EqualFold(x.Helper[:len(h)], h) {
			return true
		}
	}
	return false
}
