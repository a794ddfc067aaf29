package filter_test

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/spoor-project/spoor/filter"
	"github.com/spoor-project/spoor/flow"
)

func ExampleFilter() {
	// Web connections from one network that nobody has answered yet.
	flt := filter.Filter{
		Orig: filter.Side{
			Src:     filter.Prefix(netip.MustParsePrefix("192.0.2.0/24")),
			Proto:   new(flow.TCP),
			DstPort: new(uint16(443)),
		},
		Status: &filter.Status{Value: 0, Mask: flow.SeenReply},
	}
	f := flow.Flow{Has: flow.HasStatus, Status: flow.Confirmed, Orig: flow.Tuple{
		Src: netip.MustParseAddr("192.0.2.7"), Dst: netip.MustParseAddr("198.51.100.1"),
		Proto: flow.TCP, SrcPort: 40000, DstPort: 443}}
	fmt.Println(flt.Match(&f))
	f.Status |= flow.SeenReply
	fmt.Println(flt.Match(&f))
	// Output:
	// true
	// false
}

func ExamplePrefix() {
	set := filter.Prefix(netip.MustParsePrefix("10.0.0.0/8"))
	fmt.Println(set.Contains(netip.MustParseAddr("10.1.2.3")))
	fmt.Println(set.Contains(netip.MustParseAddr("192.0.2.1")))
	// Output:
	// true
	// false
}

func ExampleNAT() {
	flt := filter.Filter{NAT: []filter.NAT{{Dst: true, Addr: netip.MustParseAddr("10.0.0.9")}}}
	f := flow.Flow{Has: flow.HasReply,
		Orig:  flow.Tuple{Src: netip.MustParseAddr("192.0.2.7"), Dst: netip.MustParseAddr("198.51.100.1")},
		Reply: flow.Tuple{Src: netip.MustParseAddr("10.0.0.9"), Dst: netip.MustParseAddr("192.0.2.7")}}
	fmt.Println(flt.Match(&f))
	// Output: true
}

func ExampleFilter_Kernel() {
	flt := filter.Filter{
		Mark: &filter.Mark{Value: 1, Mask: 0xff},
		Orig: filter.Side{Src: filter.Addrs{Addr: netip.MustParseAddr("2001:db8::1")}},
	}
	// Kernels compare IPv6 addresses the wrong way round, so they are not asked to.
	k, whole := flt.Kernel()
	fmt.Println(k.Family, k.Mark != nil, k.OrigFields, whole)
	// Output: ipv6 true 0 false
}

func ExampleParse() {
	q, err := filter.Parse("tcp and dport 443,8443 and bytes > 1.5M")
	if err != nil {
		fmt.Println(err)
		return
	}
	f := flow.Flow{Has: flow.HasOrigCounters, Orig: flow.Tuple{Proto: flow.TCP, DstPort: 443},
		OrigCounters: flow.Counters{Packets: 1200, Bytes: 1_600_000}}
	fmt.Println(q, q.Match(&f, time.Now()))

	_, err = filter.Parse("tcp and dprot 443")
	fmt.Println(err)
	// Output:
	// tcp and dport 443,8443 and bytes > 1500k true
	// column 9: unknown condition "dprot"; did you mean dport?
}
