package measure

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Median returns the middle value, of an even number the mean of the middle two. It
// sorts its argument.
func Median[T ~int64 | ~float64](all []T) T {
	slices.Sort(all)
	mid := len(all) / 2
	if len(all)%2 == 1 {
		return all[mid]
	}
	return (all[mid-1] + all[mid]) / 2
}

// BytesText is a size in powers of 1000, as the targets mean it.
func BytesText(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }

// TimeText has three digits or so.
func TimeText(d time.Duration) string {
	switch {
	case d >= 10*time.Second:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d >= time.Second:
		return fmt.Sprintf("%.2f s", d.Seconds())
	case d >= 10*time.Millisecond:
		return fmt.Sprintf("%.0f ms", d.Seconds()*1e3)
	}
	return fmt.Sprintf("%.2f ms", d.Seconds()*1e3)
}

// Grouped is n with a comma before every three digits.
func Grouped(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// LastLine returns the last line of what a program said.
func LastLine(text string) string {
	text = strings.TrimSpace(text)
	return text[strings.LastIndexByte(text, '\n')+1:]
}
