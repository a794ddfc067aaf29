package conntrack

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/nfnetlink"
)

// Limits of user-space helpers.
const (
	MaxHelperName    = 15  // bytes of a helper's or a class's name
	MaxHelperClasses = 4   // classes of expectations (NF_CT_MAX_EXPECT_CLASSES)
	MaxHelperPrivate = 32  // bytes of private data per flow
	MaxClassExpects  = 255 // expectations of one class per flow (NF_CT_EXPECT_MAX_CNT)
)

// HelperKey names registrations of a user-space helper. Name is always compared. With
// family [flow.AnyFamily] the family and the protocol are not; otherwise both are, so
// that the zero Proto is that of no helper.
type HelperKey struct {
	Name   string // "ftp", at most MaxHelperName bytes
	Family flow.Family
	Proto  flow.Proto
}

// UserHelper is a connection tracking helper that a program in user space provides, as
// the kernel lists it. Packets of the flows that have it are queued (NFQUEUE) to that
// program, which makes the expectations. Registrations are global: they belong to no
// network namespace.
type UserHelper struct {
	HelperKey
	// Queue is the number of the NFQUEUE, of which the kernel uses 16 bits. If nobody
	// listens there, packets pass.
	Queue uint32
	// Enabled: packets are queued. They pass without it.
	Enabled bool
	// PrivateLen is how many bytes of its own the helper keeps with each flow.
	PrivateLen uint32
	// Classes are the kinds of expectations that it makes, by class number.
	Classes []HelperClass
}

// HelperClass bounds the expectations of one class.
type HelperClass struct {
	Name string // at most MaxHelperName bytes
	// MaxExpects is how many expectations a flow may have at a time. The oldest makes room
	// for the next. 0 is MaxClassExpects, more is refused.
	MaxExpects uint32
	// Timeout is how long an expectation waits, in whole seconds: a part of a second is
	// cut off.
	Timeout time.Duration
}

// HelperChange says what [Client.PutHelper] sets. What is nil is left as it is; in a new
// registration the queue is then 0 and the helper disabled.
type HelperChange struct {
	Queue   *uint32
	Enabled *bool
	// PrivateLen can be chosen once, at most MaxHelperPrivate.
	PrivateLen *uint32
	// Classes are one to MaxHelperClasses. Their number and names can be chosen once.
	Classes []HelperClass
}

// Helpers streams the registered user-space helpers. The helpers that are part of the
// kernel are not among them.
//
// All operations on helpers need CAP_NET_ADMIN in the initial user namespace, and a
// kernel with the module nfnetlink_cthelper (CONFIG_NF_CT_NETLINK_HELPER, Linux 3.6). One
// without it refuses everything with EINVAL; here and for [Client.FlushHelpers], where
// that can mean nothing else, the error is [ErrNotSupported] too.
func (c *Client) Helpers(ctx context.Context) iter.Seq2[UserHelper, error] {
	return func(yield func(UserHelper, error) bool) {
		var malformed error
		stopped := false
		err := c.dump(ctx, func(b *nfnetlink.Builder, seq uint32) {
			b.Begin(nfnetlink.ConntrackHelper, msgHelperGet, nfnetlink.Dump, seq, 0, 0)
			b.End()
		}, func(m *nfnetlink.Message) bool {
			var h UserHelper
			if h, malformed = decodeHelper(m); malformed != nil {
				return false
			}
			stopped = !yield(h, nil)
			return !stopped
		})
		if malformed != nil {
			err = malformed
		}
		if err != nil && !stopped {
			yield(UserHelper{}, wrap(opListHelpers, err))
		}
	}
}

// GetHelper returns the registration that key names, the first one if there are
// several. It is [ErrNotFound] if there is none: the kernel says ENOENT to a name alone,
// and nothing at all if the family and protocol were asked for, too.
func (c *Client) GetHelper(ctx context.Context, key HelperKey) (UserHelper, error) {
	var h UserHelper
	malformed := ErrNotFound
	err := c.helperRequest(ctx, msgHelperGet, 0, &key, nil, func(m *nfnetlink.Message) { h, malformed = decodeHelper(m) })
	if err == nil {
		err = malformed
	}
	return h, wrap(opGetHelper, err)
}

// PutHelper registers a user-space helper, or changes the one that has the same name,
// family and protocol, none of which may be missing in key.
//
// A registration needs PrivateLen and Classes (else EINVAL); with more private data
// than the kernel has room for it is ENOMEM, with too many classes EOVERFLOW. Where the
// kernel has a helper of its own with that name and protocol it is EBUSY, in the newest
// kernels [ErrExists]: that one's module must be unloaded first. A change that would alter
// PrivateLen, or the number or names of the classes, is EBUSY, too.
func (c *Client) PutHelper(ctx context.Context, key HelperKey, ch HelperChange) error {
	return wrap(opPutHelper, c.helperRequest(ctx, msgHelperNew, nfnetlink.Create, &key, &ch, nil))
}

// DeleteHelper removes the registrations that key names, [ErrNotFound] if there are
// none; when no helper at all is registered the kernel reports success instead. One
// that a firewall rule refers to stays, which is EBUSY if nothing else was removed.
func (c *Client) DeleteHelper(ctx context.Context, key HelperKey) error {
	return wrap(opDeleteHelper, c.helperRequest(ctx, msgHelperDelete, 0, &key, nil, nil))
}

