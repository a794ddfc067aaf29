package nfnetlink

import (
	"bytes"
	"encoding/binary"
	"testing"
)

// attr builds an attribute whose header may lie about its length.
func attr(length, typ uint16, data ...byte) []byte {
	b := binary.NativeEndian.AppendUint16(nil, length)
	b = binary.NativeEndian.AppendUint16(b, typ)
	return append(b, data...)
}

func TestAttributesAreWalked(t *testing.T) {
	type found struct {
		typ  uint16
		data string
	}
	tests := []struct {
		name      string
		in        []byte
		want      []found
		truncated bool
	}{
		{name: "none"},
		{"one", attr(5, 7, 'x', 0, 0, 0), []found{{7, "x"}}, false},
		{"the last need not be padded", attr(5, 7, 'x'), []found{{7, "x"}}, false},
		{"padding is skipped", append(attr(5, 7, 'x', 1, 2, 3), attr(4, 8)...), []found{{7, "x"}, {8, ""}}, false},
		{"no content", attr(4, 3), []found{{3, ""}}, false},
		{"the flag bits are not part of the type", attr(4, 0xc003), []found{{3, ""}}, false},
		{"repeated", append(attr(4, 3), attr(4, 3)...), []found{{3, ""}, {3, ""}}, false},
		{"length below a header", attr(3, 7, 'x'), nil, true},
		{"length zero", attr(0, 7, 'x'), nil, true},
		{"length beyond the end", attr(6, 7, 'x'), nil, true},
		{"the longest length", attr(0xffff, 7, 'x'), nil, true},
		{"less than a header", []byte{4, 0, 7}, nil, true},
		{"rest behind an attribute", append(attr(4, 7), 1, 2, 3), []found{{7, ""}}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := Walk(tt.in)
			for i := 0; a.Next(); i++ {
				if i >= len(tt.want) || a.Type != tt.want[i].typ || string(a.Data) != tt.want[i].data {
					t.Errorf("attribute %d of %x: type %d, %q, want %v", i, tt.in, a.Type, a.Data, tt.want)
				}
				tt.want[i].data = "seen"
			}
			for _, f := range tt.want {
				if f.data != "seen" {
					t.Errorf("%x: type %d was not found", tt.in, f.typ)
				}
			}
			if a.Truncated() != tt.truncated {
				t.Errorf("%x: truncated %v, want %v", tt.in, a.Truncated(), tt.truncated)
			}
			if a.Next() {
				t.Errorf("%x: Next goes on behind the end", tt.in)
			}
		})
	}
}

func TestGettersTakeLongAttributesAndRefuseShortOnes(t *testing.T) {
	data := []byte{1, 2, 3, 4, 5, 6, 7, 8, 9}
	for n := range len(data) + 1 {
		a := Attrs{Data: data[:n]}
		v8, ok8 := a.Uint8()
		v16, ok16 := a.Uint16()
		v32, ok32 := a.Uint32()
		v64, ok64 := a.Uint64()
		if ok8 != (n >= 1) || ok16 != (n >= 2) || ok32 != (n >= 4) || ok64 != (n >= 8) {
			t.Errorf("%d bytes: 8 %v, 16 %v, 32 %v, 64 %v", n, ok8, ok16, ok32, ok64)
		}
		want := func(ok bool, v uint64) uint64 {
			if !ok {
				return 0
			}
			return v
		}
		if uint64(v8) != want(ok8, 0x01) || uint64(v16) != want(ok16, 0x0102) ||
			uint64(v32) != want(ok32, 0x01020304) || v64 != want(ok64, 0x0102030405060708) {
			t.Errorf("%d bytes: %#x %#x %#x %#x", n, v8, v16, v32, v64)
		}
	}
}

