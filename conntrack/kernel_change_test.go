//go:build linux

package conntrack_test

import (
	"errors"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spoor-project/spoor/conntrack"
	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/nstest"
)

// useLabels makes the namespace one whose flows can have labels.
func useLabels(t *testing.T, ns *nstest.NS) {
	t.Helper()
	nstest.NeedTool(t, "nft")
	ns.MustRun(t, "nft", "table inet t { chain o { type filter hook output priority 0; meta mark 0xdead ct label set 5; }; }")
}

// useHelpers makes the kernel's helpers read what is sent to their ports.
func useHelpers(t *testing.T, ns *nstest.NS) {
	t.Helper()
	nstest.NeedTool(t, "nft")
	ns.MustRun(t, "nft", `table inet t {
		ct helper tftp { type "tftp" protocol udp; }
		ct helper ftp { type "ftp" protocol tcp; }
		chain o { type filter hook output priority 0; udp dport 69 ct helper set "tftp"; tcp dport 21 ct helper set "ftp"; }
	}`)
}

// useNAT gives the namespace a chain through which translations are carried out.
func useNAT(t *testing.T, ns *nstest.NS) {
	t.Helper()
	nstest.NeedTool(t, "nft")
	ns.MustRun(t, "nft", "table inet n { chain p { type nat hook postrouting priority 100; }; chain o { type nat hook output priority -100; }; }")
}

func TestUpdateWritesTheMarkInsideItsMask(t *testing.T) {
	t.Parallel()
	_, c := kernel(t)
	e := entry(tuple(flow.UDP, flow.IPv4, 1))
	create(t, c, e)
	tests := []struct {
		mark uint32
		mask *uint32
		want uint32
	}{
		{0x11111111, nil, 0x11111111},
		{0, nil, 0},
		{0xffffffff, new(uint32(0x0000ff00)), 0x0000ff00},
		{0x00aa0055, new(uint32(0x00ff00ff)), 0x00aaff55},
		{0, new(uint32(0x0000f000)), 0x00aa0f55},
		{0xffffffff, new(uint32(0)), 0x00aa0f55},
		{5, new(uint32(0xffffffff)), 5},
	}
	for _, tt := range tests {
		if err := c.Update(limited(t), e.Orig, 0, conntrack.Change{Mark: &tt.mark, MarkMask: tt.mask}); err != nil {
			t.Fatal(err)
		}
		if f := get(t, c, e.Orig, 0); f.Mark != tt.want {
			t.Errorf("mark %#x, mask %v: got %#x, want %#x", tt.mark, tt.mask, f.Mark, tt.want)
		}
	}
}

func TestLabelsNeedARuleThatUsesThem(t *testing.T) {
	t.Parallel()
	ns, c := kernel(t)
	e := entry(tuple(flow.UDP, flow.IPv4, 1))
	e.Labels = &flow.Labels{0: 1}
	create(t, c, e) // ignores them
	if f := get(t, c, e.Orig, 0); f.Has.Has(flow.HasLabels) {
		t.Errorf("labels %x without a rule", f.Labels)
	}
	err := c.Update(limited(t), e.Orig, 0, conntrack.Change{Labels: e.Labels})
	if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "used labels") {
		t.Errorf("update without a rule: %v, want ENOSPC and why", err)
	}

	useLabels(t, ns)
	e = entry(tuple(flow.UDP, flow.IPv4, 2))
	e.Labels = &flow.Labels{0: 0x21, 15: 0x80}
	create(t, c, e)
	if f := get(t, c, e.Orig, 0); !f.Has.Has(flow.HasLabels) || f.Labels != *e.Labels {
		t.Errorf("created with labels %x: %x", *e.Labels, f.Labels)
	}
	tests := []struct {
		labels flow.Labels
		mask   *flow.Labels
		want   flow.Labels
	}{
		{flow.Labels{1: 0xff}, nil, flow.Labels{1: 0xff}},
		{flow.Labels{0: 0xff, 1: 0xff, 15: 0xff}, &flow.Labels{1: 0x0f, 15: 0x80}, flow.Labels{1: 0xff, 15: 0x80}},
		{flow.Labels{}, &flow.Labels{1: 0x0f}, flow.Labels{1: 0xf0, 15: 0x80}},
		{flow.Labels{}, nil, flow.Labels{}},
	}
	for _, tt := range tests {
		if err := c.Update(limited(t), e.Orig, 0, conntrack.Change{Labels: &tt.labels, LabelsMask: tt.mask}); err != nil {
			t.Fatal(err)
		}
		f := get(t, c, e.Orig, 0)
		if f.Labels != tt.want || f.Has.Has(flow.HasLabels) != (tt.want != flow.Labels{}) {
			t.Errorf("labels %x, mask %x: got %x, want %x", tt.labels, tt.mask, f.Labels, tt.want)
		}
	}
}

