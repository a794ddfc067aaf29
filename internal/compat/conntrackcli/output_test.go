package conntrackcli

import (
	"bytes"
	"fmt"
	"testing"
)

// blocks notes how much is written at once.
type blocks struct {
	text  []byte
	sizes []int
}

func (w *blocks) Write(b []byte) (int, error) {
	w.sizes, w.text = append(w.sizes, len(b)), append(w.text, b...)
	return len(b), nil
}

// What is appended in bulk leaves as the same bytes as in small pieces, in whole blocks, and as much of
// it stays behind when stderr is written to.
func TestBulkLeavesInBlocks(t *testing.T) {
	text := make([]byte, 3*writeSize)
	for i := range text {
		text[i] = byte(i % 251)
	}
	for _, terminal := range []bool{false, true} {
		for _, before := range []int{0, 1, stdioBlock - 1, stdioBlock, stdioBlock + 1, writeSize - 1} {
			for _, size := range []int{0, 1, writeSize - 1, writeSize, writeSize + 1, 2 * stdioBlock * 9, len(text)} {
				var small, large blocks
				run := func(w *blocks, bulk bool) {
					o := &output{out: w, err: w, terminal: terminal}
					o.data(string(text[:before]))
					if bulk {
						o.bulk(text[:size])
					} else {
						for b := text[:size]; len(b) > 0; b = b[min(100, len(b)):] {
							o.data(string(b[:min(100, len(b))]))
						}
					}
					o.message("stderr\n")
					o.data("end")
					o.close()
				}
				run(&small, false)
				run(&large, true)
				what := fmt.Sprintf("%d bytes behind %d, terminal %v", size, before, terminal)
				if !bytes.Equal(small.text, large.text) {
					t.Errorf("%s: other bytes, or stderr at another place", what)
				}
				for _, n := range large.sizes[:len(large.sizes)-2] {
					if !terminal && n%stdioBlock != 0 {
						t.Errorf("%s: written in %v", what, large.sizes)
						break
					}
				}
			}
		}
	}
}
