package conntrack

import (
	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/nfnetlink"
)

// Decoder reads entries that the kernel attaches to the messages of its other subsystems: the flow of a queued packet
// (NFQA_CT). The zero Decoder is ready. It remembers names that recur, and so is not for several goroutines at once.
type Decoder struct{ d decoder }

// Flow reads an entry from its attributes, the content of NFQA_CT, and overwrites f. Attributes that it does not know are passed
// over; the error is that there is no original tuple.
func (d *Decoder) Flow(attrs []byte, f *flow.Flow) error {
	_, err := d.d.flowOf(nfnetlink.Walk(attrs), f)
	return err
}

// Expect reads an expectation from its attributes, the content of NFQA_EXP, like Flow.
func (d *Decoder) Expect(attrs []byte, e *flow.Expect) error {
	return d.d.expectOf(nfnetlink.Walk(attrs), e)
}

// AppendExpect appends the attributes of an expectation to b, as they are handed to the kernel together with the verdict on
// a queued packet (NFQA_EXP). What is sent is what [Client.CreateExpect] sends.
func AppendExpect(b []byte, e *flow.Expect) []byte {
	var attrs nfnetlink.Builder
	appendTuple(&attrs, ctaExpectTuple, &e.Tuple)
	if e.Zone != 0 {
		attrs.Uint16(ctaExpectZone, e.Zone)
	}
	appendExpect(&attrs, e)
	return append(b, attrs.Bytes()...)
}
