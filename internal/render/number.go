package render

import (
	"net/netip"
	"strconv"
	"time"

	"github.com/spoor-project/spoor/flow"
)

// appendUint appends name, which includes whatever separates it, and a number.
func appendUint(b []byte, name string, n uint64) []byte {
	return AppendDecimal(append(b, name...), n)
}

// AppendDecimal appends a number. Most have few digits, which strconv takes a longer way to.
func AppendDecimal(b []byte, n uint64) []byte {
	switch {
	case n < 10:
		return append(b, digits[2*n+1])
	case n < 100:
		return append(b, digits[2*n], digits[2*n+1])
	case n < 1000:
		h, l := n/100, n%100*2
		return append(b, digits[2*h+1], digits[l], digits[l+1])
	case n < 10_000:
		h, l := n/100*2, n%100*2
		return append(b, digits[h], digits[h+1], digits[l], digits[l+1])
	case n < 100_000:
		x, h, l := n/10_000, n/100%100*2, n%100*2
		return append(b, digits[2*x+1], digits[h], digits[h+1], digits[l], digits[l+1])
	case n < 1_000_000:
		return appendSixDigits(b, n)
	}
	if n < 1_000_000_000_000 {
		return appendSixDigits(AppendDecimal(b, n/1_000_000), n%1_000_000)
	}
	return strconv.AppendUint(b, n, 10)
}

func appendSixDigits(b []byte, n uint64) []byte {
	x, h, l := n/10_000*2, n/100%100*2, n%100*2
	return append(b, digits[x], digits[x+1], digits[h], digits[h+1], digits[l], digits[l+1])
}

// digits has the numbers from 00 to 99.
const digits = "00010203040506070809" +
	"10111213141516171819" +
	"20212223242526272829" +
	"30313233343536373839" +
	"40414243444546474849" +
	"50515253545556575859" +
	"60616263646566676869" +
	"70717273747576777879" +
	"80818283848586878889" +
	"90919293949596979899"

// appendPadded appends n in at least width digits, filled with zeros.
func appendPadded(b []byte, n uint64, width int) []byte {
	for limit := uint64(10); width > 1; width, limit = width-1, limit*10 {
		if n < limit {
			b = append(b, '0')
		}
	}
	return AppendDecimal(b, n)
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
	return AppendAddr(b, a)
}

// AppendAddr appends an address in the form of RFC 5952. The zone of an IPv6
// address is left out; no flow has one. This and its helpers are written by hand
// because each line has four addresses: netip.Addr.AppendTo takes twice the time.
func AppendAddr(b []byte, a netip.Addr) []byte {
	switch {
	case a.Is4():
		return appendIPv4(b, a.As4())
	case a.Is4In6():
		return appendIPv4(append(b, "::ffff:"...), a.As4())
	}
	return appendIPv6(b, a.As16())
}

// octets has "0." to "255.", filled up to four bytes, and how many of them count.
var octets = func() (t [256]struct {
	text [4]byte
	n    uint8
}) {
	for i := range t {
		t[i].n = uint8(copy(t[i].text[:], strconv.Itoa(i)+"."))
	}
	return t
}()

func appendIPv4(b []byte, a [4]byte) []byte {
	n := len(b)
	b = append(b, "255.255.255.255."...)
	return b[:putIPv4(b, n, a)]
}

// putIPv4 puts an address at b[at:], where there are 16 bytes of room, and returns where it ends.
func putIPv4(b []byte, at int, a [4]byte) int {
	room := (*[16]byte)(b[at:])
	n := 0
	for _, v := range a {
		o := &octets[v]
		*(*[4]byte)(room[n&15:]) = o.text
		n += int(o.n)
	}
	return at + n - 1
}

// putPort puts a port at b[at:], where there are 8 bytes of room, and returns where it ends.
func putPort(b []byte, at int, port uint16) int {
	room := (*[8]byte)(b[at:])
	n := uint32(port)
	h, l := n/100%100*2, n%100*2
	switch {
	case n >= 10_000:
		room[0], room[1], room[2], room[3], room[4] = byte('0'+n/10_000), digits[h], digits[h+1], digits[l], digits[l+1]
		return at + 5
	case n >= 1000:
		room[0], room[1], room[2], room[3] = digits[h], digits[h+1], digits[l], digits[l+1]
		return at + 4
	case n >= 100:
		room[0], room[1], room[2] = digits[h+1], digits[l], digits[l+1]
		return at + 3
	case n >= 10:
		room[0], room[1] = digits[l], digits[l+1]
		return at + 2
	}
	room[0] = digits[l+1]
	return at + 1
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
