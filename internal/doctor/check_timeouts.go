package doctor

import (
	"fmt"
	"strings"

	"github.com/spoor-project/spoor/internal/render"
)

// Shares of nf_conntrack_max that entries may waste which are most likely of no use any more, in percent.
const (
	hoardWarn = 10
	hoardBad  = 25
)

// checkTimeouts: do timeouts keep entries whose flows have most likely ended?
func checkTimeouts(f *Facts) Verdict {
	var found []string
	level := OK
	var mend []Remedy
	set := 0
	var most uint64
	var mostOf *hoard
	for i := range hoards {
		h := &hoards[i]
		v, there := f.sysctl(h.sysctl)
		if !there {
			continue
		}
		set++
		silent, of := f.Census.Value.Silent[h.sysctl], f.Census.Value.Waiting[h.sysctl]
		if silent > most {
			most, mostOf = silent, h
		}
		hoarding := f.Max.Known && f.Max.Value > 0 && percent(silent, f.Max.Value) >= hoardWarn
		if !hoarding && v <= h.usual {
			continue
		}
		if level == OK {
			level = Warn
		}
		text := fmt.Sprintf("%s %s", h.what, seconds(v))
		if v > h.usual {
			text += ", usually " + seconds(h.usual)
		}
		if silent > 0 {
			text += fmt.Sprintf(": %s of %s silent for over %s", render.Grouped(silent), render.Grouped(of), seconds(h.sensible))
		}
		found = append(found, text)
		if f.Now.Entries.Known && hoarding && percent(silent, f.Max.Value) >= hoardBad && percent(f.Now.Entries.Value, f.Max.Value) >= usageBad {
			level = Bad
		}
		mend = append(mend, f.set(netfilter+h.sysctl, h.sensible, false, "entries that are there keep the time they have; a flow that is silent for longer is forgotten"))
	}
	switch {
	case set == 0:
		return unknown(f.noSysctl("nf_conntrack_*_timeout_*"))
	case level == OK && !f.Census.Known:
		return ok("none is unusual; which hoard is not known: %s", orElse(f.Census.Why, "the table was not read"))
	case level == OK && mostOf != nil:
		return ok("none hoards: %s of %s are silent for over %s", render.Grouped(most), mostOf.what, seconds(mostOf.sensible))
	case level == OK:
		return ok("none is unusual, none hoards")
	}
	v := Verdict{Level: level, Found: strings.Join(found, "; ")}
	return v.means("Entries stay long after their flows have ended without a word, and may fill the table. RFC 5382 asks to keep established TCP " +
		"connections for 2h 4m at least, RFC 4787 UDP for 2m.").mend(mend...)
}
