//go:build linux

package main

// climb finds the highest rung that holds, of which it assumes that all lower ones do too. It begins with
// start, goes on in strides that double, and then halves what is left. It returns -1 if
// none holds.
func climb(rungs, start, stride int, holds func(rung int) (bool, error)) (int, error) {
	low, high := -1, rungs // the highest that holds, the lowest that does not
	for at := min(max(start, 0), rungs-1); ; {
		ok, err := holds(at)
		if err != nil {
			return low, err
		}
		if ok {
			low = at
		} else {
			high = at
		}
		if high-low <= 1 {
			return low, nil
		}
		switch {
		case high == rungs:
			at = min(low+stride, rungs-1)
			stride *= 2
		case low == -1:
			at = max(high-stride, 0)
			stride *= 2
		default:
			at = (low + high) / 2
		}
	}
}

const (
	lowestRate  = 5_000
	highestRate = 300_000
	rateStep    = 1.1
)

// rates are the rungs, in flows per second.
func rates() (all []int) {
	for r := float64(lowestRate); r <= highestRate; r *= rateStep {
		all = append(all, int(r)/100*100)
	}
	return all
}
