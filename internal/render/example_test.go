package render_test

import (
	"net/netip"
	"os"
	"time"

	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/render"
)

func ExamplePrinter() {
	f := flow.Flow{
		Has: flow.HasMark,
		Orig: flow.Tuple{Src: netip.MustParseAddr("192.0.2.1"), Dst: netip.MustParseAddr("192.0.2.2"),
			SrcPort: 40000, DstPort: 53, Proto: flow.UDP},
	}
	p := render.NewPrinter(render.Flows, &render.Style{Format: render.JSON})
	var buf []byte
	for range 2 {
		buf = p.AppendFlow(buf, &f, time.Now())
	}
	buf = p.AppendEnd(buf)
	os.Stdout.Write(buf)
	// Output:
	// [
	// {"family":"ipv4","proto":"udp","protonum":17,"orig":{"src":"192.0.2.1","dst":"192.0.2.2","sport":40000,"dport":53},"mark":0},
	// {"family":"ipv4","proto":"udp","protonum":17,"orig":{"src":"192.0.2.1","dst":"192.0.2.2","sport":40000,"dport":53},"mark":0}
	// ]
}
