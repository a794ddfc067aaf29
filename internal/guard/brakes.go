package guard

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// PactDelay is how long a node of a pair waits for the other's decision before it does what shall be done once per pair.
const PactDelay = 300 * time.Millisecond

const (
	// mostRemembered bounds each of the things that brakes remember: blocks, ongoing findings, what the other node has decided.
	mostRemembered = 4096
	// pactMemory is how long a decision of the other node counts for a finding that shows here later.
	pactMemory = time.Minute
	// adoptGrace is how old a block must be before it is missed in the set: until then it may be on its way.
	adoptGrace = 10 * time.Second
	// longestBlock is what rules can ask for; another node cannot ask for more.
	longestBlock = 30 * 24 * time.Hour
)

// BrakeOptions are what brakes must know besides the rules.
type BrakeOptions struct {
	Enforce bool   // false: every action is held, and what is decided is what would have been
	Node    string // name of this node
	Pair    bool   // another node is told what is decided, and heard
	// Peer is the address of that node, against which nothing is ever done; it may be zero.
	Peer netip.Addr
}

// Facts are the addresses against which nothing is ever done: this machine's, the next hops of its routes, and those from which somebody is logged in. They are unmapped and have no zone.
type Facts struct {
	Own, Gateways, Session map[netip.Addr]struct{}
}

// Brakes decide which responses to findings are carried out. There is one decision per offender: while a block stands, others only prolong it.
// They are for one goroutine; what they remember is bounded.
type Brakes struct {
	rules *Rules
	opts  BrakeOptions
	facts Facts

	blocks  map[netip.Addr]*block
	done    map[uint64][]string // of findings that have begun and not ended: the responses that need not be done again
	heard   map[matter]ruling   // of the other node
	spent   []time.Time         // of actions within the brake's time, the oldest first
	waiting []delayed           // for the other node
	ready   []Action            // because of what the other node has decided
	told    []Decision          // not announced yet
}

// block is what stands against an offender.
type block struct {
	Decision
	deleted bool // its flows too
}

// matter is a finding as both nodes of a pair can name it.
type matter struct {
	kind    Kind
	subject Subject
}

// matterOf is the matter of a finding. Of a scan only who scans counts: another node may have seen other targets first.
func matterOf(k Kind, s Subject) matter {
	switch k {
	case PortScan, HostSweep, SlowScan:
		s = Subject{Source: s.Source, Zone: s.Zone}
	}
	return matter{k, s}
}

// ruling is who has decided on a matter.
type ruling struct {
	node string
	at   time.Time // when it was heard, by the clock of this node
}

// delayed are actions that wait for the other node.
type delayed struct {
	due      time.Time
	decision Decision
	actions  []Action
	yielded  string // the node that was earlier
}

// NewBrakes returns brakes that have decided nothing yet.
func NewBrakes(rules *Rules, opts BrakeOptions) *Brakes {
	return &Brakes{rules: rules, opts: opts, blocks: make(map[netip.Addr]*block), done: make(map[uint64][]string), heard: make(map[matter]ruling)}
}

// SetRules has other rules apply from now on. What stands, stands.
func (b *Brakes) SetRules(rules *Rules) { b.rules = rules }

// SetFacts has other addresses count as own, gateways and session from now on. The maps are not changed afterwards.
func (b *Brakes) SetFacts(f Facts) { b.facts = f }

// Decide returns what becomes of a finding: an action for each response of its rule, in their order. Those that are not held shall be carried out at once;
// in a pair, what is not a block comes from [Brakes.Due] a little later. A finding that continues brings only what is to be done now and has not been done.
func (b *Brakes) Decide(now time.Time, f *Finding) []Action {
	if f.Phase == Ends {
		delete(b.done, f.ID)
		return nil
	}
	rule := b.rule(f.Kind)
	if rule == nil || len(rule.Then) == 0 {
		return nil
	}
	finding := *f
	finding.Offender = plain(f.Offender)
	decision := Decision{Offender: finding.Offender, Kind: f.Kind, Subject: f.Subject, Node: b.opts.Node, Time: now}
	var actions, later []Action
	deleted := false
	for _, t := range rule.Then {
		if t.Do != Block && slices.Contains(b.done[f.ID], t.String()) {
			continue
		}
		a := Action{Respond: t, Finding: finding}
		if t.Do == Block {
			a.Until = now.Add(t.For)
		}
		a.Held = b.hold(now, &a)
		if v, ok := b.heard[matterOf(f.Kind, f.Subject)]; ok && a.Held == "" && t.Do != Block && now.Sub(v.at) < pactMemory {
			a.Held = "decided by node " + v.node
			b.settle(&a)
		} else if a.Held != "" && f.Phase == Continues {
			continue
		}
		if a.Held == "" {
			b.take(now, &a)
			if t.Do == Block {
				decision.Until = a.Until
			}
			deleted = deleted || t.Do == Delete
			if !b.opts.Enforce {
				a.Held = dryRun
			} else if b.opts.Pair && t.Do != Block {
				later = append(later, a)
				continue
			}
		}
		actions = append(actions, a)
	}
	if standing := b.blocks[finding.Offender]; deleted && standing != nil {
		standing.deleted = true
	}
	if b.opts.Pair && b.opts.Enforce && (len(later) > 0 || !decision.Until.IsZero()) {
		b.told = append(b.told, decision)
	}
	if len(later) > 0 {
		b.waiting = append(b.waiting, delayed{now.Add(PactDelay), decision, later, ""})
	}
	return actions
}

