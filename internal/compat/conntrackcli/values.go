package conntrackcli

import (
	"math"
	"net/netip"
	"strings"
)

// The functions here read numbers and addresses by the rules of the C library
// functions that the original uses, since scripts have come to rely on what
// those let through.

func isSpace(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' }

// scanInt reads a number the way strtol does: blanks, a sign, digits. base 0
// recognises 0x and 0. It returns the magnitude, capped, and what follows; digits
// is false if there was no number.
func scanInt(s string, base int) (n uint64, negative bool, rest string, digits, over bool) {
	i := 0
	for i < len(s) && isSpace(s[i]) {
		i++
	}
	if i < len(s) && (s[i] == '+' || s[i] == '-') {
		negative = s[i] == '-'
		i++
	}
	if base == 0 {
		base = 10
		if i < len(s) && s[i] == '0' {
			base = 8
			if i+2 < len(s) && s[i+1]|0x20 == 'x' && digitOf(s[i+2]) < 16 {
				base = 16
				i += 2
			}
		}
	}
	start := i
	for ; i < len(s) && digitOf(s[i]) < base; i++ {
		d := uint64(digitOf(s[i]))
		if n > (math.MaxUint64-d)/uint64(base) {
			over = true
			n = math.MaxUint64
			continue
		}
		n = n*uint64(base) + d
	}
	if i == start {
		return 0, false, s, false, false
	}
	return n, negative, s[i:], true, over
}

func digitOf(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c|0x20 >= 'a' && c|0x20 <= 'z':
		return int(c|0x20-'a') + 10
	}
	return 99
}

// atol reads as much of a decimal number as there is, 0 if none, capped at the
// ends of the range.
func atol(s string) int64 {
	if n, ok := plainNumber(s); ok {
		return int64(n)
	}
	n, negative, _, _, _ := scanInt(s, 10)
	switch {
	case negative && n > math.MaxInt64:
		return math.MinInt64
	case negative:
		return -int64(n)
	case n > math.MaxInt64:
		return math.MaxInt64
	}
	return int64(n)
}

// plainNumber reads a decimal number that is nothing but up to nine digits.
func plainNumber(s string) (n uint64, ok bool) {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		n = n*10 + uint64(s[i]-'0')
	}
	return n, s != "" && len(s) <= 9
}

// strtoul reads as much of a number in base 0 as there is; a minus sign negates,
// modulo 2^64.
func strtoul(s string) uint64 {
	n, negative, _, _, _ := scanInt(s, 0)
	if negative && n != math.MaxUint64 {
		return -n
	}
	return n
}

// parseUint reads a whole string as a number in base 0, no larger than limit.
func parseUint(s string, limit uint64) (uint64, bool) {
	n, negative, rest, digits, over := scanInt(s, 0)
	if negative {
		n = -n
	}
	return n, digits && !over && rest == "" && n <= limit
}

// parseAddr reads an address: IPv4 with one to four parts, each decimal, octal or
// hexadecimal, or IPv6.
func parseAddr(s string) (netip.Addr, bool) {
	if a, ok := parseIPv4(s); ok {
		return a, true
	}
	a, err := netip.ParseAddr(s)
	if err != nil || !a.Is6() || a.Zone() != "" {
		return netip.Addr{}, false
	}
	return a, true
}

// parseIPv4 follows inet_aton: the last part fills all bytes that are left, and what
// follows white space is not looked at.
func parseIPv4(s string) (netip.Addr, bool) {
	if a, ok := parseQuad(s); ok {
		return a, true
	}
	var parts []uint64
	for {
		if s == "" || s[0] < '0' || s[0] > '9' { // no blank or sign within
			return netip.Addr{}, false
		}
		n, _, rest, digits, over := scanInt(s, 0)
		if !digits || over || len(parts) == 4 {
			return netip.Addr{}, false
		}
		parts = append(parts, n)
		if rest == "" || isSpace(rest[0]) {
			break
		}
		if rest[0] != '.' {
			return netip.Addr{}, false
		}
		s = rest[1:]
	}
	last := len(parts) - 1
	v := parts[last]
	if v > math.MaxUint32>>(8*last) {
		return netip.Addr{}, false
	}
	for i, p := range parts[:last] {
		if p > 255 {
			return netip.Addr{}, false
		}
		v |= p << (24 - 8*i)
	}
	return netip.AddrFrom4([4]byte{byte(v >> 24), byte(v >> 16), byte(v >> 8), byte(v)}), true
}

