package nfctcli

import (
	"context"
	"errors"
	"strconv"
	"syscall"
	"time"

	"github.com/spoor-project/spoor/conntrack"
	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/libc"
)

func (x *executor) listTimeouts(args []string) error {
	if len(args) > 0 {
		return x.fail(tooMany)
	}
	var list [][]byte
	for p, err := range x.kernel.TimeoutPolicies(context.Background()) {
		if err != nil {
			return refused(err)
		}
		if x.json {
			list = append(list, appendPolicyJSON(nil, &p, true))
		} else {
			x.out = appendPolicy(x.out, &p, true)
		}
	}
	if x.json {
		x.out = appendArray(x.out, list)
	}
	return nil
}

func (x *executor) getTimeout(args []string) error {
	name, err := x.policyName(args)
	if err != nil {
		return err
	}
	p, err := x.kernel.GetTimeoutPolicy(context.Background(), name)
	if err != nil {
		return refused(err)
	}
	x.showPolicy(&p, true)
	return nil
}

func (x *executor) deleteTimeout(args []string) error {
	name, err := x.policyName(args)
	if err != nil {
		return err
	}
	return refused(x.kernel.DeleteTimeoutPolicy(context.Background(), name))
}

func (x *executor) flushTimeouts(args []string) error {
	if len(args) > 0 {
		return x.fail(tooMany)
	}
	return refused(x.kernel.FlushTimeoutPolicies(context.Background()))
}

func (x *executor) addTimeout(args []string) error {
	if len(args) < 3 {
		return x.missing("add timeout name family protocol state1 timeout1 ...")
	}
	p := conntrack.TimeoutPolicy{Name: cut(args[0], conntrack.MaxTimeoutName)}
	var err error
	if p.Family, p.Proto, p.Timeouts, err = x.timeouts(args[1], args[2], args[3:]); err != nil {
		return err
	}
	err = x.kernel.CreateTimeoutPolicy(context.Background(), &p)
	if errors.Is(err, conntrack.ErrExists) {
		err = syscall.EBUSY // the kernel's word to those who do not insist on a new one
	}
	return refused(err)
}

func (x *executor) setDefaults(args []string) error {
	if len(args) < 3 {
		return x.missing("default-set timeout family protocol state1 timeout1...")
	}
	_, proto, timeouts, err := x.timeouts(args[0], args[1], args[2:])
	if err != nil {
		return err
	}
	return refused(x.kernel.SetDefaultTimeouts(context.Background(), proto, timeouts))
}

// getDefaults ignores what stands behind its two arguments.
func (x *executor) getDefaults(args []string) error {
	if len(args) < 2 {
		return x.missing("default-get timeout family protocol")
	}
	family, number, err := x.protocols(args[0], args[1])
	if err != nil {
		return err
	}
	p := conntrack.TimeoutPolicy{Family: family, Proto: flow.Proto(number)}
	if p.Timeouts, err = x.kernel.DefaultTimeouts(context.Background(), p.Proto); err != nil {
		return refused(err)
	}
	x.showPolicy(&p, false)
	return nil
}

func (x *executor) policyName(args []string) (string, error) {
	switch len(args) {
	case 0:
		return "", x.fail(noPolicy)
	case 1:
		return cut(args[0], conntrack.MaxTimeoutName), nil
	}
	return "", x.fail(tooMany)
}

// cut is the beginning of a name, as long as the kernel takes it.
func cut(name string, limit int) string { return name[:min(len(name), limit)] }

// timeouts reads a family, a protocol, and pairs of a state and its timeout, nil if there
// are none.
func (x *executor) timeouts(familyWord, protoWord string, pairs []string) (flow.Family, flow.Proto, conntrack.Timeouts, error) {
	family, number, err := x.protocols(familyWord, protoWord)
	if err != nil {
		return 0, 0, nil, err
	}
	var timeouts conntrack.Timeouts
	for ; len(pairs) >= 2; pairs = pairs[2:] {
		state, ok := stateOf(number, pairs[0])
		if !ok {
			return 0, 0, nil, failf("Wrong state name: `%s' for protocol `%s'", pairs[0], protoWord)
		}
		if timeouts == nil {
			timeouts = conntrack.Timeouts{}
		}
		timeouts[state] = time.Duration(uint32(libc.Atoi(pairs[1]))) * time.Second
	}
	if len(pairs) > 0 {
		return 0, 0, nil, x.fail(noValue)
	}
	return family, flow.Proto(number), timeouts, nil
}

// protocols reads a family and a protocol. The number may be larger than the kernel's
// field, which takes its low bits.
func (x *executor) protocols(familyWord, protoWord string) (flow.Family, int, error) {
	family, ok := familyOf(familyWord)
	if !ok {
		return 0, 0, x.fail(badFamily)
	}
	names, err := libc.ReadProtocols(x.env.Protocols)
	number, ok := names.Number(protoWord)
	if !ok {
		errors.As(err, &x.stale)
		if number, ok = ownProtocols[protoWord]; !ok {
			return 0, 0, x.fail(badProto)
		}
	}
	return family, number, nil
}

// ownProtocols are known without the file.
var ownProtocols = map[string]int{"icmpv6": int(flow.ICMPv6), "generic": int(conntrack.Generic)}

func familyOf(word string) (flow.Family, bool) {
	switch word {
	case "inet":
		return flow.IPv4, true
	case "inet6":
		return flow.IPv6, true
	}
	return 0, false
}

// states are those of a protocol that the program knows: not SCTP's that came later.
func states(p flow.Proto) []conntrack.TimeoutState {
	all := conntrack.TimeoutStates(p)
	if p == flow.SCTP {
		all = all[:conntrack.SCTPTimeoutShutdownAckSent&0xff]
	}
	return all
}

func stateOf(number int, word string) (conntrack.TimeoutState, bool) {
	if number > 0xff {
		return 0, false
	}
	s, ok := conntrack.ParseTimeoutState(flow.Proto(number), word)
	return s, ok && s <= states(flow.Proto(number))[len(states(flow.Proto(number)))-1]
}

// showPolicy prints a policy, or defaults, which have no name.
func (x *executor) showPolicy(p *conntrack.TimeoutPolicy, named bool) {
	if x.json {
		x.out = append(appendPolicyJSON(x.out, p, named), '\n')
	} else {
		x.out = appendPolicy(x.out, p, named)
	}
}

func appendPolicy(b []byte, p *conntrack.TimeoutPolicy, named bool) []byte {
	if named {
		b = append(append(append(b, '.'), p.Name...), " = {\n"...)
	}
	b = appendNumber(b, "\t.l3proto = ", uint64(p.Family))
	b = appendNumber(b, "\t.l4proto = ", uint64(p.Proto))
	if p.Timeouts != nil {
		b = append(b, "\t.policy = {\n"...)
		for _, s := range states(p.Proto) {
			b = appendNumber(b, "\t\t."+s.String()+" = ", seconds(p.Timeouts[s]))
		}
		b = append(b, "\t},\n"...)
	}
	return append(b, "};\n"...)
}

func appendNumber(b []byte, label string, n uint64) []byte {
	return append(strconv.AppendUint(append(b, label...), n, 10), ",\n"...)
}

func seconds(d time.Duration) uint64 { return uint64(d / time.Second) }
