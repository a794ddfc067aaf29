package nfctcli

import (
	"context"
	"iter"
	"maps"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spoor-project/spoor/conntrack"
	"github.com/spoor-project/spoor/flow"
)

// fakeKernel keeps what it is told, by the kernel's rules. It has timeouts of UDP, and of
// SCTP with a state that the program does not know.
type fakeKernel struct {
	policies []conntrack.TimeoutPolicy
	defaults map[flow.Proto]conntrack.Timeouts
	helpers  []conntrack.UserHelper
	inUse    map[string]bool // names of what rules refer to
	own      syscall.Errno   // what it says about a helper that it has itself, 0 if it has none
	fails    error           // what it says to everything
	closed   int
}

func newFakeKernel() *fakeKernel {
	return &fakeKernel{inUse: map[string]bool{}, defaults: map[flow.Proto]conntrack.Timeouts{
		flow.UDP: {conntrack.UDPTimeoutUnreplied: 30 * time.Second, conntrack.UDPTimeoutReplied: 120 * time.Second},
		flow.SCTP: {conntrack.SCTPTimeoutClosed: 10 * time.Second, conntrack.SCTPTimeoutEstablished: 210 * time.Second,
			conntrack.SCTPTimeoutHeartbeatSent: 30 * time.Second},
	}}
}

func (k *fakeKernel) Close() error { k.closed++; return nil }

func all[T any](items []T, err error) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for _, item := range items {
			if !yield(item, nil) {
				return
			}
		}
		if err != nil {
			var zero T
			yield(zero, err)
		}
	}
}

func (k *fakeKernel) TimeoutPolicies(context.Context) iter.Seq2[conntrack.TimeoutPolicy, error] {
	return all(k.policies, k.fails)
}

func (k *fakeKernel) policy(name string) int {
	return slices.IndexFunc(k.policies, func(p conntrack.TimeoutPolicy) bool { return p.Name == name })
}

func (k *fakeKernel) GetTimeoutPolicy(_ context.Context, name string) (conntrack.TimeoutPolicy, error) {
	at := k.policy(name)
	if at < 0 || k.fails != nil {
		return conntrack.TimeoutPolicy{}, errorOr(k.fails, syscall.ENOENT)
	}
	return k.policies[at], nil
}

func errorOr(err error, errno syscall.Errno) error {
	if err != nil {
		return err
	}
	if errno == 0 {
		return nil
	}
	return &conntrack.OpError{Op: "test", Err: errno}
}

func (k *fakeKernel) CreateTimeoutPolicy(_ context.Context, p *conntrack.TimeoutPolicy) error {
	defaults, ok := k.defaults[p.Proto]
	switch {
	case k.fails != nil || p.Timeouts == nil:
		return errorOr(k.fails, syscall.EINVAL)
	case k.policy(p.Name) >= 0:
		return errorOr(nil, syscall.EEXIST)
	case !ok:
		return errorOr(nil, syscall.EOPNOTSUPP)
	}
	made := *p
	made.Timeouts, made.Use = maps.Clone(defaults), 1
	maps.Copy(made.Timeouts, p.Timeouts)
	k.policies = append(k.policies, made)
	return nil
}

func (k *fakeKernel) DeleteTimeoutPolicy(_ context.Context, name string) error {
	at := k.policy(name)
	switch {
	case k.fails != nil || at < 0:
		return errorOr(k.fails, syscall.ENOENT)
	case k.inUse[name]:
		return errorOr(nil, syscall.EBUSY)
	}
	k.policies = slices.Delete(k.policies, at, at+1)
	return nil
}

func (k *fakeKernel) FlushTimeoutPolicies(context.Context) error {
	k.policies = slices.DeleteFunc(k.policies, func(p conntrack.TimeoutPolicy) bool { return !k.inUse[p.Name] })
	return k.fails
}

func (k *fakeKernel) DefaultTimeouts(_ context.Context, p flow.Proto) (conntrack.Timeouts, error) {
	if k.fails != nil || k.defaults[p] == nil {
		return nil, errorOr(k.fails, syscall.EOPNOTSUPP)
	}
	return k.defaults[p], nil
}

