package cthelper

import "net/netip"

// leadingNumber reads the decimal number at the beginning of b. A number of more than 9 digits is cut there.
func leadingNumber(b []byte) (n uint32, digits int) {
	for digits < len(b) && digits < 9 && b[digits] >= '0' && b[digits] <= '9' {
		n = 10*n + uint32(b[digits]-'0')
		digits++
	}
	return n, digits
}

// leadingPort reads the port at the beginning of b. ok is false if there is none, or none that can be listened on.
func leadingPort(b []byte) (port uint16, digits int, ok bool) {
	n, digits := leadingNumber(b)
	return uint16(n), digits, n > 0 && n <= 0xffff
}

// isHost reports whether one can connect to the address.
func isHost(a netip.Addr) bool {
	return !a.IsUnspecified() && !a.IsMulticast() && !a.Is4In6() && a.Zone() == ""
}
