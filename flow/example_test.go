package flow_test

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/spoor-project/spoor/flow"
)

func ExampleParseLabelMap() {
	m, err := flow.ParseLabelMap(strings.NewReader("# traffic\n1 web\n2 bulk transfer\n"))
	if err != nil {
		fmt.Println(err)
		return
	}
	bit, ok := m.Bit("bulk transfer")
	fmt.Println(bit, ok, m.Name(1), m.Len())
	// Output: 2 true web 2
}

func ExampleTuple_Inverse() {
	ping := flow.Tuple{Src: netip.MustParseAddr("192.0.2.1"), Dst: netip.MustParseAddr("192.0.2.2"), Proto: flow.ICMP}
	ping.SetICMP(8, 0, 77)
	answer, ok := ping.Inverse()
	fmt.Println(answer.Src, answer.ICMPType(), answer.ICMPID(), ok)
	// Output: 192.0.2.2 0 77 true
}
