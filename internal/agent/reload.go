package agent

import (
	"context"
	"reflect"

	"github.com/spoor-project/spoor/internal/config"
)

// Reload takes over what can change while the daemon runs: filter, timeouts, limits of the log, and the
// delay of a reading after a loss. It returns the names of settings that differ and need a restart; those stay
// as they are. Only while Run does.
func (d *Daemon) Reload(ctx context.Context, cfg *config.Config) (restart []string) {
	d.call(ctx, func() {
		now := *d.cfg.Load()
		general, sync := now.General, now.Sync
		general.Filter = cfg.General.Filter
		general.NetlinkOverrunResync = cfg.General.NetlinkOverrunResync
		general.LogFile, general.Syslog = cfg.General.LogFile, cfg.General.Syslog // the caller's
		restart = append(restart, differing("General", general, cfg.General)...)
		if sync != nil && cfg.Sync != nil {
			s := *sync
			s.CommitTimeout, s.PurgeTimeout = cfg.Sync.CommitTimeout, cfg.Sync.PurgeTimeout
			if (s.CommitTimeout > 0) != (sync.CommitTimeout > 0) {
				// Whether timeouts are sent at all is the engine's.
				s.CommitTimeout = sync.CommitTimeout
			}
			restart = append(restart, differing("Sync", s, *cfg.Sync)...)
			sync = &s
		} else if (sync == nil) != (cfg.Sync == nil) {
			restart = append(restart, "Sync")
		}
		if !reflect.DeepEqual(now.Stats, cfg.Stats) {
			restart = append(restart, "Stats")
		}
		if now.HelperSetup != cfg.HelperSetup || !reflect.DeepEqual(now.Helpers, cfg.Helpers) {
			restart = append(restart, "Helper")
		}
		f := newFilter(general.Filter)
		f.helpers, f.anyHelper = d.kernel.filter().helpers, d.kernel.filter().anyHelper
		d.kernel.wanted.Store(f)
		now.General, now.Sync = general, sync
		d.cfg.Store(&now)
	})
	return restart
}

// differing names the fields in which two structs differ.
func differing(prefix string, a, b any) (names []string) {
	x, y := reflect.ValueOf(a), reflect.ValueOf(b)
	for i := range x.NumField() {
		if !reflect.DeepEqual(x.Field(i).Interface(), y.Field(i).Interface()) {
			names = append(names, prefix+"."+x.Type().Field(i).Name)
		}
	}
	return names
}
