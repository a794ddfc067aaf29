package conntrackcli

import (
	"context"
	"errors"
	"syscall"
	"time"

	"github.com/spoor-project/spoor/conntrack"
	"github.com/spoor-project/spoor/filter"
	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/render"
)

// create is -I and -A.
func (x *executor) create(c *conntrack.Client) (int, error) {
	e := new(conntrack.Entry)
	err := x.fillEntry(e)
	if err != nil {
		return 0, err
	}
	if x.cmd == cmdCreate {
		err = c.Create(context.Background(), e)
	} else {
		err = c.Put(context.Background(), e)
	}
	if err != nil {
		return 0, err
	}
	return 1, nil
}

// fillEntry makes e what -I and -A ask for. It shares the request's memory.
func (r *request) fillEntry(e *conntrack.Entry) error {
	t := &r.tmpl
	t.deriveReply()
	*e = conntrack.Entry{Orig: t.orig, Reply: t.reply, Zone: t.zone, Change: r.protocolChange()}
	e.SrcNAT, e.DstNAT = r.natChange(t.srcNAT), r.natChange(t.dstNAT)
	e.Timeout = new(time.Duration(t.timeout) * time.Second)
	if r.given.has(optStatus) {
		e.Status = &t.status.set
	}
	if r.given.has(optMark) {
		e.Mark = &t.mark
	}
	if r.given.has(optLabelAdd) {
		labels, all := r.labelBits(t.labelsAdd)
		if !all {
			return syscall.ERANGE
		}
		// With a mask the labels that an existing entry has stay.
		e.Labels, e.LabelsMask = &labels, &labels
	}
	return nil
}

// protocolChange is what the options of the protocol set.
func (r *request) protocolChange() (ch conntrack.Change) {
	t := &r.tmpl
	switch t.orig.Proto {
	case flow.TCP:
		if r.ext == nil {
			break
		}
		// Packets of a connection that the tracker did not see begin must not
		// fail its window checks.
		window := &conntrack.TCPWindow{Flags: t.tcpFlags, Mask: t.tcpFlags}
		ch.TCP = &conntrack.TCP{State: t.state, Orig: window, Reply: window}
	case flow.SCTP:
		if t.state != nil || t.given.any(vtagOrig|vtagReply) {
			ch.SCTP = &conntrack.SCTP{State: t.state}
			if t.given.any(vtagOrig | vtagReply) {
				ch.SCTP.VTags = &t.vtags
			}
		}
	case flow.DCCP:
		if t.state != nil || t.role != nil {
			ch.DCCP = &conntrack.DCCP{State: t.state, Role: t.role}
		}
	}
	return ch
}

// natChange is the translation to an address of -n or -g; ports only where the
// original sends them.
func (r *request) natChange(n natAddr) *conntrack.NAT {
	if !n.addr.IsValid() {
		return nil
	}
	to := &conntrack.NAT{Addr: n.addr}
	if p := r.tmpl.orig.Proto; p == flow.TCP || p == flow.UDP {
		to.Port = n.port
	}
	return to
}

// delete is -D.
func (x *executor) delete(c *conntrack.Client) (int, error) {
	if err := x.checkMasks(); err != nil {
		return 0, err
	}
	ctx := context.Background()
	t, err := x.open(c)
	if err != nil {
		return 0, err
	}
	defer t.Close()
	flows := t.Flows(ctx, x.selection())
	if !x.given.has(optDryRun) {
		flows = c.DeleteEach(ctx, flows)
	}
	p := x.printer(func(s *render.Style) {
		s.Verb, s.Envelope = render.Delete, render.Bare
		if !x.show.ours() {
			s.Labels = nil // never shown with -D
		}
	})
	n, err := x.print(p, flows)
	if err == nil {
		x.out.buf = p.AppendEnd(x.out.buf)
	}
	return n, err
}

// flush is -F. It empties both families whatever -f says, as the original does; and
// says that it did even if it could not.
func (x *executor) flush(c *conntrack.Client) error {
	var err error
	if x.table == tableExpect {
		err = c.FlushExpects(context.Background())
		x.out.message(prefix + "expectation table has been emptied.\n")
	} else {
		err = c.Flush(context.Background(), nil)
		x.out.message(prefix + "connection tracking table has been emptied.\n")
	}
	return err
}

// updateSelection is the filter of -U, where most options are new values.
func (x *executor) updateSelection() *filter.Filter {
	f := &filter.Filter{Family: x.family, NAT: x.natConditions()}
	if x.given.has(optLabel) {
		f.Labels = x.wantedLabels()
	}
	if x.given.has(optID) {
		f.ID = &x.tmpl.id
	}
	t := &x.tmpl
	if x.given.has(optMaskSrc) {
		f.Orig.Src = filter.Addrs{Addr: t.orig.Src, Mask: t.srcMask}
	}
	if x.given.has(optMaskDst) {
		f.Orig.Dst = filter.Addrs{Addr: t.orig.Dst, Mask: t.dstMask}
	}
	var both filter.Filter
	both.Orig, both.Reply = f.Orig, f.Reply
	x.compareTuples(&both)
	if x.given.any(options(optSrc, optDst, optProto)) {
		f.Orig = both.Orig
	}
	if x.given.any(options(optReplySrc, optReplyDst, optProto)) {
		f.Reply = both.Reply
	}
	return f
}