// FlushHelpers removes the registrations of all user-space helpers, those of other
// programs too. Those that firewall rules refer to stay, see [Client.DeleteHelper].
func (c *Client) FlushHelpers(ctx context.Context) error {
	return wrap(opFlushHelpers, c.helperRequest(ctx, msgHelperDelete, 0, nil, nil, nil))
}

// helperRequest carries out one request about the helpers that key names, nil for all.
func (c *Client) helperRequest(ctx context.Context, kind uint8, flags uint16, key *HelperKey, ch *HelperChange, answer func(*nfnetlink.Message)) error {
	if key != nil {
		if err := key.check(); err != nil {
			return err
		}
	}
	if ch != nil {
		if err := ch.check(); err != nil {
			return err
		}
	}
	return c.roundTrip(ctx, func(b *nfnetlink.Builder, seq uint32) {
		b.Begin(nfnetlink.ConntrackHelper, kind, flags|nfnetlink.Ack, seq, 0, 0)
		appendHelper(b, key, ch)
		b.End()
	}, answer)
}

func (k *HelperKey) check() error { return checkName("helper", k.Name, MaxHelperName) }

func (ch *HelperChange) check() error {
	// With more the kernel's answer would be about attributes it does not know.
	if len(ch.Classes) > MaxHelperClasses {
		return fmt.Errorf("%d classes: at most %d are possible", len(ch.Classes), MaxHelperClasses)
	}
	var errs []error
	for i := range ch.Classes {
		errs = append(errs, checkName("class", ch.Classes[i].Name, MaxHelperName))
	}
	return errors.Join(errs...)
}

// checkName refuses a name that the kernel would not take as it is.
func checkName(what, name string, limit int) error {
	if len(name) > limit {
		return fmt.Errorf("%s %q: the name has %d bytes, at most %d are possible", what, name, len(name), limit)
	}
	if strings.IndexByte(name, 0) >= 0 {
		return fmt.Errorf("%s %q: the name has a zero byte", what, name)
	}
	return nil
}

// appendHelper appends the attributes in the usual order.
func appendHelper(b *nfnetlink.Builder, key *HelperKey, ch *HelperChange) {
	if key == nil {
		return
	}
	if ch == nil {
		ch = &HelperChange{}
	}
	b.Text(helperName, key.Name)
	if ch.Queue != nil {
		b.Uint32(helperQueue, *ch.Queue)
	}
	if ch.PrivateLen != nil {
		b.Uint32(helperPrivateLen, *ch.PrivateLen)
	}
	if key.Family != flow.AnyFamily {
		at := b.Nest(helperTuple)
		b.Uint16(helperTupleFamily, uint16(key.Family))
		b.Uint8(helperTupleProto, uint8(key.Proto))
		b.Close(at)
	}
	if ch.Classes != nil {
		at := b.Nest(helperPolicy)
		for i := range ch.Classes {
			class := &ch.Classes[i]
			inner := b.Nest(helperPolicyFirst + uint16(i))
			b.Text(helperClassName, class.Name)
			b.Uint32(helperClassMax, class.MaxExpects)
			b.Uint32(helperClassTimeout, seconds(class.Timeout))
			b.Close(inner)
		}
		b.Uint32(helperPolicyCount, uint32(len(ch.Classes)))
		b.Close(at)
	}
	if ch.Enabled != nil {
		status := helperStatusDisabled
		if *ch.Enabled {
			status = helperStatusEnabled
		}
		b.Uint32(helperStatus, status)
	}
}

var errNoHelperName = fmt.Errorf("%w: helper without a name", nfnetlink.ErrMalformed)

// decodeHelper decodes a registration. Attributes that it does not know or that are too
// short are passed over.
func decodeHelper(m *nfnetlink.Message) (UserHelper, error) {
	var h UserHelper
	named := false
	for a := m.Attrs(); a.Next(); {
		switch a.Type {
		case helperName:
			h.Name, named = a.String(), true
		case helperTuple:
			for t := a.Nested(); t.Next(); {
				switch t.Type {
				case helperTupleFamily:
					v, _ := t.Uint16()
					h.Family = flow.Family(v)
				case helperTupleProto:
					v, _ := t.Uint8()
					h.Proto = flow.Proto(v)
				}
			}
		case helperQueue:
			h.Queue, _ = a.Uint32()
		case helperPolicy:
			h.Classes = decodeClasses(a.Nested())
		case helperPrivateLen:
			h.PrivateLen, _ = a.Uint32()
		case helperStatus:
			v, _ := a.Uint32()
			h.Enabled = v != helperStatusDisabled
		}
	}
	if !named {
		return UserHelper{}, errNoHelperName
	}
	return h, nil
}

// decodeClasses puts the classes in the order of their numbers, in whichever order they
// came.
func decodeClasses(a nfnetlink.Attrs) []HelperClass {
	var classes [MaxHelperClasses]HelperClass
	n := uint32(0)
	for a.Next() {
		switch {
		case a.Type == helperPolicyCount:
			n, _ = a.Uint32()
		case a.Type >= helperPolicyFirst && a.Type <= helperPolicyLast:
			class := HelperClass{}
			for p := a.Nested(); p.Next(); {
				switch p.Type {
				case helperClassName:
					class.Name = p.String()
				case helperClassMax:
					class.MaxExpects, _ = p.Uint32()
				case helperClassTimeout:
					v, _ := p.Uint32()
					class.Timeout = time.Duration(v) * time.Second
				}
			}
			classes[a.Type-helperPolicyFirst] = class
		}
	}
	if n == 0 {
		return nil
	}
	return append([]HelperClass(nil), classes[:min(n, MaxHelperClasses)]...)
}
