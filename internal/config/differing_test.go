package config

import (
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestDifferencesAreNamedAsTheyAreWritten(t *testing.T) {
	const channel = "UDP { IPv4_address 192.0.2.1 IPv4_Destination_Address 192.0.2.2 Port 3780 Interface a }\n"
	for _, c := range []struct {
		a, b string
		want []string
	}{
		{"", "", nil},
		{"General { HashSize 1 }", "General { HashLimit 5 }", []string{"General { HashSize }", "General { HashLimit }"}},
		{"General { HashSize 65536 }", "", nil}, // the default
		{"", "General { LogFile on UNIX { Path /x } }", []string{"General { LogFile }", "General { UNIX }"}},
		{"General { UNIX { Path /y } }", "General { UNIX { Path /x } }", []string{"General { UNIX { Path } }"}},
		{"General { Scheduler { Type fifo Priority 3 } }", "General { Scheduler { Type rr Priority 4 } }",
			[]string{"General { Scheduler { Type } }", "General { Scheduler { Priority } }"}},
		{"General { Metrics { } }", "", []string{"General { Metrics }"}},
		{"Sync { Mode FTFW { ACKWindowSize 5 CommitTimeout 7 } }", "Sync { Mode FTFW { } }",
			[]string{"Sync { Mode FTFW { ACKWindowSize } }", "Sync { CommitTimeout }"}},
		{"Sync { Mode FTFW { ACKWindowSize 5 } }", "Sync { Mode ALARM { } }", []string{"Sync { Mode }"}},
		{"Sync { " + channel + "}", "Sync { }", []string{"Sync { UDP }"}},
		{"Sync { " + channel + "}", "Sync { " + strings.Replace(channel, "3780", "3781", 1) + "}", []string{"Sync { UDP { Port } }"}},
		{"Sync { " + channel + channel + "}", "Sync { " + channel + strings.Replace(channel, "UDP", "UDP Default", 1) + "}", []string{"Sync { UDP }"}},
		{"Sync { Options { ExpectationSync { ftp } } }", "Sync { Options { ExpectationSync { sip } } }",
			[]string{"Sync { Options { ExpectationSync } }"}},
		{"General { Filter { State Accept { CLOSE for TCP } } }", "General { Filter { State Accept { LISTEN for TCP } } }",
			[]string{"General { Filter { State } }"}},
		{"Sync { }", "Stats { }", []string{"Sync", "Stats"}},
		{"Stats { LogFile on }", "Stats { LogFile /y Syslog on }", []string{"Stats { LogFile }", "Stats { Syslog }"}},
		{"General { Filter { Address Accept { IPv4_address 192.0.2.1 } } }", "General { Filter { Address Accept { IPv4_address 192.0.2.2 } } }",
			[]string{"General { Filter { Address { IPv4_address } } }"}},
		{"General { Filter { Address Accept { IPv4_address 192.0.2.1 } } }", "General { Filter { Address Ignore { IPv4_address 192.0.2.2 } } }",
			[]string{"General { Filter { Address } }"}},
		{"Helper { Type ftp inet tcp { QueueNum 1 } }", "Helper { Type ftp inet tcp { QueueNum 2 } }", []string{"Helper { Type { QueueNum } }"}},
	} {
		a, b := Parse("", []byte(c.a), Lookup{}), Parse("", []byte(c.b), Lookup{})
		if a.Err() != nil || b.Err() != nil {
			t.Fatal(a.Err(), b.Err())
		}
		if got := Differing(&a.Config, &b.Config); !slices.Equal(got, c.want) {
			t.Errorf("%s\n%s\ndiffer in %q, want %q", c.a, c.b, got, c.want)
		}
	}
}

// Configurations are equal if nothing is named.
func FuzzDiffering(f *testing.F) {
	f.Add("General { HashSize 1 }", "Sync { Mode FTFW { } UDP { Port 1 } }")
	f.Add("Stats { }", "General { Filter { State Accept { CLOSE for TCP } } }")
	f.Fuzz(func(t *testing.T, x, y string) {
		a, b := Parse("", []byte(x), Lookup{}), Parse("", []byte(y), Lookup{})
		if a.Err() != nil || b.Err() != nil {
			return
		}
		if names := Differing(&a.Config, &b.Config); (len(names) == 0) != reflect.DeepEqual(a.Config, b.Config) {
			t.Errorf("%q and %q differ in %q", x, y, names)
		}
	})
}
