package agent

import (
	"context"

	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/statesync"
)

// audit compares the ledger with the kernel's table, in the background: when the table is polled, and after a loss of events.
func (d *Daemon) audit(ctx context.Context) {
	if d.reading {
		return
	}
	d.reading = true
	d.work.Go(func() {
		complete := d.readLedger(ctx, true)
		d.call(ctx, func() {
			if d.reading = false; !complete && ctx.Err() == nil {
				// What has vanished cannot be told by half a table: once more.
				d.lostEvents(d.now())
			}
		})
	})
}

// readLedger takes the kernel's table into the ledger, and reports whether all of it. whole writes down what is not in it any more.
func (d *Daemon) readLedger(ctx context.Context, whole bool) (complete bool) {
	d.call(ctx, func() {
		d.runtime.Resyncs++
		d.ledger.beginReading(whole)
	})
	err := d.eachFlow(ctx, func(f *flow.Flow) { d.ledger.read(d.now(), f) })
	d.call(ctx, func() {
		if err != nil && ctx.Err() == nil {
			d.log.Printf(statesync.Error, "%v", err)
		}
		d.ledger.endReading(whole && err == nil)
		d.flushLedger()
	})
	return err == nil
}

func (d *Daemon) flushLedger() {
	if d.ledger == nil {
		return
	}
	if err := d.ledger.flush(); err != nil {
		d.log.Printf(statesync.Error, "can't write the statistics log: %v", err)
	}
}
