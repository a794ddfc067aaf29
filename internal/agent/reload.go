package agent

import (
	"context"

	"github.com/spoor-project/spoor/internal/config"
	"github.com/spoor-project/spoor/internal/statesync"
)

// Reload takes over what can change while the daemon runs: filter, timeouts, the delay of a reading after a loss, and the log of
// ended flows, which is opened anew, as it may have been moved away. It returns the settings that differ and need a restart,
// as they are written in the file; those stay as they are. Only while Run does.
func (d *Daemon) Reload(ctx context.Context, cfg *config.Config) (restart []string) {
	d.call(ctx, func() {
		next := *d.cfg.Load()
		next.General.Filter = cfg.General.Filter
		next.General.NetlinkOverrunResync = cfg.General.NetlinkOverrunResync
		next.General.LogFile = cfg.General.LogFile // the caller's
		if next.Sync != nil && cfg.Sync != nil {
			s := *next.Sync
			s.PurgeTimeout = cfg.Sync.PurgeTimeout
			if (s.CommitTimeout > 0) == (cfg.Sync.CommitTimeout > 0) { // whether timeouts are sent at all is the engine's
				s.CommitTimeout = cfg.Sync.CommitTimeout
			}
			next.Sync = &s
		}
		if next.Stats != nil && cfg.Stats != nil {
			s := *next.Stats
			if err := d.ledger.reopen(cfg.Stats.LogFile); err != nil {
				d.log.Printf(statesync.Error, "reload: can't open logfile `%s', lines go on to where they went: %v", cfg.Stats.LogFile, err)
			} else {
				s.LogFile = cfg.Stats.LogFile
			}
			next.Stats = &s
		}
		restart = config.Differing(&next, cfg)
		f := newFilter(next.General.Filter)
		f.helpers, f.anyHelper = d.kernel.filter().helpers, d.kernel.filter().anyHelper
		d.kernel.wanted.Store(f)
		if err := d.kernel.filterEvents(next.General.Filter); err != nil {
			d.log.Printf(statesync.Error, "reload: cannot set event filtering: %v", err)
		}
		d.cfg.Store(&next)
	})
	return restart
}
