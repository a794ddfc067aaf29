package wire_test

import (
	"testing"

	"github.com/spoor-project/spoor/internal/statesync/wire"
)

// TestMessagesBeginAsMessagesDo: at whatever byte one looks.
func TestMessagesBeginAsMessagesDo(t *testing.T) {
	for _, v := range vectors(t) {
		b := v.payload(t)
		for r := wire.Datagram(b); r.Next(); b = b[r.Message.Length:] {
			for n := range b[:r.Message.Length] {
				if !wire.Begins(b[:n]) {
					t.Errorf("%s: the first %d bytes of % x", v.Name, n, b)
				}
			}
		}
	}
	for _, other := range []string{
		"\x00", "\x20\x00\x00\x08", "\x16", "\x1b", "\x1f", "\x10\x01", "\x10\x80", "\x10\x00\x00\x00", "\x10\x00\x00\x04", "\x10\x00\x00\x0a",
		"GET / HTTP/1.1", "SSH-2.0", "\x16\x03\x01",
	} {
		if wire.Begins([]byte(other)) {
			t.Errorf("%q is taken for a message", other)
		}
	}
}