// parseQuad reads the usual form, four decimal numbers, and nothing else: a number
// that begins with 0 is octal, or 0.
func parseQuad(s string) (netip.Addr, bool) {
	var quad [4]byte
	part, n, digits := 0, uint(0), 0
	for i := range len(s) {
		c := s[i]
		switch {
		case c >= '0' && c <= '9' && digits < 3 && (digits == 0 || n != 0):
			n, digits = n*10+uint(c-'0'), digits+1
		case c == '.' && digits > 0 && n <= 255 && part < 3:
			quad[part] = byte(n)
			part, n, digits = part+1, 0, 0
		default:
			return netip.Addr{}, false
		}
	}
	if part != 3 || digits == 0 || n > 255 {
		return netip.Addr{}, false
	}
	quad[3] = byte(n)
	return netip.AddrFrom4(quad), true
}

// maxAddrText is how much of an address argument is looked at.
const maxAddrText = 45

// parsePrefix reads ADDR[/LEN]. hasLen tells an address with a length from one
// without; an empty length is 0. okLen is false if the length is not one.
func parsePrefix(arg string) (a netip.Addr, bits int, hasLen, okAddr, okLen bool) {
	text := arg[:min(len(arg), maxAddrText)]
	text, length, hasLen := strings.Cut(text, "/")
	if a, okAddr = parseAddr(text); !okAddr {
		return a, 0, hasLen, false, false
	}
	bits = a.BitLen()
	if !hasLen {
		return a, bits, false, true, true
	}
	n, negative, rest, digits, _ := scanInt(length, 10)
	if length == "" {
		n, digits = 0, true
	}
	okLen = digits && rest == "" && (!negative || n == 0) && n <= uint64(bits)
	return a, int(n), true, true, okLen
}

// natAddr is the argument of -n, -g and -j.
type natAddr struct {
	addr netip.Addr
	port *uint16
}

// parseNATAddr reads IP4, IP4:PORT, IP6 or [IP6]:PORT. option is its name in messages.
func parseNATAddr(arg, option string) (n natAddr, err error) {
	host, port, hasPort := arg, "", false
	switch {
	case strings.Contains(arg, "["):
		open := strings.IndexByte(arg, '[')
		end := strings.IndexByte(arg, ']')
		switch {
		case end < 0:
			return n, usagef("No closing ']' around IPv6 address")
		case end == open+1:
			return n, usagef("No IPv6 address specified")
		}
		// Without a port the brackets stay, and the address is not one.
		if tail, found := strings.CutPrefix(arg[end+1:], ":"); found && end > open {
			host, port, hasPort = arg[open+1:end], tail, true
		}
	case strings.Count(arg, ":") == 1:
		host, port, hasPort = strings.Cut(arg, ":")
	}
	if hasPort {
		if port == "" {
			return n, usagef("No port specified after `:'")
		}
		v := uint64(0)
		for i := range len(port) {
			if port[i] < '0' || port[i] > '9' || v > math.MaxUint16 {
				return n, usagef("Invalid port `%s'", port)
			}
			v = v*10 + uint64(port[i]-'0')
		}
		if v > math.MaxUint16 {
			return n, usagef("Invalid port `%s'", port)
		}
		n.port = new(uint16(v))
	}
	addr, _, hasLen, ok, _ := parsePrefix(host)
	switch {
	case !ok:
		return n, usagef("Invalid IP address `%s'", host)
	case hasLen:
		return n, usagef("CIDR notation unavailable for `--%s'", option)
	}
	n.addr = addr
	return n, nil
}
