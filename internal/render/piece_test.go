package render

import (
	"testing"
	"time"

	"github.com/spoor-project/spoor/flow"
)

// A list put together from pieces is the list written in one go.
func TestPiecesMakeTheSameList(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	flows := make([]flow.Flow, 6)
	for i := range flows {
		flows[i] = flow.Flow{Has: flow.HasMark, Mark: uint32(i), Orig: flow.Tuple{Proto: flow.TCP, SrcPort: uint16(i)}}
	}
	for _, format := range []Format{Text, Save, XML, JSON, JSONL, CSV} {
		for _, sizes := range [][]int{{6}, {1, 5}, {0, 2, 0, 3, 1, 0}, {}} {
			style := &Style{Format: format}
			whole, list := NewPrinter(Flows, style), NewPrinter(Flows, style)
			var want, got []byte
			rest := flows
			for _, n := range sizes {
				piece := list.Piece()
				var text []byte
				for i := range rest[:n] {
					want = whole.AppendFlow(want, &rest[i], now)
					text = piece.AppendFlow(text, &rest[i], now)
				}
				if n > 0 {
					got = append(list.BeginPiece(got, n), text...)
				}
				rest = rest[n:]
			}
			want, got = whole.AppendEnd(want), list.AppendEnd(got)
			if string(got) != string(want) {
				t.Errorf("format %d in pieces of %v:\n%s\nwant\n%s", format, sizes, got, want)
			}
		}
	}
}
