package conntrackcli

import (
	"context"
	"iter"
	"syscall"
	"time"

	"github.com/spoor-project/spoor/conntrack"
	"github.com/spoor-project/spoor/filter"
	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/render"
)

// comparing are the options that make flows be compared with the values given;
// without one of them some values have no effect.
var comparing = options(optProto, optSrc, optDst, optReplySrc, optReplyDst, optMark, optSecMark, optStatus,
	optID, optZone, optLabel, optOrigZone, optReplyZone)

// unzeroable are the options that -z cannot be combined with.
var unzeroable = comparing &^ options(optID)

// checkMasks refuses a mask without the address it is for.
func (x *executor) checkMasks() error {
	if x.given.has(optMaskSrc) && !x.given.has(optSrc) {
		return usagef("Can't use --mask-src without --src")
	}
	if x.given.has(optMaskDst) && !x.given.has(optDst) {
		return usagef("Can't use --mask-dst without --dst")
	}
	return nil
}

// selection is the filter of -L, -D, -E and -G.
func (x *executor) selection() *filter.Filter {
	t := &x.tmpl
	f := &filter.Filter{Family: x.family, NAT: x.natConditions()}
	if x.given.has(optMark) {
		f.Mark = &filter.Mark{Value: t.mark, Mask: t.markMask}
	}
	if x.given.has(optLabel) {
		f.Labels = x.wantedLabels()
	}
	if x.given.has(optStatus) {
		f.Status = x.statusCondition()
	}
	if x.given.has(optMaskSrc) {
		f.Orig.Src = filter.Addrs{Addr: t.orig.Src, Mask: t.srcMask}
	}
	if x.given.has(optMaskDst) {
		f.Orig.Dst = filter.Addrs{Addr: t.orig.Dst, Mask: t.dstMask}
	}
	if !x.given.any(comparing) {
		return f
	}
	x.compareTuples(f)
	if x.given.has(optZone) {
		f.Zone = &t.zone
	}
	if x.given.has(optOrigZone) {
		f.Orig.Zone = &t.origZone
	}
	if x.given.has(optReplyZone) {
		f.Reply.Zone = &t.replyZone
	}
	if x.given.has(optID) {
		f.ID = &t.id
	}
	if x.given.has(optTimeout) {
		f.Timeout = new(time.Duration(t.timeout) * time.Second)
	}
	if t.state != nil {
		f.State = &filter.State{Proto: t.orig.Proto, N: *t.state}
	}
	return f
}

// compareTuples puts the conditions on both tuples into f, except those that a mask
// has put there. Keys of GRE are not compared.
func (x *executor) compareTuples(f *filter.Filter) {
	t := &x.tmpl
	address := func(bit given, a addr, to *filter.Addrs) {
		if t.given.has(bit) && !to.Addr.IsValid() {
			to.Addr = a
		}
	}
	address(origSrc, t.orig.Src, &f.Orig.Src)
	address(origDst, t.orig.Dst, &f.Orig.Dst)
	address(replySrc, t.reply.Src, &f.Reply.Src)
	address(replyDst, t.reply.Dst, &f.Reply.Dst)
	proto := func(bit given, p *flow.Proto, to **flow.Proto) {
		if t.given.has(bit) {
			*to = p
		}
	}
	proto(origProto, &t.orig.Proto, &f.Orig.Proto)
	proto(replyProto, &t.reply.Proto, &f.Reply.Proto)
	if t.orig.Proto.Shape() == flow.ShapePorts {
		port := func(bit given, p *uint16, to **uint16) {
			if t.given.has(bit) {
				*to = p
			}
		}
		port(origSrcPort, &t.orig.SrcPort, &f.Orig.SrcPort)
		port(origDstPort, &t.orig.DstPort, &f.Orig.DstPort)
		port(replySrcPort, &t.reply.SrcPort, &f.Reply.SrcPort)
		port(replyDstPort, &t.reply.DstPort, &f.Reply.DstPort)
	}
	if t.given.has(icmpType) {
		f.Orig.ICMPType = new(t.orig.ICMPType())
	}
	if t.given.has(icmpCode) {
		f.Orig.ICMPCode = new(t.orig.ICMPCode())
	}
	if t.given.has(icmpID) {
		f.Orig.ICMPID = new(t.orig.ICMPID())
	}
}

