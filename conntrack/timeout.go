package conntrack

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
	"time"

	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/nfnetlink"
)

// MaxTimeoutName is how many bytes the name of a timeout policy can have.
const MaxTimeoutName = 31

// maxTimeout is what the wire has room for.
const maxTimeout = (1<<32 - 1) * time.Second

// Timeouts say how long a flow lives without a packet, by its state. What is given is
// sent, 0 too, with which a flow ends at once; other states are left alone.
//
// The wire has whole seconds, 32 bits of them; anything else is refused by this package.
// The kernel then multiplies by its clock's frequency (CONFIG_HZ) in 32 bits and does not
// look at what is lost: with 1000 Hz, 4294967 s or some 49 days are the longest timeout,
// with 250 Hz 17179869 s, and a second more is one of 0. What was stored can be seen by
// reading it back.
type Timeouts map[TimeoutState]time.Duration

// check refuses what cannot be sent as timeouts of p.
func (ts Timeouts) check(p flow.Proto) error {
	for _, s := range ts.states() {
		switch d := ts[s]; {
		case s.Proto() != p:
			return fmt.Errorf("state %v is one of protocol %v, not of %v", s, s.Proto(), p)
		case s&0xff == 0:
			return fmt.Errorf("protocol %v has no state of number 0", p)
		case d < 0 || d > maxTimeout:
			return fmt.Errorf("timeout %v of %v: out of range", d, s)
		case d%time.Second != 0:
			return fmt.Errorf("timeout %v of %v: not a number of whole seconds", d, s)
		}
	}
	return nil
}

// states returns the states that have a timeout, by number.
func (ts Timeouts) states() []TimeoutState { return slices.Sorted(maps.Keys(ts)) }

func (ts Timeouts) append(b *nfnetlink.Builder) {
	if ts == nil {
		return
	}
	at := b.Nest(ctaTimeoutData)
	for _, s := range ts.states() {
		b.Uint32(uint16(s&0xff), seconds(ts[s]))
	}
	b.Close(at)
}

// TimeoutPolicy is a named set of timeouts, which firewall rules attach to the flows that
// they match (iptables -j CT --timeout). It takes the place of the namespace's defaults
// for them. Policies belong to a network namespace. The timeout objects of nftables are
// something else, though their effect is the same.
type TimeoutPolicy struct {
	Name string // any bytes but zero, at most MaxTimeoutName; may be empty
	// Family is that of the rules that can use the policy.
	Family flow.Family
	// Proto is that of the rules that can use it; a policy of [Generic] is for protocols
	// without a tracker.
	Proto flow.Proto
	// Timeouts are, when read, those of all states of the protocol.
	Timeouts Timeouts
	// Use is how many references the kernel has: one for each rule, and one of its own, two
	// in Linux 6.1 and 6.12. It is not sent.
	Use uint32
}

// TimeoutPolicies streams the timeout policies of the namespace, in the order in which
// they were made.
//
// All operations on timeouts need a kernel with the module nfnetlink_cttimeout
// (CONFIG_NF_CONNTRACK_TIMEOUT, Linux 3.4). One without it refuses everything with EINVAL;
// here and for [Client.FlushTimeoutPolicies], where that can mean nothing else, the
// error is [ErrNotSupported] too.
func (c *Client) TimeoutPolicies(ctx context.Context) iter.Seq2[TimeoutPolicy, error] {
	return func(yield func(TimeoutPolicy, error) bool) {
		var malformed error
		stopped := false
		err := c.dump(ctx, func(b *nfnetlink.Builder, seq uint32) {
			b.Begin(nfnetlink.ConntrackTimeout, msgTimeoutGet, nfnetlink.Dump, seq, 0, 0)
			b.End()
		}, func(m *nfnetlink.Message) bool {
			var p TimeoutPolicy
			if p, malformed = decodeTimeoutPolicy(m, true); malformed != nil {
				return false
			}
			stopped = !yield(p, nil)
			return !stopped
		})
		if malformed != nil {
			err = malformed
		}
		if err != nil && !stopped {
			yield(TimeoutPolicy{}, wrap(opListTimeouts, err))
		}
	}
}

// GetTimeoutPolicy returns the policy of that name, [ErrNotFound] if there is none.
func (c *Client) GetTimeoutPolicy(ctx context.Context, name string) (TimeoutPolicy, error) {
	p, err := c.timeoutAnswer(ctx, msgTimeoutGet, &TimeoutPolicy{Name: name}, true)
	return p, wrap(opGetTimeout, err)
}

// CreateTimeoutPolicy makes a policy, [ErrExists] if there is one of that name. States
// that p.Timeouts does not have get what is the default of the namespace now; nil Timeouts
// are refused with EINVAL. A protocol that the kernel does not track is
// [ErrNotSupported].
func (c *Client) CreateTimeoutPolicy(ctx context.Context, p *TimeoutPolicy) error {
	return wrap(opCreateTimeout, c.timeoutRequest(ctx, msgTimeoutNew, nfnetlink.Create|nfnetlink.Excl, p, nil))
}

// PutTimeoutPolicy makes a policy, or changes the timeouts of the one that there is, also
// for the flows that have it: states that p.Timeouts does not have go back to what is the
// default of the namespace now. It is EINVAL if that one is of another family or protocol.
func (c *Client) PutTimeoutPolicy(ctx context.Context, p *TimeoutPolicy) error {
	return wrap(opPutTimeout, c.timeoutRequest(ctx, msgTimeoutNew, nfnetlink.Create|nfnetlink.Replace, p, nil))
}

