//go:build linux

package conntrack

import (
	"bytes"
	"encoding/hex"
	"errors"
	"reflect"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/nfnetlink"
	"github.com/spoor-project/spoor/internal/nfnetlink/nfnetlinktest"
)

var (
	ftpKey    = HelperKey{Name: "ftp", Family: flow.IPv4, Proto: flow.TCP}
	ftpChange = HelperChange{PrivateLen: new(uint32(24)), Classes: []HelperClass{{Name: "ftp", MaxExpects: 1, Timeout: 300 * time.Second}}}
)

// The bytes are those that the tool of the original suite sends.
func TestHelperRequestsAreWrittenAsUsual(t *testing.T) {
	const (
		nameFTP  = "08000100 66747000"
		tuple    = "14000280 06000100 00020000 05000200 06000000"
		private  = "08000500 00000018"
		class    = "1c000280 08000100 66747000 08000200 00000001 08000300 0000012c"
		policy   = "28000480" + class + "08000100 00000001"
		disabled = "08000600 00000000"
		enabled  = "08000600 00000001"
		queue7   = "08000300 00000007"
		tupleNo4 = "14000280 06000100 00020000 05000200 00000000"
	)
	const ack = nfnetlink.Request | nfnetlink.Ack
	tests := []struct {
		name  string
		do    func(*Client) error
		typ   uint16
		flags uint16
		attrs string
	}{
		{"register", func(c *Client) error { return c.PutHelper(t.Context(), ftpKey, ftpChange) },
			0x0900, ack | nfnetlink.Create, nameFTP + private + tuple + policy},
		{"disable", func(c *Client) error { return c.PutHelper(t.Context(), ftpKey, HelperChange{Enabled: new(false)}) },
			0x0900, ack | nfnetlink.Create, nameFTP + tuple + disabled},
		{"enable", func(c *Client) error {
			return c.PutHelper(t.Context(), ftpKey, HelperChange{Enabled: new(true), Queue: new(uint32(7))})
		}, 0x0900, ack | nfnetlink.Create, nameFTP + queue7 + tuple + enabled},
		{"get by name", func(c *Client) error { _, err := c.GetHelper(t.Context(), HelperKey{Name: "ftp"}); return err },
			0x0901, ack, nameFTP},
		{"get", func(c *Client) error { _, err := c.GetHelper(t.Context(), ftpKey); return err }, 0x0901, ack, nameFTP + tuple},
		{"a family without a protocol", func(c *Client) error {
			return c.DeleteHelper(t.Context(), HelperKey{Name: "ftp", Family: flow.IPv4})
		}, 0x0902, ack, nameFTP + tupleNo4},
		{"a protocol without a family", func(c *Client) error {
			return c.DeleteHelper(t.Context(), HelperKey{Name: "ftp", Proto: flow.TCP})
		}, 0x0902, ack, nameFTP},
		{"an empty name is a name", func(c *Client) error { return c.DeleteHelper(t.Context(), HelperKey{}) },
			0x0902, ack, "05000100 00000000"},
		{"flush", func(c *Client) error { return c.FlushHelpers(t.Context()) }, 0x0902, ack, ""},
	}
	for _, tt := range tests {
		var sent recorder
		c := fakeClient(t, sent.handle(func(r *nfnetlinktest.Request) [][]byte {
			return r.Acked(r.Data(msgHelperNew, 0, helperBody(&UserHelper{HelperKey: ftpKey})))
		}))
		if err := tt.do(c); err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		want, err := hex.DecodeString(strings.ReplaceAll(tt.attrs, " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		r := sent.take()[0]
		if r.Type != tt.typ || r.Flags != tt.flags || !bytes.Equal(r.Payload, append([]byte{0, 0, 0, 0}, want...)) {
			t.Errorf("%s: type %#x, flags %#x, %x, want %#x, %#x, %x", tt.name, r.Type, r.Flags, r.Payload, tt.typ, tt.flags, want)
		}
	}
}

func TestHelpersAreChecked(t *testing.T) {
	var sent recorder
	c := fakeClient(t, sent.handle(succeed))
	long := strings.Repeat("x", MaxHelperName+1)
	for name, err := range map[string]error{
		"long name":       c.PutHelper(t.Context(), HelperKey{Name: long}, HelperChange{}),
		"zero byte":       c.DeleteHelper(t.Context(), HelperKey{Name: "a\x00b"}),
		"long class name": c.PutHelper(t.Context(), ftpKey, HelperChange{Classes: []HelperClass{{Name: long}}}),
		"five classes":    c.PutHelper(t.Context(), ftpKey, HelperChange{Classes: make([]HelperClass, 5)}),
	} {
		var opErr *OpError
		if !errors.As(err, &opErr) {
			t.Errorf("%s: %v, want an OpError", name, err)
		}
	}
	if all := sent.take(); len(all) > 0 {
		t.Errorf("%d requests were sent", len(all))
	}
}

// A kernel that does not know the subsystem can be told from one that refuses.
func TestAKernelWithoutHelpersIsRecognised(t *testing.T) {
	c := fakeClient(t, func(r *nfnetlinktest.Request) [][]byte { return [][]byte{r.Error(syscall.EINVAL)} })
	for op, want := range map[string]bool{opListHelpers: true, opFlushHelpers: true, opGetHelper: false, opPutHelper: false, opDeleteHelper: false} {
		if err := operations[op](t.Context(), c); errors.Is(err, ErrNotSupported) != want || !errors.Is(err, syscall.EINVAL) {
			t.Errorf("%s: %v is %v: %v, want %v", op, err, ErrNotSupported, !want, want)
		}
	}
}

// helperBody is a registration as the kernel tells it.
func helperBody(h *UserHelper) nfnetlinktest.Body {
	return nfnetlinktest.NewBody(0, func(b *nfnetlink.Builder) {
		b.Text(helperName, h.Name)
		b.Uint32(helperQueue, h.Queue)
		at := b.Nest(helperTuple)
		b.Uint16(helperTupleFamily, uint16(h.Family))
		b.Uint8(helperTupleProto, uint8(h.Proto))
		b.Close(at)
		at = b.Nest(helperPolicy)
		b.Uint32(helperPolicyCount, uint32(len(h.Classes)))
		for i, class := range h.Classes {
			inner := b.Nest(helperPolicyFirst + uint16(i))
			b.Text(helperClassName, class.Name)
			b.Uint32(helperClassMax, class.MaxExpects)
			b.Uint32(helperClassTimeout, seconds(class.Timeout))
			b.Close(inner)
		}
		b.Close(at)
		b.Uint32(helperPrivateLen, h.PrivateLen)
		status := helperStatusDisabled
		if h.Enabled {
			status = helperStatusEnabled
		}
		b.Uint32(helperStatus, status)
	})
}

// helperKernel keeps user-space helpers as the kernel does.
type helperKernel struct {
	mu    sync.Mutex // guards what follows: the kernel answers on a goroutine of its own
	all   []UserHelper
	inUse map[HelperKey]bool // a firewall rule refers to it
	own   map[HelperKey]bool // the kernel has it itself
}

func (k *helperKernel) handle(r *nfnetlinktest.Request) [][]byte {
	k.mu.Lock()
	defer k.mu.Unlock()
	if r.Subsystem() != nfnetlink.ConntrackHelper {
		return [][]byte{r.Error(syscall.EINVAL)}
	}
	attrs := attrsOf(r.Attrs())
	name, named := attrs[helperName]
	tuple, full := attrs[helperTuple]
	key := HelperKey{Name: name.String()}
	for t := tuple.Nested(); t.Next(); {
		switch t.Type {
		case helperTupleFamily:
			v, _ := t.Uint16()
			key.Family = flow.Family(v)
		case helperTupleProto:
			v, _ := t.Uint8()
			key.Proto = flow.Proto(v)
		}
	}
	selected := func(h *UserHelper) bool {
		return (!named || h.Name == key.Name) && (!full || h.Family == key.Family && h.Proto == key.Proto)
	}
	switch r.Kind() {
	case msgHelperNew:
		if !named || !full {
			return [][]byte{r.Error(syscall.EINVAL)}
		}
		return [][]byte{r.Error(k.put(key, attrs))}
	case msgHelperGet:
		var bodies []nfnetlinktest.Body
		for i := range k.all {
			if dump := r.Flags&nfnetlink.Dump == nfnetlink.Dump; dump || selected(&k.all[i]) {
				bodies = append(bodies, helperBody(&k.all[i]))
			}
		}
		if r.Flags&nfnetlink.Dump == nfnetlink.Dump {
			return r.Multipart(msgHelperNew, 2, bodies...)
		}
		switch {
		case len(bodies) == 0 && full:
			return r.Acked() // sic
		case len(bodies) == 0:
			return [][]byte{r.Error(syscall.ENOENT)}
		}
		return r.Acked(r.Data(msgHelperNew, 0, bodies[0]))
	case msgHelperDelete:
		errno, found, before := syscall.ENOENT, false, len(k.all)
		k.all = slices.DeleteFunc(k.all, func(h UserHelper) bool {
			switch {
			case !selected(&h):
				return false
			case k.inUse[h.HelperKey]:
				errno = syscall.EBUSY
				return false
			}
			found = true
			return true
		})
		if found || before == 0 {
			errno = 0
		}
		return [][]byte{r.Error(errno)}
	}
	return [][]byte{r.Error(syscall.EINVAL)}
}

// use has a firewall rule refer to a helper, or not any more.
func (k *helperKernel) use(key HelperKey, used bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.inUse[key] = used
}

func (k *helperKernel) put(key HelperKey, attrs map[uint16]nfnetlink.Attrs) syscall.Errno {
	policy, withPolicy := attrs[helperPolicy]
	private, withPrivate := attrs[helperPrivateLen]
	classes := decodeClasses(policy.Nested())
	size, _ := private.Uint32()
	at := slices.IndexFunc(k.all, func(h UserHelper) bool { return h.HelperKey == key })
	switch {
	case at < 0 && (!withPolicy || !withPrivate || len(classes) == 0):
		return syscall.EINVAL
	case at < 0 && size > MaxHelperPrivate:
		return syscall.ENOMEM
	case at < 0 && k.own[key]:
		return syscall.EEXIST
	case at >= 0 && withPrivate && size != k.all[at].PrivateLen:
		return syscall.EBUSY
	case at >= 0 && withPolicy && !slices.EqualFunc(classes, k.all[at].Classes, func(a, b HelperClass) bool { return a.Name == b.Name }):
		return syscall.EBUSY
	case at < 0:
		k.all = append(k.all, UserHelper{HelperKey: key, PrivateLen: size})
		at = len(k.all) - 1
	}
	h := &k.all[at]
	if withPolicy {
		h.Classes = classes
	}
	if a, ok := attrs[helperQueue]; ok {
		h.Queue, _ = a.Uint32()
	}
	if a, ok := attrs[helperStatus]; ok {
		v, _ := a.Uint32()
		h.Enabled = v == helperStatusEnabled
	}
	return 0
}

func TestHelpersLiveInTheKernel(t *testing.T) {
	ctx := t.Context()
	k := &helperKernel{inUse: map[HelperKey]bool{}, own: map[HelperKey]bool{{"sip", flow.IPv4, flow.UDP}: true}}
	c := fakeClient(t, k.handle)
	list := func() (all []UserHelper) {
		for h, err := range c.Helpers(ctx) {
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, h)
		}
		return all
	}
	want := func(what string, err error, errno error) {
		t.Helper()
		if !errors.Is(err, errno) {
			t.Errorf("%s: %v, want %v", what, err, errno)
		}
	}
	if all := list(); all != nil {
		t.Errorf("an empty list has %v", all)
	}
	want("delete from an empty list", c.DeleteHelper(ctx, ftpKey), nil)
	want("change what is not there", c.PutHelper(ctx, ftpKey, HelperChange{Enabled: new(false)}), syscall.EINVAL)
	want("register without a family", c.PutHelper(ctx, HelperKey{Name: "ftp"}, ftpChange), syscall.EINVAL)
	want("much private data", c.PutHelper(ctx, ftpKey, HelperChange{PrivateLen: new(uint32(33)), Classes: ftpChange.Classes}), syscall.ENOMEM)
	want("the kernel's own", c.PutHelper(ctx, HelperKey{"sip", flow.IPv4, flow.UDP}, ftpChange), ErrExists)

	want("register", c.PutHelper(ctx, ftpKey, ftpChange), nil)
	ftp6 := HelperKey{"ftp", flow.IPv6, flow.TCP}
	want("register another", c.PutHelper(ctx, ftp6, ftpChange), nil)
	ftp := UserHelper{HelperKey: ftpKey, PrivateLen: 24, Classes: ftpChange.Classes}
	if got := list(); len(got) != 2 || !reflect.DeepEqual(got[0], ftp) || got[1].HelperKey != ftp6 {
		t.Errorf("listed %+v", got)
	}
	want("enable", c.PutHelper(ctx, ftpKey, HelperChange{Enabled: new(true), Queue: new(uint32(3))}), nil)
	ftp.Enabled, ftp.Queue = true, 3
	want("other private data", c.PutHelper(ctx, ftpKey, HelperChange{PrivateLen: new(uint32(1))}), syscall.EBUSY)
	want("other classes", c.PutHelper(ctx, ftpKey, HelperChange{Classes: []HelperClass{{Name: "x"}}}), syscall.EBUSY)
	if got, err := c.GetHelper(ctx, ftpKey); err != nil || !reflect.DeepEqual(got, ftp) {
		t.Errorf("got %+v, %v, want %+v", got, err, ftp)
	}
	if got, err := c.GetHelper(ctx, HelperKey{Name: "ftp"}); err != nil || got.HelperKey != ftpKey {
		t.Errorf("by name: %+v, %v, want the first", got, err)
	}
	_, err := c.GetHelper(ctx, HelperKey{Name: "ftp", Family: flow.IPv4})
	want("get without a protocol", err, ErrNotFound)
	_, err = c.GetHelper(ctx, HelperKey{Name: "x"})
	want("get another name", err, syscall.ENOENT)
	want("delete another name", c.DeleteHelper(ctx, HelperKey{Name: "x"}), ErrNotFound)
	k.use(ftpKey, true)
	want("delete what is in use", c.DeleteHelper(ctx, ftpKey), syscall.EBUSY)
	want("flush", c.FlushHelpers(ctx), nil)
	if got := list(); len(got) != 1 || got[0].HelperKey != ftpKey {
		t.Errorf("left after the flush: %+v, want that in use", got)
	}
	k.use(ftpKey, false)
	want("delete", c.DeleteHelper(ctx, HelperKey{Name: "ftp"}), nil)
	if got := list(); got != nil {
		t.Errorf("left: %+v", got)
	}
}

func TestClassesAreOrderedByNumber(t *testing.T) {
	body := nfnetlinktest.NewBody(0, func(b *nfnetlink.Builder) {
		at := b.Nest(helperPolicy)
		for _, i := range []uint16{1, 0} {
			inner := b.Nest(helperPolicyFirst + i)
			b.Text(helperClassName, string('a'+rune(i)))
			b.Close(inner)
		}
		b.Uint32(helperPolicyCount, 2)
		b.Close(at)
		b.Text(helperName, "x")
	})
	h, err := decodeHelper(&nfnetlink.Message{Payload: body})
	if want := []HelperClass{{Name: "a"}, {Name: "b"}}; err != nil || !reflect.DeepEqual(h.Classes, want) {
		t.Errorf("%+v, %v, want the classes %+v", h, err, want)
	}
	if _, err := decodeHelper(&nfnetlink.Message{Payload: []byte{0, 0, 0, 0}}); !errors.Is(err, nfnetlink.ErrMalformed) {
		t.Errorf("no attributes: %v, want %v", err, nfnetlink.ErrMalformed)
	}
}

// FuzzDecodeHelper states the laws: any bytes will do, and what was understood says the
// same when it is written and read again.
func FuzzDecodeHelper(f *testing.F) {
	ftp := UserHelper{HelperKey: ftpKey, Queue: 7, Enabled: true, PrivateLen: 24, Classes: ftpChange.Classes}
	body := helperBody(&ftp)[4:]
	f.Add([]byte(body))
	f.Add([]byte(body[:len(body)*2/3]))
	f.Add([]byte{})
	f.Add([]byte{4, 0, 1, 0})
	f.Fuzz(func(t *testing.T, attrs []byte) {
		h, err := decodeHelper(&nfnetlink.Message{Type: 0x0900, Payload: append([]byte{0, 0, 0, 0}, attrs...)})
		if err != nil {
			return
		}
		if len(h.Classes) > MaxHelperClasses {
			t.Fatalf("%d classes", len(h.Classes))
		}
		again, err := decodeHelper(&nfnetlink.Message{Type: 0x0900, Payload: helperBody(&h)})
		if err != nil || !reflect.DeepEqual(again, h) {
			t.Errorf("written and read again: %+v, %v, want %+v", again, err, h)
		}
	})
}