const dryRun = "dry run (--enforce carries it out)"

// rule is that of a kind; nil is none.
func (b *Brakes) rule(k Kind) *Rule {
	if k >= numKinds {
		return nil
	}
	return b.rules.Of[k]
}

// hold says why an action is not to be done; "" if it is.
func (b *Brakes) hold(now time.Time, a *Action) string {
	offender := a.Finding.Offender
	if !offender.IsValid() && (a.Do == Block || a.Do == Delete) {
		return "no single offender"
	}
	if why := b.exempt(offender); why != "" {
		return "allowed: " + why
	}
	standing := b.blocks[offender]
	if standing != nil && !standing.Until.After(now) {
		standing = nil
	}
	switch {
	case a.Do == Block && standing != nil:
		// Many findings about one offender do not each ask for a little more.
		if gain := a.Until.Sub(standing.Until); gain < a.For/10 || gain <= 0 {
			return standing.text()
		}
	case a.Do == Delete && standing != nil && standing.deleted:
		return "flows deleted, and " + standing.text()
	}
	for len(b.spent) > 0 && now.Sub(b.spent[0]) >= b.rules.Brake.Within {
		b.spent = b.spent[1:]
	}
	if limit := b.rules.Brake; len(b.spent) >= limit.Actions {
		return fmt.Sprintf("limit of %d responses in %s", limit.Actions, span.text(limit.Within.Seconds()))
	}
	return ""
}

func (k *block) text() string { return "already blocked until " + k.Until.Format(time.DateTime) }

// take remembers an action that is being carried out, or would be.
func (b *Brakes) take(now time.Time, a *Action) {
	b.spent = append(b.spent, now)
	offender := a.Finding.Offender
	if a.Do == Block {
		standing := b.blocks[offender]
		if standing == nil {
			makeRoom(b.blocks, func(x, y *block) int { return x.Until.Compare(y.Until) })
			standing = new(block)
			b.blocks[offender] = standing
		} else if !standing.Until.After(now) {
			*standing = block{}
		}
		standing.Decision = Decision{offender, a.Finding.Kind, a.Finding.Subject, cmp.Or(a.By, b.opts.Node), now, a.Until}
		return
	}
	b.settle(a)
}

// settle remembers that a response need not be done again while its finding goes on.
func (b *Brakes) settle(a *Action) {
	id := a.Finding.ID
	if _, known := b.done[id]; !known && len(b.done) >= mostRemembered {
		oldest := id
		for other := range b.done {
			oldest = min(oldest, other)
		}
		delete(b.done, oldest)
	}
	b.done[id] = append(b.done[id], a.Respond.String())
}

// makeRoom takes the least out of a map that is full.
func makeRoom[K comparable, V any](m map[K]V, compare func(V, V) int) {
	if len(m) < mostRemembered {
		return
	}
	var least K
	first := true
	for k, v := range m {
		if first || compare(v, m[least]) < 0 {
			least, first = k, false
		}
	}
	delete(m, least)
}

// plain is an address as brakes compare it.
func plain(a netip.Addr) netip.Addr { return a.Unmap().WithZone("") }

// exempt says why nothing is ever done against an address; "" if it may be.
func (b *Brakes) exempt(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	in := func(set map[netip.Addr]struct{}) bool { _, ok := set[a]; return ok }
	switch {
	case a.IsLoopback():
		return "loopback"
	case a.IsUnspecified() || a.Is4() && a.As4()[0] == 0:
		return "no address of a host"
	case a.IsMulticast():
		return "multicast"
	case a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return "broadcast"
	case a == plain(b.opts.Peer):
		return "the other node"
	case in(b.facts.Own):
		return "own address"
	case in(b.facts.Gateways):
		return "gateway"
	case in(b.facts.Session):
		return "logged in over ssh"
	}
	for _, p := range b.rules.Allow {
		if p.Contains(a) {
			if p.IsSingleIP() {
				return "allow " + p.Addr().String()
			}
			return "allow " + p.String()
		}
	}
	return ""
}

// Announcements are the decisions that the other node has not been told of yet. They are handed out once.
func (b *Brakes) Announcements() []Decision {
	told := b.told
	b.told = nil
	return told
}

