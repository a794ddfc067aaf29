package agent

import (
	"context"
	"os"
	"strings"
	"time"

	"github.com/spoor-project/spoor/internal/statesync"
)

// deafness is about flows that the kernel never tells anything of: since Linux 5.19 an entry that is made while nobody listens causes no
// event as long as it lives, unless nf_conntrack_events is 1. So what a daemon finds when it starts it may not hear the end of. It
// looks itself, less and less often.
type deafness struct {
	at    statesync.Moment // when the table is compared next; 0: there is no need
	every time.Duration
}

const (
	firstLook = 5 * time.Second
	lastLook  = 10 * time.Minute // between two
)

// begin is called when the table has been read for the first time.
func (f *deafness) begin(d *Daemon) {
	found := d.ledger != nil && d.ledger.flows.Len() > 0 || d.engine != nil && d.engine.Stats().Internal.Objects > 0
	if setting, err := os.ReadFile("/proc/sys/net/netfilter/nf_conntrack_events"); err != nil || strings.TrimSpace(string(setting)) == "1" || !found {
		return
	}
	f.every = firstLook
	f.at = d.now() + statesync.Moment(f.every)
}

// look compares the table, in the background. It must not be while a commit goes on, whose flows are no news.
func (f *deafness) look(ctx context.Context, d *Daemon) {
	f.every = min(2*f.every, lastLook)
	f.at = d.now() + statesync.Moment(f.every)
	if d.ledger != nil {
		d.audit(ctx)
	} else {
		d.compareLater(ctx, tellNews)
	}
}
