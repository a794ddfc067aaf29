package recording

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
)

// FuzzAddr states that addresses are read as netip reads them; only zones are not known.
func FuzzAddr(f *testing.F) {
	for _, s := range []string{"", "1.2.3.4", "1.2.3", "1.2.3.4.5", "01.2.3.4", "0.0.0.0", "255.255.255.255", "256.1.1.1", "1..2.3", "1.2.3.", "::", ":", ":::", "::1", "1::", "1::2::3",
		"1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:8::", "::1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8:9", "::ffff:1.2.3.4", "1:2:3:4:5:6:1.2.3.4",
		"1:2:3:4:5:6:7:1.2.3.4", "::1.2.3.4:5", "::1.2.3", "12345::", "fD00::aB", "g::", "1:", "1::2:", ".:", "1.2.3.4:", "::.1.2.3", "::00001", "::a.1.2.3"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		want, err := netip.ParseAddr(s)
		if strings.Contains(s, "%") {
			want, err = netip.Addr{}, errors.New("a zone")
		}
		got, ok := parseAddr([]byte(s))
		if ok != (err == nil) || ok && got != want {
			t.Errorf("%q: %v, %v; want %v, %v", s, got, ok, want, err)
		}
	})
}