// maxUpdates is how many entries go into a batch, each with the lookup that shows it
// afterwards.
const maxUpdates = conntrack.MaxBatch / 2

// update is -U.
func (x *executor) update(c *conntrack.Client) (int, error) {
	if err := x.checkMasks(); err != nil {
		return 0, err
	}
	p := x.printer(func(s *render.Style) { s.Envelope = render.Bare })
	ctx := context.Background()
	w, err := c.NewWriter()
	if err != nil {
		return 0, err
	}
	defer w.Close()
	u := &updates{x: x, writer: w, printer: p, limit: 1}
	for f, err := range c.Flows(ctx, x.updateSelection()) {
		if err != nil {
			return u.done, err
		}
		if f.Zone != 0 || f.Orig.Zone != 0 {
			// The original asks without the zone, and so never reaches these;
			// what it would reach is an entry without a zone that has the
			// same tuple and was not selected.
			continue
		}
		e, changed := x.changeOf(&f)
		switch {
		case !changed:
		case x.given.has(optDryRun):
			u.print(&f)
		default:
			if err := u.add(ctx, &f, e); err != nil {
				return u.done, err
			}
		}
	}
	err = u.carryOut(ctx)
	x.out.buf = p.AppendEnd(x.out.buf)
	return u.done, err
}

// changeOf is the request that gives f the new values, and whether it would change
// anything.
func (x *executor) changeOf(f *flow.Flow) (e *conntrack.Entry, changed bool) {
	t := &x.tmpl
	e = &conntrack.Entry{Orig: f.Orig, Change: x.protocolChange()}
	if s := e.SCTP; s != nil {
		completeSCTP(s, f, t.given)
	}
	e.SrcNAT, e.DstNAT = x.natChange(t.srcNAT), x.natChange(t.dstNAT)
	if x.given.has(optTimeout) {
		e.Timeout = new(time.Duration(t.timeout) * time.Second)
		changed = changed || *e.Timeout != f.Timeout
	}
	if x.given.has(optMark) {
		e.Mark = new(f.Mark&^t.markMask ^ t.mark)
		changed = changed || *e.Mark != f.Mark || !f.Has.Has(flow.HasMark)
	}
	if x.given.has(optStatus) {
		e.Status = new(f.Status | t.status.set)
		changed = changed || *e.Status != f.Status
	}
	if t.state != nil {
		changed = changed || !f.Has.Has(flow.HasState) || f.State != *t.state
	}
	switch {
	case x.given.has(optLabelAdd):
		labels, _ := x.labelBits(t.labelsAdd)
		e.Labels, e.LabelsMask = &labels, &labels
		changed = true
	case x.given.has(optLabelDel) && len(t.labelsDel) == 0:
		e.Labels = new(flow.Labels{})
		changed = changed || f.Labels != (flow.Labels{})
	case x.given.has(optLabelDel) && f.Has.Has(flow.HasLabels):
		labels, _ := x.labelBits(t.labelsDel)
		e.Labels, e.LabelsMask = new(flow.Labels{}), &labels
		changed = true
	}
	return e, changed
}

// completeSCTP adds what the command line left out: the kernel wants the state and
// both tags.
func completeSCTP(s *conntrack.SCTP, f *flow.Flow, given given) {
	if s.State == nil {
		s.State = &f.State
	}
	tags := f.VTags
	if given.has(vtagOrig) {
		tags.Orig = s.VTags.Orig
	}
	if given.has(vtagReply) {
		tags.Reply = s.VTags.Reply
	}
	s.VTags = &tags
}

// updates carries out changes in batches and prints what became of the entries.
type updates struct {
	x       *executor
	writer  *conntrack.Writer
	batch   conntrack.Batch
	printer *render.Printer
	todo    []flow.Flow // as they were
	limit   int         // of todo; begins small, so that what is refused always is refused once
	done    int
}

func (u *updates) add(ctx context.Context, f *flow.Flow, e *conntrack.Entry) error {
	u.batch.Update(e)
	u.batch.Get(&e.Orig, 0)
	u.todo = append(u.todo, *f)
	if len(u.todo) < u.limit {
		return nil
	}
	u.limit = min(2*u.limit, maxUpdates)
	return u.carryOut(ctx)
}

func (u *updates) carryOut(ctx context.Context) error {
	results, err := u.writer.Do(ctx, &u.batch)
	if err != nil {
		return err
	}
	for i := range u.todo {
		update, get := &results[2*i], &results[2*i+1]
		switch {
		case vanished(update.Err), update.Err == nil && vanished(get.Err):
		case u.noLabels(&u.todo[i], update.Err):
		case update.Err != nil:
			return update.Err
		case get.Err != nil:
			return get.Err
		default:
			u.print(&get.Flow)
		}
	}
	u.todo = u.todo[:0]
	u.batch.Reset()
	return nil
}

// noLabels: the entry was made when nothing used labels and cannot have any. That
// is not taken for a failure.
func (u *updates) noLabels(f *flow.Flow, err error) bool {
	return err != nil && errors.Is(err, syscall.ENOSPC) && !f.Has.Has(flow.HasLabels) &&
		u.x.given.any(options(optLabelAdd, optLabelDel))
}

func (u *updates) print(f *flow.Flow) {
	u.x.out.buf = u.printer.AppendFlow(u.x.out.buf, f, time.Now())
	u.x.out.relax()
	u.done++
}
