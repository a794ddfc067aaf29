package conntrackcli

import (
	"context"
	"time"

	"github.com/spoor-project/spoor/conntrack"
	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/render"
)

// expectPrinter returns a printer of expectations.
func (x *executor) expectPrinter(e render.Envelope) *render.Printer {
	s := x.style()
	s.Timestamp, s.Envelope = x.show.timestamp, e
	return render.NewPrinter(render.Expects, &s)
}

// listExpects is -L expect.
func (x *executor) listExpects(c *conntrack.Client) (int, error) {
	p := x.expectPrinter(render.Whole)
	n := 0
	for e, err := range c.Expects(context.Background(), x.family) {
		if err != nil {
			return n, err
		}
		x.out.buf = p.AppendExpect(x.out.buf, &e, time.Now())
		x.out.relax()
		n++
	}
	x.end(p)
	return n, nil
}

// countExpects is -C expect.
func (x *executor) countExpects(c *conntrack.Client) error {
	n := 0
	var failed error
	for _, err := range c.Expects(context.Background(), x.family) {
		if err != nil {
			failed = err
			break
		}
		n++
	}
	x.printCount(uint64(n))
	return failed
}

// getExpect is -G expect. The tuple given is that of the expectation, although the
// options are those of its master.
func (x *executor) getExpect(c *conntrack.Client) error {
	e, err := c.GetExpect(context.Background(), x.tmpl.orig, 0)
	if err != nil {
		return err
	}
	p := x.expectPrinter(render.Headed)
	x.out.buf = p.AppendExpect(x.out.buf, &e, time.Now())
	x.out.buf = p.AppendEnd(x.out.buf)
	return nil
}

// deleteExpect is -D expect, with the tuple of -G expect.
func (x *executor) deleteExpect(c *conntrack.Client) error {
	return c.DeleteExpect(context.Background(), x.tmpl.orig, 0)
}

// createExpect is -I expect.
func (x *executor) createExpect(c *conntrack.Client) error {
	t := &x.tmpl
	e := flow.Expect{
		Has:     flow.ExpectHasMask | flow.ExpectHasMaster | flow.ExpectHasTimeout,
		Tuple:   t.expect,
		Mask:    t.expectMask,
		Master:  t.orig,
		Timeout: time.Duration(t.timeout) * time.Second,
	}
	e.Mask.Src, e.Mask.Dst = t.srcMask, t.dstMask
	e.Tuple.Proto, e.Mask.Proto = t.orig.Proto, t.orig.Proto
	return c.CreateExpect(context.Background(), &e)
}
