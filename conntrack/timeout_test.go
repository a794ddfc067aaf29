//go:build linux

package conntrack

import (
	"bytes"
	"encoding/hex"
	"errors"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/nfnetlink"
	"github.com/spoor-project/spoor/internal/nfnetlink/nfnetlinktest"
)

var webPolicy = TimeoutPolicy{Name: "tcp1", Family: flow.IPv4, Proto: flow.TCP, Timeouts: Timeouts{
	TCPTimeoutClose: 10 * time.Second, TCPTimeoutEstablished: 100 * time.Second}}

// The bytes are those that the tool of the original suite sends.
func TestTimeoutRequestsAreWrittenAsUsual(t *testing.T) {
	const (
		name   = "09000100 74637031 00000000"
		family = "06000200 00020000"
		tcp    = "05000300 06000000"
		udp    = "05000300 11000000"
		data   = "14000480 08000300 00000064 08000800 0000000a"
		all    = "0c000480 08000100 ffffffff"
		ack    = nfnetlink.Request | nfnetlink.Ack
	)
	none, empty := webPolicy, webPolicy
	none.Timeouts, empty.Timeouts = nil, Timeouts{}
	tests := []struct {
		name  string
		do    func(*Client) error
		typ   uint16
		flags uint16
		attrs string
	}{
		{"create", func(c *Client) error { return c.CreateTimeoutPolicy(t.Context(), &webPolicy) },
			0x0800, ack | nfnetlink.Create | nfnetlink.Excl, name + family + tcp + data},
		{"put", func(c *Client) error { return c.PutTimeoutPolicy(t.Context(), &webPolicy) },
			0x0800, ack | nfnetlink.Create | nfnetlink.Replace, name + family + tcp + data},
		{"create of nothing", func(c *Client) error { return c.CreateTimeoutPolicy(t.Context(), &none) },
			0x0800, ack | nfnetlink.Create | nfnetlink.Excl, name + family + tcp},
		{"create of the defaults", func(c *Client) error { return c.CreateTimeoutPolicy(t.Context(), &empty) },
			0x0800, ack | nfnetlink.Create | nfnetlink.Excl, name + family + tcp + "04000480"},
		{"get", func(c *Client) error { _, err := c.GetTimeoutPolicy(t.Context(), "tcp1"); return err }, 0x0801, ack, name},
		{"delete", func(c *Client) error { return c.DeleteTimeoutPolicy(t.Context(), "tcp1") }, 0x0802, ack, name},
		{"an empty name is a name", func(c *Client) error { return c.DeleteTimeoutPolicy(t.Context(), "") },
			0x0802, ack, "05000100 00000000"},
		{"flush", func(c *Client) error { return c.FlushTimeoutPolicies(t.Context()) }, 0x0802, ack, ""},
		{"set defaults", func(c *Client) error {
			return c.SetDefaultTimeouts(t.Context(), flow.UDP, Timeouts{UDPTimeoutUnreplied: maxTimeout})
		}, 0x0803, ack, family + udp + all},
		{"get defaults", func(c *Client) error { _, err := c.DefaultTimeouts(t.Context(), flow.TCP); return err },
			0x0804, ack, family + tcp},
	}
	for _, tt := range tests {
		var sent recorder
		c := fakeClient(t, sent.handle(func(r *nfnetlinktest.Request) [][]byte {
			return r.Acked(r.Data(msgTimeoutNew, 0, policyBody(&webPolicy, true)))
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

// policyBody is a policy, or defaults, as the kernel tells it.
func policyBody(p *TimeoutPolicy, named bool) nfnetlinktest.Body {
	return nfnetlinktest.NewBody(0, func(b *nfnetlink.Builder) {
		if named {
			b.Text(ctaTimeoutName, p.Name)
		}
		b.Uint16(ctaTimeoutFamily, uint16(p.Family))
		b.Uint8(ctaTimeoutProto, uint8(p.Proto))
		if named {
			b.Uint32(ctaTimeoutUse, p.Use)
		}
		p.Timeouts.append(b)
	})
}

func TestTimeoutsAreCheckedBeforeTheyAreSent(t *testing.T) {
	var sent recorder
	c := fakeClient(t, sent.handle(succeed))
	bad := func(state TimeoutState, d time.Duration) error {
		return c.SetDefaultTimeouts(t.Context(), flow.TCP, Timeouts{state: d, TCPTimeoutClose: 0})
	}
	for name, err := range map[string]error{
		"half a second":      bad(TCPTimeoutEstablished, 500*time.Millisecond),
		"negative":           bad(TCPTimeoutEstablished, -time.Second),
		"more than 32 bits":  bad(TCPTimeoutEstablished, maxTimeout+time.Second),
		"another protocol's": bad(SCTPTimeoutEstablished, time.Second),
		"no state":           bad(TimeoutState(flow.TCP)<<8, time.Second),
		"long name":          c.DeleteTimeoutPolicy(t.Context(), strings.Repeat("x", MaxTimeoutName+1)),
		"zero byte":          c.CreateTimeoutPolicy(t.Context(), &TimeoutPolicy{Name: "a\x00b"}),
	} {
		var opErr *OpError
		var errno syscall.Errno
		if !errors.As(err, &opErr) || errors.As(err, &errno) {
			t.Errorf("%s: %v, want an OpError of our own", name, err)
		}
	}
	if all := sent.take(); len(all) > 0 {
		t.Errorf("%d requests were sent", len(all))
	}
	if err := bad(TCPTimeoutEstablished, maxTimeout); err != nil {
		t.Errorf("the longest timeout: %v", err)
	}
}

func TestStatesHaveNamesWithinTheirProtocol(t *testing.T) {
	seen := map[TimeoutState]bool{}
	for p := range 256 {
		for i, s := range TimeoutStates(flow.Proto(p)) {
			if s.Proto() != flow.Proto(p) || int(s&0xff) != i+1 || seen[s] {
				t.Errorf("state %d of %d is %#x", i+1, p, uint16(s))
			}
			seen[s] = true
			for _, name := range []string{s.String(), strings.ToLower(s.String())} {
				if got, ok := ParseTimeoutState(flow.Proto(p), name); got != s || !ok {
					t.Errorf("%s of %d: %#x, %v, want %#x", name, p, uint16(got), ok, uint16(s))
				}
			}
		}
	}
	for _, name := range []string{"", "ESTABLISH", "ESTABLISHED ", "\u017fYN_SENT", "NONE", "10"} {
		if got, ok := ParseTimeoutState(flow.TCP, name); ok {
			t.Errorf("%q is %v", name, got)
		}
	}
	for s, want := range map[TimeoutState]string{
		TCPTimeoutUnacknowledged: "UNACKNOWLEDGED", SCTPTimeoutHeartbeatAcked: "HEARTBEAT_ACKED", DCCPTimeoutTimeWait: "TIMEWAIT",
		UDPLiteTimeoutReplied: "REPLIED", GRETimeoutUnreplied: "UNREPLIED", ICMPv6Timeout: "TIMEOUT", GenericTimeout: "TIMEOUT",
		TimeoutState(flow.TCP)<<8 | 12: "12", 0: "0",
	} {
		if s.String() != want {
			t.Errorf("%#x: %s, want %s", uint16(s), s, want)
		}
	}
	if len(seen) != 36 {
		t.Errorf("%d states, want 36", len(seen))
	}
}

// A younger kernel may have states that we do not know; they must not be lost, and
// nothing may be made up.
func TestUnknownStatesAreKept(t *testing.T) {
	body := nfnetlinktest.NewBody(0, func(b *nfnetlink.Builder) {
		at := b.Nest(ctaTimeoutData) // before the protocol that it is about
		b.Uint32(200, 7)
		b.Uint32(300, 8)
		b.Uint16(1, 9)
		b.Close(at)
		b.Uint8(ctaTimeoutProto, uint8(flow.TCP))
		b.Text(ctaTimeoutName, "x")
	})
	p, err := decodeTimeoutPolicy(&nfnetlink.Message{Payload: body}, true)
	want := Timeouts{TimeoutState(flow.TCP)<<8 | 200: 7 * time.Second}
	if err != nil || p.Name != "x" || !reflect.DeepEqual(p.Timeouts, want) {
		t.Errorf("%+v, %v, want %v", p, err, want)
	}
	if _, err := decodeTimeoutPolicy(&nfnetlink.Message{Payload: []byte{0, 0, 0, 0}}, true); !errors.Is(err, nfnetlink.ErrMalformed) {
		t.Errorf("no name: %v, want %v", err, nfnetlink.ErrMalformed)
	}
	if p, err := decodeTimeoutPolicy(&nfnetlink.Message{Payload: []byte{0, 0, 0, 0}}, false); err != nil || p.Timeouts != nil {
		t.Errorf("no timeouts: %+v, %v, want nil ones", p, err)
	}
}

func TestAnAnswerWithoutContentIsAnError(t *testing.T) {
	c := fakeClient(t, func(r *nfnetlinktest.Request) [][]byte { return r.Acked() })
	if _, err := c.DefaultTimeouts(t.Context(), flow.TCP); !errors.Is(err, nfnetlink.ErrMalformed) {
		t.Errorf("defaults: %v, want %v", err, nfnetlink.ErrMalformed)
	}
	if _, err := c.GetTimeoutPolicy(t.Context(), "x"); !errors.Is(err, nfnetlink.ErrMalformed) {
		t.Errorf("policy: %v, want %v", err, nfnetlink.ErrMalformed)
	}
	if _, err := c.GetHelper(t.Context(), ftpKey); !errors.Is(err, ErrNotFound) {
		t.Errorf("helper: %v, want %v, which the kernel means by it", err, ErrNotFound)
	}
}

// FuzzDecodeTimeoutPolicy states the laws: any bytes will do, what was understood can be
// sent as a request, and says the same when it is written and read again.
func FuzzDecodeTimeoutPolicy(f *testing.F) {
	body := policyBody(&webPolicy, true)[4:]
	f.Add([]byte(body))
	f.Add([]byte(body[:len(body)*2/3]))
	f.Add([]byte{})
	f.Add([]byte{4, 0, 1, 0})
	f.Add([]byte{4, 0, 1, 0, 4, 0, 4, 0x80})
	f.Fuzz(func(t *testing.T, attrs []byte) {
		p, err := decodeTimeoutPolicy(&nfnetlink.Message{Type: 0x0800, Payload: append([]byte{0, 0, 0, 0}, attrs...)}, true)
		if err != nil {
			return
		}
		if err := p.Timeouts.check(p.Proto); err != nil {
			t.Errorf("cannot be sent: %v", err)
		}
		again, err := decodeTimeoutPolicy(&nfnetlink.Message{Type: 0x0800, Payload: policyBody(&p, true)}, true)
		if err != nil || !reflect.DeepEqual(again, p) {
			t.Errorf("written and read again: %+v, %v, want %+v", again, err, p)
		}
	})
}
