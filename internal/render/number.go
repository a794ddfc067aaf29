package render

import (
	"net/netip"
	"strconv"
	"time"

	"github.com/spoor-project/spoor/flow"
)

// appendUint appends name, which includes whatever separates it, and a number.
func appendUint(b []byte, name string, n uint64) []byte {
	return strconv.AppendUint(append(b, name...), n, 10)
}

// appendPadded appends n in at least width digits, filled with zeros.
func appendPadded(b []byte, n uint64, width int) []byte {
	for limit := uint64(10); width > 1; width, limit = width-1, limit*10 {
		if n < limit {
			b = append(b, '0')
		}
	}
	return strconv.AppendUint(b, n, 10)
}

// appendAddr appends an address the way glibc's inet_ntop does, which differs from
// RFC 5952 in one case: the deprecated IPv4-compatible addresses end in dotted
// decimal (::0.5.0.1, not ::5:1).
func appendAddr(b []byte, a netip.Addr) []byte {
	if !a.Is4() {
		raw := a.As16()
		if [12]byte(raw[:12]) == ([12]byte{}) && (raw[12] != 0 || raw[13] != 0) {
			return appendIPv4(append(b, "::"...), [4]byte(raw[12:]))
		}
	}
	return appendPlainAddr(b, a)
}

// appendPlainAddr appends an address in the form of RFC 5952. The zone of an IPv6
// address is left out; no flow has one. This and its helpers are written by hand
// because each line has four addresses: netip.Addr.AppendTo takes twice the time.
func appendPlainAddr(b []byte, a netip.Addr) []byte {
	switch {
	case a.Is4():
		return appendIPv4(b, a.As4())
	case a.Is4In6():
		return appendIPv4(append(b, "::ffff:"...), a.As4())
	}
	return appendIPv6(b, a.As16())
}

func appendIPv4(b []byte, a [4]byte) []byte {
	b = appendOctet(b, a[0])
	b = appendOctet(append(b, '.'), a[1])
	b = appendOctet(append(b, '.'), a[2])
	return appendOctet(append(b, '.'), a[3])
}

func appendOctet(b []byte, n byte) []byte {
	switch {
	case n >= 100:
		return append(b, '0'+n/100, '0'+n/10%10, '0'+n%10)
	case n >= 10:
		return append(b, '0'+n/10, '0'+n%10)
	}
	return append(b, '0'+n)
}

// appendIPv6 puts "::" for the first of the longest runs of two or more zero groups.
func appendIPv6(b []byte, a [16]byte) []byte {
	gap, gapEnd := 8, 8
	for i := 0; i < 8; i++ {
		j := i
		for j < 8 && a[2*j] == 0 && a[2*j+1] == 0 {
			j++
		}
		if j-i >= 2 && j-i > gapEnd-gap {
			gap, gapEnd = i, j
		}
		i = max(i, j) // a[j] is not zero
	}
	for i := 0; i < 8; i++ {
		if i == gap {
			b = append(b, ':', ':')
			if i = gapEnd; i == 8 {
				break
			}
		} else if i > 0 {
			b = append(b, ':')
		}
		b = appendHexGroup(b, uint16(a[2*i])<<8|uint16(a[2*i+1]))
	}
	return b
}

func appendHexGroup(b []byte, n uint16) []byte {
	const hex = "0123456789abcdef"
	switch {
	case n >= 0x1000:
		b = append(b, hex[n>>12], hex[n>>8&15], hex[n>>4&15])
	case n >= 0x100:
		b = append(b, hex[n>>8], hex[n>>4&15])
	case n >= 0x10:
		b = append(b, hex[n>>4])
	}
	return append(b, hex[n&15])
}

// appendAddrOf appends an address of a tuple of the given family. An address that
// is not known is printed as zero, as the C library does, or not at all if
// neither is known.
func appendAddrOf(b []byte, a netip.Addr, family flow.Family) []byte {
	switch {
	case a.IsValid():
		return appendAddr(b, a)
	case family == flow.IPv4:
		return append(b, "0.0.0.0"...)
	case family == flow.IPv6:
		return append(b, "::"...)
	}
	return b
}

// seconds is a timeout as the kernel counts it.
func seconds(d time.Duration) uint64 { return uint64(uint32(d / time.Second)) }

// age is how many seconds f has lasted: until it stopped, or until now. Both ends
// are cut to whole seconds before they are compared, as conntrack -L does.
func age(f *flow.Flow, now time.Time) uint64 {
	end := now.Unix()
	if f.Has.Has(flow.HasStop) {
		end = int64(f.Stop) / int64(time.Second)
	}
	// Clocks do step back. The C program prints a huge number then.
	return uint64(max(0, end-int64(f.Start)/int64(time.Second)))
}

// protoName is the name that the C library prints for a protocol.
func protoName(p flow.Proto) string {
	if p.Known() {
		return p.String()
	}
	return "unknown"
}

// stateName returns the name of state n of p; NONE if p has states, but not n; and
// "" if it has none at all.
func stateName(p flow.Proto, n uint8) string {
	if name := p.StateName(n); name != "" {
		return name
	}
	return p.StateName(0)
}
