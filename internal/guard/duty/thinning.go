package duty

import "time"

// thinning decides of how many flows one is judged, from how late events are. It is pure.
type thinning struct {
	one     int           // one in so many; a power of two
	since   time.Time     // the last change
	lowered time.Time     // when more was judged again
	easy    time.Time     // since when events have been in time; zero: they are not
	calm    time.Duration // how long they must have been before more is judged
}

const (
	late        = 2 * time.Second        // events that are as old as this when they are judged are too many
	inTime      = 500 * time.Millisecond // and these are not
	settling    = 3 * time.Second        // after a change: what is queued has to be judged first
	leastCalm   = 30 * time.Second
	mostCalm    = 10 * time.Minute
	mostThinned = 64
)

// adjust takes in how late events are, about once a second, and reports whether the number has changed.
func (t *thinning) adjust(now time.Time, lag time.Duration) bool {
	if t.one == 0 {
		t.one, t.calm = 1, leastCalm
	}
	if lag > inTime {
		t.easy = time.Time{}
	} else if t.easy.IsZero() {
		t.easy = now
	}
	switch {
	case lag > late && t.one < mostThinned && now.Sub(t.since) >= settling:
		if !t.lowered.IsZero() && now.Sub(t.lowered) < 2*t.calm {
			t.calm = min(2*t.calm, mostCalm) // that was too early
		} else if t.one == 1 {
			t.calm = leastCalm
		}
		t.one *= 2
	case t.one > 1 && !t.easy.IsZero() && now.Sub(t.easy) >= t.calm && now.Sub(t.since) >= t.calm:
		t.one /= 2
		t.lowered = now
	default:
		return false
	}
	t.since = now
	return true
}

// clock tells a time that never goes back and does not stop: it goes on evenly when the machine's is set back, and follows when that is set ahead.
type clock struct {
	start time.Time // with the monotonic reading
	ahead time.Duration
}

func newClock() *clock { return &clock{start: time.Now()} }

// now is the time. It is for one goroutine.
func (c *clock) now() time.Time {
	t := time.Now()
	return c.at(t.Round(0), t.Sub(c.start))
}

// at is the time when the machine's clock shows wall and so much has gone by.
func (c *clock) at(wall time.Time, gone time.Duration) time.Time {
	even := c.start.Round(0).Add(gone + c.ahead)
	if jump := wall.Sub(even); jump > time.Second {
		c.ahead += jump
		even = even.Add(jump)
	}
	return even
}
