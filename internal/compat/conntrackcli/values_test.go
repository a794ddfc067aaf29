package conntrackcli

import (
	"math"
	"net/netip"
	"testing"
)

func TestAddressesAreReadLikeTheCLibraryDoes(t *testing.T) {
	for text, want := range map[string]string{
		"1.2.3.4":        "1.2.3.4",
		"1.1":            "1.0.0.1",
		"1.2.3":          "1.2.0.3",
		"16909060":       "1.2.3.4",
		"0x01010101":     "1.1.1.1",
		"010.0.0.1":      "8.0.0.1",
		"1.2.3.4 junk":   "1.2.3.4",
		"255.255.65535":  "255.255.255.255",
		"::1":            "::1",
		"2001:DB8::1":    "2001:db8::1",
		"::ffff:1.2.3.4": "::ffff:1.2.3.4",
		"":               "",
		"1.2.3.4.5":      "",
		"1.2.3.256":      "",
		"256.1":          "",
		"1.2.3.":         "",
		"1..2":           "",
		" 1.2.3.4":       "",
		"+1.2.3.4":       "",
		"08.1.1.1":       "",
		"4294967296":     "",
		"fe80::1%lo":     "",
		"[::1]":          "",
		"foo":            "",
	} {
		got, ok := parseAddr(text)
		if (want != "") != ok || ok && got != netip.MustParseAddr(want) {
			t.Errorf("parseAddr(%q) = %v, %v; want %q", text, got, ok, want)
		}
	}
}

func TestNumbersAreReadLikeTheCLibraryDoes(t *testing.T) {
	for text, want := range map[string]int64{
		"5": 5, " \t+7x": 7, "-3": -3, "x": 0, "": 0, "0x10": 0, "010": 10,
		"99999999999999999999": math.MaxInt64, "-99999999999999999999": math.MinInt64,
	} {
		if got := atol(text); got != want {
			t.Errorf("atol(%q) = %d, want %d", text, got, want)
		}
	}
	for text, want := range map[string]uint64{
		"0x10": 16, "010": 8, "12": 12, "0x": 0, "-1": math.MaxUint64, "junk": 0, "5junk": 5,
	} {
		if got := strtoul(text); got != want {
			t.Errorf("strtoul(%q) = %d, want %d", text, got, want)
		}
	}
	for text, want := range map[string]bool{
		"0": true, "65535": true, "0xffff": true, " 7": true, "+7": true, "0177777": true,
		"65536": false, "": false, "7 ": false, "5x": false, "-1": false, "0x": false, "99999999999999999999999": false,
	} {
		if _, ok := parseUint(text, math.MaxUint16); ok != want {
			t.Errorf("parseUint(%q) ok = %v, want %v", text, ok, want)
		}
	}
}

// FuzzAddress holds what is read as an address to the law that its canonical form
// reads as the same.
func FuzzAddress(f *testing.F) {
	for _, s := range []string{"1.2.3.4/24", "0x7f.1", "::1/128", "1.1.1.1/", "fe80::/10", "1.1.1.1/-0", "1/ 7"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, arg string) {
		a, bits, hasLen, okAddr, okLen := parsePrefix(arg)
		if !okAddr {
			return
		}
		if b, ok := parseAddr(a.String()); !ok || a != b {
			t.Errorf("%q reads as %v, which reads as %v", arg, a, b)
		}
		if okLen && (bits < 0 || bits > a.BitLen()) || !hasLen && bits != a.BitLen() {
			t.Errorf("%q has length %d", arg, bits)
		}
	})
}

// FuzzNATAddress never panics and never reads what it cannot hold.
func FuzzNATAddress(f *testing.F) {
	for _, s := range []string{"1.1.1.1:80", "[::1]:80", "[::1", "]:[", "[]:1", "::1:2", "1.1.1.1:", ":80", "1.1.1.1:99999999999999999999999"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, arg string) {
		n, err := parseNATAddr(arg, "src-nat")
		if err == nil && !n.addr.IsValid() {
			t.Errorf("%q: neither an address nor an error", arg)
		}
	})
}
