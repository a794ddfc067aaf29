package nfnetlink

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io/fs"
	"syscall"
	"testing"
)

// message builds a message whose header says length, or the truth if that is negative.
func message(length int64, typ, flags uint16, seq uint32, payload ...byte) []byte {
	if length < 0 {
		length = int64(headerLen + len(payload))
	}
	b := binary.NativeEndian.AppendUint32(nil, uint32(length))
	b = binary.NativeEndian.AppendUint16(b, typ)
	b = binary.NativeEndian.AppendUint16(b, flags)
	b = binary.NativeEndian.AppendUint32(b, seq)
	b = binary.NativeEndian.AppendUint32(b, 99)
	return append(b, payload...)
}

func code(errno syscall.Errno) []byte {
	return binary.NativeEndian.AppendUint32(nil, uint32(-int32(errno)))
}

func concat(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

func TestMessagesAreCutByTheirLength(t *testing.T) {
	first, second := message(-1, 0x0102, Ack, 7, 2, 0, 0, 5), message(-1, typeDone, 0, 8)
	m, rest, err := Next(concat(first, second))
	if err != nil || m.Subsystem() != Conntrack || m.Kind() != 2 || m.Flags != Ack || m.Seq != 7 || m.PortID != 99 ||
		m.Family() != 2 || m.ResID() != 5 || !m.Data() || !bytes.Equal(rest, second) {
		t.Errorf("first of two: %+v, %v, rest %x", m, err, rest)
	}
	// The last one need not be padded, one before must be.
	odd := message(-1, 0x0102, 0, 9, 1)
	if m, rest, err = Next(odd); err != nil || len(rest) != 0 || !bytes.Equal(m.Payload, []byte{1}) {
		t.Errorf("unpadded: %+v, %v, rest %x", m, err, rest)
	}
	if m, rest, err = Next(concat(odd, []byte{0, 0, 0}, second)); err != nil || !bytes.Equal(rest, second) {
		t.Errorf("padded: %+v, %v, rest %x", m, err, rest)
	}
}

func TestAMessageWhoseLengthDoesNotFitIsMalformed(t *testing.T) {
	tests := map[string][]byte{
		"empty":              {},
		"less than a header": message(-1, 1, 0, 0)[:15],
		"length zero":        message(0, 1, 0, 0),
		"length below":       message(15, 1, 0, 0),
		"length beyond":      message(17, 1, 0, 0),
		"length of 4 GiB":    message(1<<32-1, 1, 0, 0),
	}
	for name, in := range tests {
		if m, rest, err := Next(in); !errors.Is(err, ErrMalformed) || rest != nil || m.Payload != nil {
			t.Errorf("%s: %+v, rest %x, %v, want %v", name, m, rest, err, ErrMalformed)
		}
	}
}

func TestAShortBodyHasNoAttributes(t *testing.T) {
	for n := range 4 {
		m, _, err := Next(message(-1, 0x0100, 0, 1, make([]byte, n)...))
		if err != nil {
			t.Fatal(err)
		}
		if a := m.Attrs(); a.Next() || m.Family() != 0 || m.ResID() != 0 {
			t.Errorf("body of %d bytes: attribute %d, family %d", n, a.Type, m.Family())
		}
	}
}

func TestVerdicts(t *testing.T) {
	request := message(-1, 0x0100, Request, 5, 2, 0, 0, 0)
	header := request[:headerLen]
	var texts Builder
	texts.Text(extAckText, "bad thing")
	texts.HostUint32(extAckOffset, 24)
	explained := texts.Bytes()

	tests := []struct {
		name string
		in   []byte
		end  bool
		want string // the error's text; "" for none
	}{
		{"data", message(-1, 0x0100, 0, 1, 2, 0, 0, 0), false, ""},
		{"no operation", message(-1, 1, 0, 1), false, ""},
		{"end of a dump", message(-1, typeDone, 0, 1, code(0)...), true, ""},
		{"end of a dump without a code", message(-1, typeDone, 0, 1), true, ""},
		{"end of a dump that failed", message(-1, typeDone, 0, 1, code(syscall.ENOMEM)...), true, "cannot allocate memory"},
		{"acknowledgement", message(-1, typeError, capped, 1, concat(code(0), header)...), true, ""},
		{"bare code", message(-1, typeError, 0, 1, code(syscall.EPERM)...), true, "operation not permitted"},
		{"less than a code", message(-1, typeError, 0, 1, 1, 2, 3), true, "malformed netlink message: error of 3 bytes"},
		{"capped", message(-1, typeError, capped, 1, concat(code(syscall.EEXIST), header)...), true, "file exists"},
		{"with the request", message(-1, typeError, 0, 1, concat(code(syscall.EEXIST), request)...), true, "file exists"},
		{"explained and capped", message(-1, typeError, capped|ackTLVs, 1,
			concat(code(syscall.EINVAL), header, explained)...), true, "invalid argument: bad thing (at byte 24 of the request)"},
		{"explained behind the request", message(-1, typeError, ackTLVs, 1,
			concat(code(syscall.EINVAL), request, explained)...), true, "invalid argument: bad thing (at byte 24 of the request)"},
		{"explained, and the request claims too much", message(-1, typeError, ackTLVs, 1,
			concat(code(syscall.EINVAL), message(1<<20, 0, 0, 0), explained)...), true, "invalid argument: bad thing (at byte 24 of the request)"},
		{"explanation cut off", message(-1, typeError, capped|ackTLVs, 1,
			concat(code(syscall.EINVAL), header, explained[:10])...), true, "invalid argument"},
		{"explanation promised and missing", message(-1, typeError, ackTLVs, 1, code(syscall.EINVAL)...), true, "invalid argument"},
		{"offset too short", message(-1, typeError, capped|ackTLVs, 1,
			concat(code(syscall.EINVAL), header, attr(6, extAckOffset, 1, 2, 0, 0))...), true, "invalid argument"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m, _, err := Next(tt.in)
			if err != nil {
				t.Fatal(err)
			}
			end, err := m.End()
			got := ""
			if err != nil {
				got = err.Error()
			}
			if end != tt.end || got != tt.want {
				t.Errorf("%x: end %v, %q, want %v, %q", tt.in, end, got, tt.end, tt.want)
			}
		})
	}
}