func TestHelpersAreSetAndTakenAway(t *testing.T) {
	t.Parallel()
	_, c := kernel(t)
	e := entry(tuple(flow.TCP, flow.IPv4, 1))
	e.TCP = &conntrack.TCP{State: new(flow.TCPEstablished)}
	e.Helper = new("ftp")
	create(t, c, e)
	if f := get(t, c, e.Orig, 0); f.Helper != "ftp" || !f.Status.Has(flow.HelperSet) {
		t.Errorf("helper %q, status %#x", f.Helper, f.Status)
	}
	update := func(name string) error {
		return c.Update(limited(t), e.Orig, 0, conntrack.Change{Helper: &name})
	}
	if err := update("ftp"); err != nil {
		t.Errorf("the same helper again: %v", err)
	}
	if err := update("irc"); !errors.Is(err, syscall.EBUSY) {
		t.Errorf("another helper: %v, want EBUSY", err)
	}
	if err := update(""); err != nil {
		t.Errorf("no helper: %v", err)
	}
	if f := get(t, c, e.Orig, 0); f.Has.Has(flow.HasHelper) {
		t.Errorf("helper %q was to be taken away", f.Helper)
	}

	e = entry(tuple(flow.TCP, flow.IPv4, 2))
	for name, want := range map[string]error{"nosuchhelper": conntrack.ErrNotSupported, "a name of sixteen": syscall.EINVAL, "tftp": conntrack.ErrNotSupported} {
		e.Helper = &name
		if err := c.Create(limited(t), e); !errors.Is(err, want) {
			t.Errorf("helper %q: %v, want %v", name, err, want)
		}
	}
}

