package doctor

import (
	"fmt"
	"strings"

	"github.com/spoor-project/spoor/internal/render"
)

// smallBuffer is a limit of receive buffers that a burst of events overruns, in bytes. Programs with CAP_NET_ADMIN may go beyond
// it, but not all do.
const smallBuffer = 1 << 20

// checkListeners: do those who follow the table lose events?
func checkListeners(f *Facts) Verdict {
	if !f.Listeners.Known {
		return unknown(f.Listeners.Why)
	}
	var lossy []string
	var lost uint64
	for _, l := range f.Listeners.Value {
		lost += l.Lost
		if l.Lost > 0 {
			name := l.Process
			if name == "" {
				name = "a socket"
			}
			lossy = append(lossy, fmt.Sprintf("%s (port %d) lost %s", name, l.PortID, render.Plural(l.Lost, "message")))
		}
	}
	m := Measure{Name: "events_lost", Value: float64(lost)}
	const rmem = "net.core.rmem_max"
	limit, there := f.Sysctls[rmem]
	small := there && limit.Value < smallBuffer
	enlarge := func(v Verdict) Verdict {
		if small {
			v = v.mend(f.set(rmem, 8<<20, true, ""))
		}
		return v.measure(m)
	}
	switch {
	case len(lossy) > 0:
		return enlarge(bad("%s", strings.Join(lossy, "; ")).
			means("Changes came faster than the program read them, and its receive buffer was full. conntrackd has NetlinkBufferSize and NetlinkBufferSizeMaxGrowth for " +
				"it, conntrack -E --buffer-size; after a larger buffer is set, start the program again."))
	case len(f.Listeners.Value) > 0 && small:
		return enlarge(warn("%s, none has lost any; buffers may only be %s", render.Plural(len(f.Listeners.Value), "listener"), size(limit.Value)).
			means("net.core.rmem_max limits the receive buffer of programs that do not insist on more. A burst of events overruns so small a one."))
	case len(f.Listeners.Value) == 0:
		return ok("nobody follows the changes").measure(m)
	}
	return ok("%s, none has lost any", render.Plural(len(f.Listeners.Value), "listener")).measure(m)
}
