package config

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// parseAddr is the address that a token stands for. Numbers of IPv4 are read as the C library does: a leading 0 makes
// them octal.
func parseAddr(s string) (netip.Addr, bool) {
	if strings.Contains(s, ":") {
		a, err := netip.ParseAddr(s)
		return a, err == nil
	}
	groups := strings.Split(s, ".")
	if len(groups) != 4 {
		return netip.Addr{}, false
	}
	var b [4]byte
	for i, g := range groups {
		base := 10
		if len(g) > 1 && g[0] == '0' {
			base = 8
		}
		n, err := strconv.ParseUint(g, base, 8)
		if err != nil {
			return netip.Addr{}, false
		}
		b[i] = byte(n)
	}
	return netip.AddrFrom4(b), true
}

// addrText is a as the lexer knows addresses, which have no dots after colons.
func addrText(a netip.Addr) string {
	if a.Is4In6() {
		b := a.As16()
		return fmt.Sprintf("::ffff:%x:%x", uint16(b[12])<<8|uint16(b[13]), uint16(b[14])<<8|uint16(b[15]))
	}
	return a.String()
}

// Protocols makes a Lookup's Protocol of the text of /etc/protocols.
func Protocols(text []byte) func(name string) (number uint8, ok bool) {
	numbers := make(map[string]uint8)
	for line := range strings.Lines(string(text)) {
		line, _, _ = strings.Cut(line, "#")
		words := strings.Fields(line)
		if len(words) < 2 {
			continue
		}
		n, err := strconv.ParseUint(words[1], 10, 8)
		if err != nil {
			continue
		}
		words[1] = words[0]
		for _, name := range words[1:] {
			if _, had := numbers[name]; !had { // the first one counts
				numbers[name] = uint8(n)
			}
		}
	}
	return func(name string) (uint8, bool) {
		n, ok := numbers[name]
		return n, ok
	}
}

func familyName(six bool) string {
	if six {
		return "IPv6"
	}
	return "IPv4"
}