func TestTextEndsAtTheFirstZero(t *testing.T) {
	for in, want := range map[string]string{"": "", "\x00": "", "ftp": "ftp", "ftp\x00": "ftp", "a\x00b\x00": "a"} {
		a := Attrs{Data: []byte(in)}
		if got := a.String(); got != want || string(a.Text()) != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func TestBuilderWritesWhatTheWalkerReads(t *testing.T) {
	var b Builder
	b.Begin(ConntrackExpect, 3, Ack, 42, 10, 1)
	b.Uint8(1, 0x11)
	b.Uint16(2, 0x2233)
	nest := b.Nest(3)
	b.Uint32(4, 0x44556677)
	inner := b.Nest(5)
	b.Text(6, "ftp")
	b.Close(inner)
	b.Close(nest)
	b.Uint64(7, 0x8899aabbccddeeff)
	b.Raw(8, []byte{1, 2, 3, 4, 5})
	b.HostUint32(9, 0xdeadbeef)
	b.Raw(10, nil)
	b.End()
	b.Begin(Conntrack, 1, 0, 43, 2, 0)
	b.SetFlags(Dump)
	b.End()

	m, rest, err := Next(b.Bytes())
	if err != nil || m.Subsystem() != ConntrackExpect || m.Kind() != 3 || m.Flags != Request|Ack ||
		m.Seq != 42 || m.PortID != 0 || m.Family() != 10 || m.Payload[1] != 1 || m.ResID() != 0 {
		t.Fatalf("first message: %+v, %v", m, err)
	}
	var got []uint16
	for a := m.Attrs(); a.Next(); {
		got = append(got, a.Type)
		switch a.Type {
		case 3:
			n := a.Nested()
			n.Next()
			if v, _ := n.Uint32(); n.Type != 4 || v != 0x44556677 {
				t.Errorf("inside 3: type %d, %#x", n.Type, v)
			}
			n.Next()
			if n = n.Nested(); !n.Next() || n.Type != 6 || n.String() != "ftp" || len(n.Data) != 4 {
				t.Errorf("inside 5: type %d, %q", n.Type, n.Data)
			}
		case 7:
			if v, ok := a.Uint64(); !ok || v != 0x8899aabbccddeeff {
				t.Errorf("attribute 7: %#x, %v", v, ok)
			}
		case 8:
			if !bytes.Equal(a.Data, []byte{1, 2, 3, 4, 5}) {
				t.Errorf("attribute 8: %x", a.Data)
			}
		case 9:
			if v := binary.NativeEndian.Uint32(a.Data); v != 0xdeadbeef {
				t.Errorf("attribute 9: %#x in host order", v)
			}
		}
	}
	if want := []uint16{1, 2, 3, 7, 8, 9, 10}; !equal(got, want) {
		t.Errorf("attributes %v, want %v", got, want)
	}
	if m, rest, err = Next(rest); err != nil || len(rest) != 0 || m.Seq != 43 || m.Flags != Request|Dump {
		t.Errorf("second message: %+v, %v, %d bytes left", m, err, len(rest))
	}
	if b.Reset(); b.Len() != 0 {
		t.Errorf("%d bytes after Reset", b.Len())
	}
}

func equal(a, b []uint16) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// The kernel ignores all that follows a message whose length is not aligned.
func TestMessagesAreAligned(t *testing.T) {
	for n := range 9 {
		var b Builder
		b.Begin(Conntrack, 0, 0, 1, 2, 0)
		b.Raw(1, make([]byte, n))
		b.Text(2, string(make([]byte, n)))
		b.End()
		if b.Len()%4 != 0 {
			t.Errorf("content of %d bytes: message of %d", n, b.Len())
		}
	}
}

// FuzzAttrs states the law: walking makes progress, stays inside, and what was walked
// can be built again.
func FuzzAttrs(f *testing.F) {
	f.Add([]byte{})
	f.Add(attr(5, 7, 'x', 0, 0, 0))
	f.Add(append(attr(4, 0x8003), attr(3, 7, 'x')...))
	f.Add(attr(12, 0x8001, attr(8, 1, 1, 2, 3, 4)...))
	f.Fuzz(func(t *testing.T, in []byte) {
		var b Builder
		a := Walk(in)
		for left := len(in); a.Next(); left = len(a.rest) {
			if len(a.rest) >= left {
				t.Fatalf("no progress: %d bytes left, then %d", left, len(a.rest))
			}
			if len(a.Data) > left-4 || a.Type&^uint16(attrTypeMask) != 0 {
				t.Fatalf("type %#x with %d bytes out of %d", a.Type, len(a.Data), left)
			}
			b.Raw(a.Type, a.Data)
			for n := a.Nested(); n.Next(); {
				n.Uint8()
				n.Uint16()
				n.Uint32()
				n.Uint64()
				_ = n.String()
			}
		}
		again := Walk(in)
		for copied := Walk(b.Bytes()); copied.Next(); {
			if !again.Next() || again.Type != copied.Type || !bytes.Equal(again.Data, copied.Data) {
				t.Fatalf("copied: type %d, %x, want %d, %x", copied.Type, copied.Data, again.Type, again.Data)
			}
		}
	})
}
