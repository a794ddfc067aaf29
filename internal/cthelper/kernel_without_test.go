//go:build linux

package cthelper

import (
	"context"
	"encoding/binary"
	"errors"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/spoor-project/spoor/conntrack"
	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/nstest"
)

// TestKernelExpectsByHand plays the scenes on kernels that have no user-space helpers, with what these have instead: a rule queues
// the packets, the table is asked for their flows, and the expectations are made by request, in the name of a helper of the
// kernel's own which understands nothing of the protocol. What changes the length of a segment cannot be had so; nor can several
// expectations of a flow, which those helpers have not.
func TestKernelExpectsByHand(t *testing.T) {
	nstest.NeedRoot(t)
	nstest.NeedTool(t, "nft")
	for _, s := range scenes {
		if s.nat == "snat-long" || s.helper == "amanda" && len(s.want) > 1 {
			continue
		}
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			s.play(t, startByHand, s.want, s.data)
		})
	}
}

// foreign is a helper of the kernel's that is blind to what the scene says.
func (s *scene) foreign() string {
	switch {
	case s.transport == flow.TCP && s.helper != "sane":
		return "sane"
	case s.transport == flow.TCP:
		return "ftp"
	case s.helper != "amanda":
		return "amanda"
	}
	return "tftp"
}

func startByHand(t *testing.T, ns *nstest.NS, s *scene) string {
	hook := "forward"
	if s.group != "" {
		hook = "output"
	}
	queued(t, ns, hook, s.transport.String(), strconv.Itoa(int(s.port)), true, false)
	if s.answer != "" {
		queued(t, ns, "input", s.transport.String(), strconv.Itoa(int(s.port)), true, false)
	}
	q := live(t, ns, &QueueOptions{Num: testQueue, WithoutFlows: true})
	protocol, _ := Lookup(s.helper, s.transport)
	c := dial(t, ns)
	var log lines
	h := &byHand{t: t, client: c, worker: newWorker(&Instance{Name: s.helper, Queue: testQueue}, protocol, q, c, &limitedLog{log: &log}), private: make([]byte, protocol.PrivateLen)}
	h.run()
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("log:\n%s", log.String())
		}
	})
	return s.foreign()
}

// byHand does what the kernel does for helpers: it finds the flow, remembers the memory, makes the expectation.
type byHand struct {
	*worker
	t       *testing.T
	client  *conntrack.Client
	private []byte
}

func (h *byHand) run() {
	ctx, cancel := context.WithCancel(context.Background())
	var work sync.WaitGroup
	work.Go(func() {
		var d Delivery
		for {
			err := h.queue.Next(&d)
			if errors.Is(err, os.ErrClosed) {
				return
			}
			if err != nil {
				h.t.Errorf("queue: %v", err)
				return
			}
			h.packet(ctx, &d)
		}
	})
	h.t.Cleanup(func() {
		h.queue.Close()
		work.Wait()
		cancel()
	})
}

func (h *byHand) packet(ctx context.Context, d *Delivery) {
	view, err := viewPacket(d.Packet, d.Family)
	if err != nil {
		h.t.Errorf("%x: %v", d.Packet, err)
		return
	}
	tuple := view.tuple()
	confirmed := true
	d.Tracked = true
	switch d.Flow, err = h.client.Get(ctx, tuple, 0); {
	case errors.Is(err, conntrack.ErrNotFound): // the first packet of a flow enters the table behind us
		confirmed = false
		d.Flow = flow.Flow{Orig: tuple}
		d.Flow.Reply, _ = tuple.Inverse()
		d.State = h.stateOfFirst(ctx, &tuple)
	case err != nil:
		h.t.Error(err)
		return
	case d.Flow.Orig != tuple:
		d.State = EstablishedReply
	case d.Flow.Status.Has(flow.SeenReply):
		d.State = Established
	default:
		d.State = New
	}
	if h.protocol.PrivateLen > 0 {
		d.Private, d.Flow.Helper = h.private, h.Name
	}
	v := h.decide(ctx, d)
	if v.Helper != "" {
		copy(h.private, v.Private)
	}
	expect, timeout := v.Expect, v.Timeout
	v.Expect, v.Helper, v.Timeout = nil, "", 0
	afterwards := func() {
		if expect != nil {
			h.expectSoon(ctx, d, expect)
		}
		if timeout > 0 {
			if err := h.client.Update(ctx, d.Flow.Orig, 0, conntrack.Change{Timeout: &timeout}); err != nil {
				h.t.Errorf("timeout: %v", err)
			}
		}
	}
	if confirmed {
		afterwards()
	}
	if err := errors.Join(h.queue.Decide(&v), h.queue.Flush()); err != nil && !errors.Is(err, os.ErrClosed) {
		h.t.Errorf("verdict: %v", err)
	}
	if !confirmed {
		afterwards()
	}
}

// stateOfFirst is that of the first packet of a flow.
func (h *byHand) stateOfFirst(ctx context.Context, first *flow.Tuple) State {
	for e, err := range h.client.Expects(ctx, flow.AnyFamily) {
		if err != nil {
			h.t.Error(err)
			break
		}
		if e.Tuple.Proto == first.Proto && e.Tuple.Dst == first.Dst && e.Tuple.DstPort == first.DstPort {
			return Related
		}
	}
	return New
}

// expectSoon makes an expectation of a flow that has just passed, and which may turn out to be translated.
func (h *byHand) expectSoon(ctx context.Context, d *Delivery, e *flow.Expect) {
	for range 400 {
		f, err := h.client.Get(ctx, d.Flow.Orig, 0)
		if err == nil {
			d.Flow = f
			view, _ := viewPacket(d.Packet, d.Family)
			p := Packet{Flow: &d.Flow, State: d.State, Payload: view.Payload()}
			if r := h.protocol.Parse(&p, h.private); len(r.Announced) > 0 {
				e = &r.Announced[len(r.Announced)-1].Expect
			}
			e.Has &^= flow.ExpectHasHelper // which the kernel does not know
			if err := h.expect(ctx, e); err != nil {
				h.t.Errorf("expect %s: %v", describeExpect(e), err)
			}
			return
		}
		if !errors.Is(err, conntrack.ErrNotFound) {
			h.t.Error(err)
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	h.t.Error("the flow did not enter the table")
}

// tuple is that of the packet.
func (v *packetView) tuple() flow.Tuple {
	src, dst := v.raw[12:16], v.raw[16:20]
	if v.six {
		src, dst = v.raw[8:24], v.raw[24:40]
	}
	t := flow.Tuple{Proto: v.proto, SrcPort: binary.BigEndian.Uint16(v.raw[v.transport:]), DstPort: binary.BigEndian.Uint16(v.raw[v.transport+2:])}
	t.Src, _ = netip.AddrFromSlice(src)
	t.Dst, _ = netip.AddrFromSlice(dst)
	return t
}