func TestARefusalIsItsErrno(t *testing.T) {
	m, _, _ := Next(message(-1, typeError, 0, 1, code(syscall.ENOENT)...))
	_, err := m.End()
	var refused *Error
	if !errors.Is(err, syscall.ENOENT) || !errors.Is(err, fs.ErrNotExist) || !errors.As(err, &refused) {
		t.Errorf("%v is not %v", err, syscall.ENOENT)
	}
}

// FuzzNext states the law: cutting makes progress and stays inside, and no verdict
// panics.
func FuzzNext(f *testing.F) {
	var b Builder
	b.Begin(Conntrack, 0, 0, 1, 2, 0)
	b.Uint32(3, 8)
	b.End()
	f.Add(b.Bytes())
	f.Add(concat(b.Bytes(), message(-1, typeDone, 0, 1, code(0)...)))
	f.Add(message(-1, typeError, ackTLVs, 1, concat(code(syscall.EINVAL), b.Bytes(), attr(6, 1, 'x', 0, 0, 0))...))
	f.Add(message(17, 1, 0, 0))
	f.Fuzz(func(t *testing.T, in []byte) {
		for rest := in; len(rest) > 0; {
			m, next, err := Next(rest)
			if err != nil {
				if !errors.Is(err, ErrMalformed) {
					t.Fatalf("error %v", err)
				}
				return
			}
			if len(next) >= len(rest) || len(m.Payload) > len(rest)-headerLen {
				t.Fatalf("%d bytes left of %d, body of %d", len(next), len(rest), len(m.Payload))
			}
			if _, err := m.End(); err != nil {
				_ = err.Error()
			}
			for a := m.Attrs(); a.Next(); {
			}
			rest = next
		}
	})
}
