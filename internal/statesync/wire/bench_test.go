package wire_test

import (
	"testing"

	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/statesync/wire"
)

// established is what most messages are about.
func established() flow.Flow {
	f := simple()
	f.Orig.Proto, f.Reply.Proto, f.State = flow.TCP, flow.TCP, flow.TCPEstablished
	f.Has |= flow.HasState | flow.HasMark
	f.Reply.Dst = addr("203.0.113.7")
	return f
}

func BenchmarkAppendFlow(b *testing.B) {
	f := established()
	buf := make([]byte, 0, wire.MaxSize)
	b.ReportAllocs()
	for b.Loop() {
		buf = wire.AppendFlow(buf[:0], wire.Header{Type: wire.CTUpdate, Seq: 1}, &f, wire.Options{})
	}
	b.SetBytes(int64(len(buf)))
}

func BenchmarkDecode(b *testing.B) {
	f := established()
	m := send(&f, wire.Options{})
	var x receiver
	b.SetBytes(int64(len(m)))
	b.ReportAllocs()
	for b.Loop() {
		for r := wire.Datagram(m); r.Next(); {
			if x.fault(&r) != 0 {
				b.Fatal("rejected")
			}
		}
	}
}
