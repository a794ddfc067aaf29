package guard

// window counts what happens within a time that moves along: what has happened since the last multiple of it, and a part of what happened in the one before, as
// if that had come evenly. So it is exact for steady rates, and after a burst it can be too large by the burst, for no longer than one window.
type window struct {
	start     uint32 // second
	now, last uint32
}

// add counts n more. It reports how many whole windows have passed since the last count, 0 if it was in the same.
func (w *window) add(second, span, n uint32) (passed uint32) {
	passed = w.roll(second, span)
	w.now = saturated(uint64(w.now) + uint64(n))
	return passed
}

func (w *window) roll(second, span uint32) (passed uint32) {
	if w.start == 0 {
		w.start = second
	}
	passed = (second - w.start) / span
	switch passed {
	case 0:
		return 0
	case 1:
		w.last = w.now
	default:
		w.last = 0
	}
	w.now = 0
	w.start += passed * span
	return passed
}

// sum is what was counted in the span before second.
func (w *window) sum(second, span uint32) float64 {
	w.roll(second, span)
	gone := float64(second-w.start) / float64(span)
	return float64(w.now) + float64(w.last)*(1-gone)
}

func saturated(n uint64) uint32 { return uint32(min(n, 1<<32-1)) }
