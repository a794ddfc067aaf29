package wire_test

import (
	"encoding/hex"
	"fmt"

	"github.com/spoor-project/spoor/internal/statesync/wire"
)

func ExampleDissect() {
	datagram, _ := hex.DecodeString("" +
		"1100003c6b011cf7000c00000a0a0202c633646f00080005000001af00050002060000000008000300149c4b00050004030000000006000e921f0000" +
		"1a2800106b011cf86b011feb6b011fec" +
		"1000001c00000007000c00000a0a0202c633646f0006000511110000" +
		"1a10")
	fmt.Print(wire.Dissect(datagram))
	// Output:
	// CT_UPD seq=1795235063 len=60
	//     IPV4            src=10.10.2.2 dst=198.51.100.111
	//     STATUS          431 (EXPECTED,SEEN_REPLY,ASSURED,CONFIRMED,DST_NAT,SRC_NAT_DONE,DST_NAT_DONE)
	//     L4PROTO         6 (tcp)
	//     PORT            sport=20 dport=40011
	//     TCP_STATE       3 (ESTABLISHED)
	//     SPAT_PORT       8082
	// CTL ACK|HELLO seq=1795235064 len=16 from=1795235819 to=1795235820
	// CT_NEW seq=7 len=28
	//     IPV4            src=10.10.2.2 dst=198.51.100.111
	//     ! malformed payload at byte 96: STATUS: length 6 instead of 8
	// incomplete message
	//     ! truncated message at byte 104: 2 bytes left, too few for the header
}

func ExampleReader() {
	alive := wire.AppendControl(nil, wire.Header{Flags: wire.Alive | wire.Hello, Seq: 57}, wire.Range{})
	ack := wire.AppendControl(nil, wire.Header{Flags: wire.Ack, Seq: 58}, wire.Range{From: 3, To: 9})
	var count [wire.NumFaults]int
	for r := wire.Datagram(append(append(alive, ack...), 0x10)); r.Next(); {
		if r.Fault != 0 {
			count[r.Fault]++
			continue
		}
		fmt.Println(r.Message.Seq, r.Message.Flags, r.Message.Range)
	}
	fmt.Println(count[wire.Truncated], wire.Truncated)
	// Output:
	// 57 ALIVE|HELLO {0 0}
	// 58 ACK {3 9}
	// 1 truncated message
}