func (k *fakeKernel) SetDefaultTimeouts(_ context.Context, p flow.Proto, ts conntrack.Timeouts) error {
	if k.fails != nil || k.defaults[p] == nil {
		return errorOr(k.fails, syscall.EOPNOTSUPP)
	}
	maps.Copy(k.defaults[p], ts)
	return nil
}

func (k *fakeKernel) Helpers(context.Context) iter.Seq2[conntrack.UserHelper, error] {
	return all(k.helpers, k.fails)
}

func selects(key conntrack.HelperKey, h *conntrack.UserHelper) bool {
	return key.Name == h.Name && (key.Family == flow.AnyFamily || key == h.HelperKey)
}

func (k *fakeKernel) GetHelper(_ context.Context, key conntrack.HelperKey) (conntrack.UserHelper, error) {
	for i := range k.helpers {
		if k.fails == nil && selects(key, &k.helpers[i]) {
			return k.helpers[i], nil
		}
	}
	if k.fails == nil && key.Family != flow.AnyFamily {
		return conntrack.UserHelper{}, conntrack.ErrNotFound // the kernel acknowledges, and answers nothing
	}
	return conntrack.UserHelper{}, errorOr(k.fails, syscall.ENOENT)
}

func (k *fakeKernel) PutHelper(_ context.Context, key conntrack.HelperKey, ch conntrack.HelperChange) error {
	at := slices.IndexFunc(k.helpers, func(h conntrack.UserHelper) bool { return h.HelperKey == key })
	switch {
	case k.fails != nil || at < 0 && (ch.Classes == nil || ch.PrivateLen == nil):
		return errorOr(k.fails, syscall.EINVAL)
	case at < 0 && k.own != 0:
		return errorOr(nil, k.own)
	case at < 0:
		k.helpers = append(k.helpers, conntrack.UserHelper{HelperKey: key, PrivateLen: *ch.PrivateLen})
		at = len(k.helpers) - 1
	case ch.PrivateLen != nil && *ch.PrivateLen != k.helpers[at].PrivateLen:
		return errorOr(nil, syscall.EBUSY)
	}
	if ch.Classes != nil {
		k.helpers[at].Classes = ch.Classes
	}
	if ch.Enabled != nil {
		k.helpers[at].Enabled = *ch.Enabled
	}
	return nil
}

func (k *fakeKernel) DeleteHelper(_ context.Context, key conntrack.HelperKey) error {
	if k.fails != nil || len(k.helpers) == 0 {
		return k.fails
	}
	errno := syscall.ENOENT
	before := len(k.helpers)
	k.helpers = slices.DeleteFunc(k.helpers, func(h conntrack.UserHelper) bool {
		if !selects(key, &h) {
			return false
		}
		if k.inUse[h.Name] {
			errno = syscall.EBUSY
		}
		return !k.inUse[h.Name]
	})
	if len(k.helpers) < before {
		errno = 0
	}
	return errorOr(nil, errno)
}

func (k *fakeKernel) FlushHelpers(context.Context) error {
	k.helpers = slices.DeleteFunc(k.helpers, func(h conntrack.UserHelper) bool { return !k.inUse[h.Name] })
	return k.fails
}

// result is what can be observed of a command line.
type result struct {
	stdout, stderr string
	exit           int
}

// run carries out a command line, its words separated by single blanks.
func (k *fakeKernel) run(t testing.TB, line string) result {
	t.Helper()
	return k.main(t, strings.Split(line, " ")...)
}

func (k *fakeKernel) main(t testing.TB, args ...string) result {
	t.Helper()
	var stdout, stderr strings.Builder
	opened := 0
	code := Main(args, &Env{Stdout: &stdout, Stderr: &stderr, Protocols: "testdata/protocols",
		dial: func() (kernel, error) { opened++; return k, nil }})
	if k.closed != opened {
		t.Errorf("%q: opened %d times, closed %d times", args, opened, k.closed)
	}
	k.closed = 0
	return result{stdout.String(), stderr.String(), code}
}

func timeoutOf(seconds uint32) time.Duration { return time.Duration(seconds) * time.Second }
