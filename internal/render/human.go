package render

import (
	"fmt"
	"strconv"
	"time"
)

// AppendShort appends a number for people, in at most five characters: 999, 1.5k, 12.0M. Units are of 1000; the rest is cut off.
func AppendShort(b []byte, n uint64) []byte {
	if n < 1000 {
		return strconv.AppendUint(b, n, 10)
	}
	unit := 0
	tenths := n / 100 // of a thousand
	for tenths >= 10_000 && unit < 5 {
		tenths /= 1000
		unit++
	}
	b = strconv.AppendUint(b, tenths/10, 10)
	if tenths < 1000 {
		b = append(b, '.', '0'+byte(tenths%10))
	}
	return append(b, "kMGTPE"[unit])
}

// AppendSpan appends a time for people, in its two largest units: 59s, 5m30s, 3h02m, 4d23h. What is below a second is cut off.
func AppendSpan(b []byte, d time.Duration) []byte {
	s := int(d / time.Second)
	switch {
	case s < 60:
		return fmt.Appendf(b, "%ds", s)
	case s < 3600:
		return fmt.Appendf(b, "%dm%02ds", s/60, s%60)
	case s < 86400:
		return fmt.Appendf(b, "%dh%02dm", s/3600, s/60%60)
	}
	return fmt.Appendf(b, "%dd%02dh", s/86400, s/3600%24)
}