// Hear takes in what the other node has decided. Of two decisions on one finding the earlier counts; at the same time that of the node whose name is
// smaller. A block of the other node is one here too, which [Brakes.Due] hands out, so that a failover does not open the door; allowed addresses stay allowed.
func (b *Brakes) Hear(now time.Time, d Decision) {
	if d.Node == b.opts.Node || !b.opts.Pair {
		return
	}
	d.Offender = plain(d.Offender)
	key := matterOf(d.Kind, d.Subject)
	ours := false
	for i := range b.waiting {
		w := &b.waiting[i]
		if matterOf(w.decision.Kind, w.decision.Subject) != key {
			continue
		}
		if d.Time.Before(w.decision.Time) || d.Time.Equal(w.decision.Time) && d.Node < b.opts.Node {
			w.yielded = d.Node
		} else {
			ours = true
		}
	}
	if !ours {
		makeRoom(b.heard, func(x, y ruling) int { return x.at.Compare(y.at) })
		b.heard[key] = ruling{d.Node, now}
	}
	if !d.Offender.IsValid() || !d.Until.After(now) {
		return
	}
	until := d.Until
	if most := now.Add(longestBlock); until.After(most) {
		until = most
	}
	a := Action{
		Respond: Respond{Do: Block, For: until.Sub(now)}, Until: until, By: d.Node,
		Finding: Finding{Kind: d.Kind, Subject: d.Subject, Offender: d.Offender, Since: d.Time, Time: d.Time},
	}
	if standing := b.blocks[d.Offender]; standing != nil && standing.Until.Add(a.For/10).After(until) {
		return // both have found it
	}
	if a.Held = b.hold(now, &a); a.Held == "" {
		if b.take(now, &a); !b.opts.Enforce {
			a.Held = dryRun
		}
	}
	if len(b.ready) < mostRemembered {
		b.ready = append(b.ready, a)
	}
}

// Due returns the actions that have waited for the other node long enough, and those that it wants.
func (b *Brakes) Due(now time.Time) []Action {
	due := b.ready
	b.ready = nil
	for len(b.waiting) > 0 && !now.Before(b.waiting[0].due) {
		w := &b.waiting[0]
		for _, a := range w.actions {
			if why := b.exempt(a.Finding.Offender); why != "" {
				a.Held = "allowed: " + why // since then
			} else if w.yielded != "" {
				a.Held = "decided by node " + w.yielded
			}
			due = append(due, a)
		}
		b.waiting = b.waiting[1:]
	}
	return due
}

// Next is when [Brakes.Due] has something; ok is false if nothing waits.
func (b *Brakes) Next() (at time.Time, ok bool) {
	switch {
	case len(b.ready) > 0:
		return time.Time{}, true
	case len(b.waiting) > 0:
		return b.waiting[0].due, true
	}
	return time.Time{}, false
}

// Standing are the blocks that stand, by their offenders' addresses; in a dry run those that would.
func (b *Brakes) Standing(now time.Time) []Decision {
	var all []Decision
	for _, k := range b.blocks {
		if k.Until.After(now) {
			all = append(all, k.Decision)
		}
	}
	slices.SortFunc(all, func(x, y Decision) int { return x.Offender.Compare(y.Offender) })
	return all
}

// Adopt takes in what the set holds, at the start and every now and then: those are the blocks that stand. One that is missing has been taken out by
// somebody, and may be decided on again. In a dry run nothing is adopted, as nothing was put into the set.
func (b *Brakes) Adopt(now time.Time, set []Decision) {
	if !b.opts.Enforce {
		return
	}
	for a, k := range b.blocks {
		if !k.Until.After(now) {
			delete(b.blocks, a)
		}
	}
	there := make(map[netip.Addr]bool, len(set))
	for _, d := range set {
		d.Offender = plain(d.Offender)
		if !d.Offender.IsValid() || !d.Until.After(now) {
			continue
		}
		there[d.Offender] = true
		if standing := b.blocks[d.Offender]; standing == nil {
			if len(b.blocks) >= mostRemembered {
				continue // one that is not known may be blocked again, which does no harm
			}
			b.blocks[d.Offender] = &block{Decision: d}
		} else if now.Sub(standing.Time) >= adoptGrace {
			standing.Until = d.Until
		}
	}
	for a, k := range b.blocks {
		if !there[a] && now.Sub(k.Time) >= adoptGrace {
			delete(b.blocks, a)
		}
	}
	for m, v := range b.heard {
		if now.Sub(v.at) >= pactMemory {
			delete(b.heard, m)
		}
	}
}

// Release forgets a block, which has been undone, and reports whether there was one.
func (b *Brakes) Release(offender netip.Addr) bool {
	offender = plain(offender)
	_, ok := b.blocks[offender]
	delete(b.blocks, offender)
	return ok
}
