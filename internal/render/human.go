package render

import (
	"fmt"
	"strconv"
	"time"
)

// Grouped writes a number for people with a comma behind every thousand: 1,234,567. n is not negative.
func Grouped[N int | uint32 | uint64](n N) string {
	if n < 1000 {
		return strconv.FormatUint(uint64(n), 10)
	}
	return fmt.Sprintf("%s,%03d", Grouped(n/1000), n%1000)
}

// Plural is a number, as by Grouped, and a word that has an s unless the number is 1: 1 flow, 2,000 flows.
func Plural[N int | uint32 | uint64](n N, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return Grouped(n) + " " + word + "s"
}

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

// AppendSpan appends a time for people, in its two largest units: 59s, 5m30s, 3h02m, 4d23h. What is below a second is cut off; a negative time is 0.
func AppendSpan(b []byte, d time.Duration) []byte {
	s := uint64(max(0, d) / time.Second)
	switch {
	case s < 60:
		return append(strconv.AppendUint(b, s, 10), 's')
	case s < 3600:
		return appendTwo(b, s/60, 'm', s%60, 's')
	case s < 86400:
		return appendTwo(b, s/3600, 'h', s/60%60, 'm')
	}
	return appendTwo(b, s/86400, 'd', s/3600%24, 'h')
}

func appendTwo(b []byte, n uint64, unit byte, m uint64, lesser byte) []byte {
	b = append(strconv.AppendUint(b, n, 10), unit)
	return append(b, '0'+byte(m/10), '0'+byte(m%10), lesser)
}