// DeleteTimeoutPolicy removes the policy of that name. It is [ErrNotFound] if there is
// none, and EBUSY if a rule refers to it. Flows that have it do not hold it back: they go
// on with the defaults.
//
// Linux 6.1 and 6.12 do not say EBUSY: they forget the name, and rules go on with the
// policy.
func (c *Client) DeleteTimeoutPolicy(ctx context.Context, name string) error {
	return wrap(opDeleteTimeout, c.timeoutRequest(ctx, msgTimeoutDelete, 0, &TimeoutPolicy{Name: name}, nil))
}

// FlushTimeoutPolicies removes the policies that no rule refers to.
func (c *Client) FlushTimeoutPolicies(ctx context.Context) error {
	return wrap(opFlushTimeouts, c.timeoutRequest(ctx, msgTimeoutDelete, 0, nil, nil))
}

// DefaultTimeouts returns the timeouts of flows that have no policy, by default those of
// the sysctls net.netfilter.nf_conntrack_<protocol>_timeout*. A protocol that the kernel
// does not track is [ErrNotSupported].
func (c *Client) DefaultTimeouts(ctx context.Context, p flow.Proto) (Timeouts, error) {
	answer, err := c.timeoutAnswer(ctx, msgTimeoutDefaultGet, &TimeoutPolicy{Family: flow.IPv4, Proto: p}, false)
	return answer.Timeouts, wrap(opDefaultTimeouts, err)
}

// SetDefaultTimeouts changes the timeouts of flows that have no policy, as the sysctls do,
// for both families. States that ts does not have keep theirs. UDP and UDP-Lite share
// theirs. A protocol that the kernel does not track is [ErrNotSupported].
func (c *Client) SetDefaultTimeouts(ctx context.Context, p flow.Proto, ts Timeouts) error {
	policy := TimeoutPolicy{Family: flow.IPv4, Proto: p, Timeouts: ts}
	return wrap(opSetTimeouts, c.timeoutRequest(ctx, msgTimeoutDefaultSet, 0, &policy, nil))
}

// timeoutAnswer carries out a request that is answered with a policy.
func (c *Client) timeoutAnswer(ctx context.Context, kind uint8, asked *TimeoutPolicy, named bool) (TimeoutPolicy, error) {
	var p TimeoutPolicy
	malformed := errNoTimeoutAnswer
	err := c.timeoutRequest(ctx, kind, 0, asked, func(m *nfnetlink.Message) { p, malformed = decodeTimeoutPolicy(m, named) })
	if err == nil {
		err = malformed
	}
	return p, err
}

// timeoutRequest carries out one request; a nil p is all policies.
func (c *Client) timeoutRequest(ctx context.Context, kind uint8, flags uint16, p *TimeoutPolicy, answer func(*nfnetlink.Message)) error {
	if p != nil {
		if err := checkName("timeout policy", p.Name, MaxTimeoutName); err != nil {
			return err
		}
		if err := p.Timeouts.check(p.Proto); err != nil {
			return err
		}
	}
	return c.roundTrip(ctx, func(b *nfnetlink.Builder, seq uint32) {
		b.Begin(nfnetlink.ConntrackTimeout, kind, flags|nfnetlink.Ack, seq, 0, 0)
		if p != nil {
			p.append(b, kind)
		}
		b.End()
	}, answer)
}

// append appends the attributes that a request of that kind has, in the usual order.
func (p *TimeoutPolicy) append(b *nfnetlink.Builder, kind uint8) {
	if kind == msgTimeoutNew || kind == msgTimeoutGet || kind == msgTimeoutDelete {
		b.Text(ctaTimeoutName, p.Name)
	}
	if kind == msgTimeoutGet || kind == msgTimeoutDelete {
		return
	}
	b.Uint16(ctaTimeoutFamily, uint16(p.Family))
	b.Uint8(ctaTimeoutProto, uint8(p.Proto))
	p.Timeouts.append(b)
}

var (
	errNoTimeoutName   = fmt.Errorf("%w: timeout policy without a name", nfnetlink.ErrMalformed)
	errNoTimeoutAnswer = fmt.Errorf("%w: no timeouts in the answer", nfnetlink.ErrMalformed)
)

// decodeTimeoutPolicy decodes a policy, which has a name, or defaults, which have none.
// Attributes that it does not know or that are too short are passed over; states that it
// does not know have their number.
func decodeTimeoutPolicy(m *nfnetlink.Message, named bool) (TimeoutPolicy, error) {
	var p TimeoutPolicy
	var data nfnetlink.Attrs
	have, haveData := false, false
	for a := m.Attrs(); a.Next(); {
		switch a.Type {
		case ctaTimeoutName:
			p.Name, have = a.String(), true
		case ctaTimeoutFamily:
			v, _ := a.Uint16()
			p.Family = flow.Family(v)
		case ctaTimeoutProto:
			v, _ := a.Uint8()
			p.Proto = flow.Proto(v)
		case ctaTimeoutUse:
			p.Use, _ = a.Uint32()
		case ctaTimeoutData:
			data, haveData = a.Nested(), true
		}
	}
	if named && !have {
		return TimeoutPolicy{}, errNoTimeoutName
	}
	if haveData { // whose numbers mean nothing before the protocol is known
		p.Timeouts = Timeouts{}
		for data.Next() {
			if v, ok := data.Uint32(); ok && data.Type >= 1 && data.Type <= 0xff {
				p.Timeouts[timeoutState(p.Proto, uint8(data.Type))] = time.Duration(v) * time.Second
			}
		}
	}
	return p, nil
}