func TestTimeouts(t *testing.T) {
	t.Parallel()
	_, c := kernel(t)
	e := entry(tuple(flow.UDP, flow.IPv4, 1))
	e.Timeout = nil
	if err := c.Create(limited(t), e); !errors.Is(err, syscall.EINVAL) {
		t.Errorf("no timeout: %v, want EINVAL", err)
	}
	e.Timeout = new(90 * time.Second)
	create(t, c, e)
	for _, d := range []time.Duration{10 * time.Second, 20*time.Second - 1, time.Hour, 1 << 62} {
		if err := c.Update(limited(t), e.Orig, 0, conntrack.Change{Timeout: &d}); err != nil {
			t.Fatal(err)
		}
		want := min(d.Truncate(time.Second), 24*24*time.Hour) // INT_MAX jiffies are at least that
		if f := get(t, c, e.Orig, 0); f.Timeout < want-3*time.Second || f.Timeout > d {
			t.Errorf("timeout %v: got %v", d, f.Timeout)
		}
	}
	if err := c.Update(limited(t), e.Orig, 0, conntrack.Change{Timeout: new(time.Duration(0))}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Get(limited(t), e.Orig, 0); !errors.Is(err, conntrack.ErrNotFound) {
		t.Errorf("a timeout of zero: %v, want %v", err, conntrack.ErrNotFound)
	}

	e = entry(tuple(flow.UDP, flow.IPv4, 2))
	e.Status = new(flow.FixedTimeout)
	create(t, c, e)
	if err := c.Update(limited(t), e.Orig, 0, conntrack.Change{Timeout: new(time.Hour)}); !errors.Is(err, syscall.EPERM) {
		t.Errorf("a timeout that is fixed: %v, want EPERM", err)
	}
}

func TestStatusBitsAreOnlyAdded(t *testing.T) {
	t.Parallel()
	_, c := kernel(t)
	e := entry(tuple(flow.UDP, flow.IPv4, 1))
	// Of these the NAT and offload bits are ignored, and Confirmed is implied.
	e.Status = new(flow.SeenReply | flow.SrcNAT | flow.DstNATDone | flow.Offload)
	create(t, c, e)
	if f := get(t, c, e.Orig, 0); f.Status != flow.SeenReply|flow.Confirmed {
		t.Errorf("status %#x, want SEEN_REPLY and CONFIRMED", f.Status)
	}
	tests := []struct {
		set, want flow.Status
		err       error
	}{
		{flow.SeenReply | flow.Assured, flow.SeenReply | flow.Assured | flow.Confirmed, nil},
		{0, flow.SeenReply | flow.Assured | flow.Confirmed, syscall.EBUSY},
		{flow.SeenReply, flow.SeenReply | flow.Assured | flow.Confirmed, syscall.EBUSY},
		{flow.SeenReply | flow.Assured | flow.Expected, flow.SeenReply | flow.Assured | flow.Confirmed, syscall.EBUSY},
		{flow.SeenReply | flow.Assured | flow.Dying, flow.SeenReply | flow.Assured | flow.Confirmed, syscall.EBUSY},
	}
	for _, tt := range tests {
		err := c.Update(limited(t), e.Orig, 0, conntrack.Change{Status: &tt.set})
		if !errors.Is(err, tt.err) || (tt.err == nil) != (err == nil) {
			t.Errorf("status %#x: %v, want %v", tt.set, err, tt.err)
		}
		if f := get(t, c, e.Orig, 0); f.Status != tt.want {
			t.Errorf("after %#x: status %#x, want %#x", tt.set, f.Status, tt.want)
		}
	}
}

func TestSequenceAdjustmentAndSynproxy(t *testing.T) {
	t.Parallel()
	_, c := kernel(t)
	e, want := protocolEntry(flow.TCP, flow.IPv4, 1)
	e.OrigSeqAdj = &flow.SeqAdj{CorrectionPos: 4_000_000_000, OffsetBefore: -5, OffsetAfter: 7}
	e.ReplySeqAdj = &flow.SeqAdj{CorrectionPos: 1, OffsetAfter: -1}
	e.Synproxy = &flow.Synproxy{ISN: 0xdeadbeef, ITS: 2, TSOff: 3}
	create(t, c, e)
	want.Has |= flow.HasOrigSeqAdj | flow.HasReplySeqAdj
	want.Status = flow.Confirmed | flow.SeqAdjust
	want.OrigSeqAdj, want.ReplySeqAdj, want.Synproxy = *e.OrigSeqAdj, *e.ReplySeqAdj, *e.Synproxy
	check(t, get(t, c, e.Orig, 0), want)

	want.OrigSeqAdj, want.Synproxy = flow.SeqAdj{OffsetBefore: 1}, flow.Synproxy{}
	err := c.Update(limited(t), e.Orig, 0, conntrack.Change{OrigSeqAdj: &want.OrigSeqAdj, Synproxy: &want.Synproxy})
	if err != nil {
		t.Fatal(err)
	}
	check(t, get(t, c, e.Orig, 0), want)
}

func TestTCPFlagsChangeInsideTheirMask(t *testing.T) {
	t.Parallel()
	_, c := kernel(t)
	e, _ := protocolEntry(flow.TCP, flow.IPv4, 1)
	create(t, c, e)
	err := c.Update(limited(t), e.Orig, 0, conntrack.Change{TCP: &conntrack.TCP{State: new(flow.TCPClose),
		Orig:  &conntrack.TCPWindow{Flags: flow.TCPSackPerm, Mask: flow.TCPSackPerm | flow.TCPBeLiberal},
		Reply: &conntrack.TCPWindow{Flags: 0xff}}}) // no mask: nothing changes
	if err != nil {
		t.Fatal(err)
	}
	f := get(t, c, e.Orig, 0)
	if f.State != flow.TCPClose || f.OrigWindow != (flow.TCPWindow{Scale: 7, Flags: flow.TCPWindowScale | flow.TCPSackPerm}) ||
		f.ReplyWindow != (flow.TCPWindow{Scale: 5, Flags: flow.TCPWindowScale}) {
		t.Errorf("state %d, %+v, %+v", f.State, f.OrigWindow, f.ReplyWindow)
	}
}

func TestTranslationsAreSetUpOnCreation(t *testing.T) {
	t.Parallel()
	ns, c := kernel(t)
	useNAT(t, ns)
	const nats = flow.SrcNATDone | flow.DstNATDone | flow.Confirmed
	tests := []struct {
		name     string
		family   flow.Family
		src, dst *conntrack.NAT
		change   func(reply *flow.Tuple)
		status   flow.Status
	}{
		{"source address", flow.IPv4, &conntrack.NAT{Addr: addr("203.0.113.9")}, nil,
			func(r *flow.Tuple) { r.Dst = addr("203.0.113.9") }, nats | flow.SrcNAT},
		{"source address and port", flow.IPv4, &conntrack.NAT{Addr: addr("203.0.113.9"), Port: new(uint16(5000))}, nil,
			func(r *flow.Tuple) { r.Dst, r.DstPort = addr("203.0.113.9"), 5000 }, nats | flow.SrcNAT},
		{"destination", flow.IPv6, nil, &conntrack.NAT{Addr: addr("2001:db8:9::9"), Port: new(uint16(8080))},
			func(r *flow.Tuple) { r.Src, r.SrcPort = addr("2001:db8:9::9"), 8080 }, nats | flow.DstNAT},
		{"both", flow.IPv4, &conntrack.NAT{Addr: addr("203.0.113.9")}, &conntrack.NAT{Addr: addr("203.0.113.10")},
			func(r *flow.Tuple) { r.Dst, r.Src = addr("203.0.113.9"), addr("203.0.113.10") }, nats | flow.SrcNAT | flow.DstNAT},
		{"port alone", flow.IPv4, &conntrack.NAT{Port: new(uint16(6000))}, nil,
			func(r *flow.Tuple) { r.DstPort = 6000 }, nats | flow.SrcNAT},
		{"decided, and none", flow.IPv6, &conntrack.NAT{}, nil, func(r *flow.Tuple) {}, nats},
	}
	for i, tt := range tests {
		e := entry(tuple(flow.UDP, tt.family, 10+i))
		e.SrcNAT, e.DstNAT = tt.src, tt.dst
		create(t, c, e)
		f := get(t, c, e.Orig, 0)
		want := e.Reply
		tt.change(&want)
		if f.Reply != want || f.Status != tt.status {
			t.Errorf("%s: reply %+v, status %#x, want %+v, %#x", tt.name, f.Reply, f.Status, want, tt.status)
		}
	}
}

func TestAFlowMayHaveAMaster(t *testing.T) {
	t.Parallel()
	_, c := kernel(t)
	master, e := entry(tuple(flow.TCP, flow.IPv4, 1)), entry(tuple(flow.TCP, flow.IPv4, 2))
	e.Master = &master.Orig
	if err := c.Create(limited(t), e); !errors.Is(err, conntrack.ErrNotFound) {
		t.Errorf("no such master: %v, want %v", err, conntrack.ErrNotFound)
	}
	create(t, c, master, e)
	f := get(t, c, e.Orig, 0)
	if !f.Has.Has(flow.HasMaster) || f.Master != master.Orig || f.Status != flow.Confirmed|flow.Expected {
		t.Errorf("master %+v, status %#x", f.Master, f.Status)
	}
	// The bit has to be there from now on.
	if err := c.Update(limited(t), e.Orig, 0, conntrack.Change{Status: new(flow.SeenReply)}); !errors.Is(err, syscall.EBUSY) {
		t.Errorf("without EXPECTED: %v, want EBUSY", err)
	}
	if err := c.Update(limited(t), e.Orig, 0, conntrack.Change{Status: new(flow.SeenReply | flow.Expected)}); err != nil {
		t.Error(err)
	}
}
