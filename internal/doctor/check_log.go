package doctor

import (
	"strings"
	"time"

	"github.com/spoor-project/spoor/internal/render"
)

// recent is how long ago a full table still concerns us.
const recent = time.Hour

// checkLog: has the kernel complained of a full table? It does so for every namespace, in one log.
func checkLog(f *Facts) Verdict {
	if !f.Log.Known {
		return unknown(f.Log.Why)
	}
	n := uint64(0)
	var last LogLine
	for _, line := range f.Log.Value {
		if strings.Contains(line.Text, "table full") {
			n++
			last = line
		}
	}
	if n == 0 {
		return ok("the kernel's log tells of no full table")
	}
	v := warn("%s of a full table in the kernel's log", render.Plural(n, "line"))
	if f.Uptime.Known {
		ago := max(0, f.Uptime.Value-last.At)
		if ago < recent {
			v = bad("")
		}
		v.Found = render.Plural(n, "line") + " of a full table in the kernel's log, the last " + seconds(uint64(ago/time.Second)) + " ago"
	}
	return v.means("%q. The kernel writes only few of them: it may have dropped far more packets. It tells of every namespace, not only of this one.", last.Text).
		mend(run("dmesg --ctime | grep 'table full'", ""))
}
