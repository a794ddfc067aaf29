//go:build linux

package main

import (
	"cmp"
	"slices"
	"time"
)

// delay is how long flows took to become known, and how many of them.
type delay struct {
	took  time.Duration
	flows int
}

// delays compares when flows began with when so many were known, both in the order of time: the n-th that began is
// taken for the n-th that became known.
func delays(begun, known []mark) []delay {
	var all []delay
	i, done := 0, 0
	for _, k := range known {
		for done < k.Count {
			for i < len(begun) && begun[i].Count <= done {
				i++
			}
			if i == len(begun) {
				return all
			}
			n := min(k.Count, begun[i].Count) - done
			all = append(all, delay{k.At - begun[i].At, n})
			done += n
		}
	}
	return all
}

// quantiles returns the delay that the given shares of the flows do not exceed. It sorts its argument.
func quantiles(all []delay, shares ...float64) []time.Duration {
	slices.SortFunc(all, func(a, b delay) int { return cmp.Compare(a.took, b.took) })
	total := 0
	for _, d := range all {
		total += d.flows
	}
	result := make([]time.Duration, len(shares))
	for k, share := range shares {
		rest := share * float64(total)
		for _, d := range all {
			result[k] = d.took
			if rest -= float64(d.flows); rest <= 0 {
				break
			}
		}
	}
	return result
}
