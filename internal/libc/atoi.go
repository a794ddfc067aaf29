package libc

import "math"

// Atoi reads a number as atoi(3) does where long has 64 bits and int 32: blanks and a
// sign, then digits up to something else; no digits are 0. What does not fit is cut to
// what long can hold, and of that the low 32 bits are the result.
func Atoi(s string) int32 {
	i := 0
	for i < len(s) && (s[i] == ' ' || s[i] >= '\t' && s[i] <= '\r') {
		i++
	}
	negative := false
	if i < len(s) && (s[i] == '+' || s[i] == '-') {
		negative = s[i] == '-'
		i++
	}
	limit := uint64(math.MaxInt64)
	if negative {
		limit++
	}
	n := uint64(0)
	for ; i < len(s) && s[i] >= '0' && s[i] <= '9'; i++ {
		digit := uint64(s[i] - '0')
		if n > (limit-digit)/10 {
			n = limit
			break
		}
		n = n*10 + digit
	}
	if negative {
		n = -n
	}
	return int32(n)
}