// natConditions are those of -n, -g and -j. An IPv6 address is not compared, only
// its port: the original's users know it so.
func (x *executor) natConditions() []filter.NAT {
	condition := func(n natAddr, src, dst bool) filter.NAT {
		c := filter.NAT{Src: src, Dst: dst, Port: n.port}
		if n.addr.Is4() {
			c.Addr = n.addr
		}
		return c
	}
	var all []filter.NAT
	if x.given.has(optSrcNAT) {
		all = append(all, condition(x.tmpl.srcNAT, true, false))
	}
	if x.given.has(optDstNAT) {
		all = append(all, condition(x.tmpl.dstNAT, false, true))
	}
	if x.given.has(optAnyNAT) {
		all = append(all, condition(x.tmpl.anyNAT, true, true))
	}
	return all
}

// savedStatus are the bits that -o save can show, and UNSET is the absence of.
const savedStatus = flow.Expected | flow.SeenReply | flow.Assured | flow.FixedTimeout

// statusCondition is what -u asks for. -L hands value and mask to the kernel as the
// original does, with what comes of mixing plain and negated words; -D must
// never hit more than the words say.
func (x *executor) statusCondition() *filter.Status {
	s := &x.tmpl.status
	if x.cmd != cmdDelete {
		return &filter.Status{Value: s.set, Mask: s.mask}
	}
	switch {
	case s.unset && s.set == 0 && s.not == 0:
		return &filter.Status{Mask: savedStatus}
	case s.set&s.not != 0: // a contradiction, which no status fulfils
		return &filter.Status{Value: flow.Confirmed, Mask: flow.Dying}
	}
	return &filter.Status{Value: s.set, Mask: s.set | s.not}
}

// wantedLabels are the labels of -l. One that no entry can hold asks for something
// that none has.
func (x *executor) wantedLabels() flow.Labels {
	l, all := x.labelBits(x.tmpl.labels)
	if !all {
		for i := range l {
			l[i] = 0xff
		}
	}
	return l
}

// list is -L.
func (x *executor) list(c *conntrack.Client) (int, error) {
	zero := x.given.has(optZero)
	if x.table == tableConntrack {
		if zero && x.given.any(unzeroable) {
			return 0, usagef("Can't use -z with filtering parameters")
		}
		if err := x.checkMasks(); err != nil {
			return 0, err
		}
	}
	ctx := context.Background()
	flt := x.selection()
	flows := c.Flows(ctx, flt)
	switch {
	case x.table == tableDying:
		flows = c.Dying(ctx, flt)
	case x.table == tableUnconfirmed:
		flows = c.Unconfirmed(ctx, flt)
	case zero:
		flows = c.FlowsAndZero(ctx, flt)
	}
	p := x.printer(func(s *render.Style) {
		s.KernelTime = x.show.ktimestamp
		if x.table != tableConntrack {
			s.Envelope = render.Headed // as the original does
		}
	})
	n, done, err := 0, false, error(nil)
	switch {
	case x.table != tableConntrack:
		x.overNetlink("a snapshot does not see that table")
	case zero:
		x.overNetlink("a snapshot changes no counters")
	default:
		n, done, err = x.printSnapshot(c, p, flt)
	}
	if !done && err == nil {
		n, err = x.print(p, flows)
	}
	if err == nil {
		x.end(p)
	}
	return n, err
}

// print prints flows as they come and returns how many there were.
func (x *executor) print(p *render.Printer, flows iter.Seq2[flow.Flow, error]) (n int, err error) {
	at := time.Now()
	for f, err := range flows {
		if err != nil {
			return n, err
		}
		x.out.buf = p.AppendFlow(x.out.buf, &f, at)
		x.out.relax()
		n++
	}
	return n, nil
}

// end closes a list. The original sends the end of an XML document on its way at
// once, before the summary.
func (x *executor) end(p *render.Printer) {
	x.out.buf = p.AppendEnd(x.out.buf)
	if x.show.xml {
		x.out.flush()
	}
}

// get is -G.
func (x *executor) get(c *conntrack.Client) (int, error) {
	t := &x.tmpl
	if err := x.lookupTuple(); err != nil {
		return 0, err
	}
	f, err := c.Get(context.Background(), t.orig, 0)
	if err != nil {
		return 0, err
	}
	p := x.printer(func(s *render.Style) {
		s.KernelTime, s.Envelope = x.show.ktimestamp, render.Headed
	})
	n := 0
	if x.selection().Match(&f) {
		x.out.buf = p.AppendFlow(x.out.buf, &f, time.Now())
		n = 1
	}
	x.out.buf = p.AppendEnd(x.out.buf)
	return n, nil
}

// lookupTuple checks that the request of -G can be put together. The original needs
// the original direction, and fails without saying why if only ports are
// known of the reply direction.
func (x *executor) lookupTuple() error {
	t := &x.tmpl
	if !t.given.any(origSrc | origDst) {
		return syscall.EINVAL
	}
	if t.given.any(replySide) && !t.given.any(replySrc|replyDst) {
		return syscall.Errno(0)
	}
	return nil
}
