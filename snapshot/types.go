package snapshot

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

// The kernel describes its own types in BTF (include/uapi/linux/btf.h): a hundred and fifty thousand of them, of which the program
// needs a few dozen. To make objects of all takes a library longer than all else that is done before the first flow is there.

var errTypes = errors.New("snapshot: the kernel's description of its types is malformed")

// Kinds of types.
const (
	kindInt       = 1
	kindPtr       = 2
	kindArray     = 3
	kindStruct    = 4
	kindUnion     = 5
	kindEnum      = 6
	kindForward   = 7
	kindTypedef   = 8
	kindVolatile  = 9
	kindConst     = 10
	kindRestrict  = 11
	kindFunc      = 12
	kindFuncProto = 13
	kindVar       = 14
	kindDataSec   = 15
	kindFloat     = 16
	kindDeclTag   = 17
	kindTypeTag   = 18
	kindEnum64    = 19
)

// details says what follows the twelve bytes of a type: so many bytes, and so many for each of its vlen elements.
var details = [...]struct{ once, each int }{
	kindInt: {4, 0}, kindPtr: {}, kindArray: {12, 0}, kindStruct: {0, 12}, kindUnion: {0, 12}, kindEnum: {0, 8}, kindForward: {},
	kindTypedef: {}, kindVolatile: {}, kindConst: {}, kindRestrict: {}, kindFunc: {}, kindFuncProto: {0, 8}, kindVar: {4, 0},
	kindDataSec: {0, 12}, kindFloat: {}, kindDeclTag: {4, 0}, kindTypeTag: {}, kindEnum64: {0, 12},
}

const (
	typeHeader = 12 // name, info, size or type
	btfHeader  = 24
	btfMagic   = 0xeb9f
)

// description is a piece of BTF. Numbers of types and of bytes of strings go on from one piece to the next: from the kernel's to a module's.
type description struct {
	types, strings []byte
	at             []uint32 // of each type, in types
}

// describe splits BTF into its parts.
func describe(raw []byte) (d description, err error) {
	if len(raw) < btfHeader || le.Uint16(raw) != btfMagic {
		return d, errTypes
	}
	body := le.Uint32(raw[4:])
	if uint64(body) > uint64(len(raw)) {
		return d, errTypes
	}
	part := func(at int) []byte {
		from, n := uint64(le.Uint32(raw[at:])), uint64(le.Uint32(raw[at+4:]))
		if rest := raw[body:]; from+n <= uint64(len(rest)) {
			return rest[from : from+n]
		}
		err = errTypes
		return nil
	}
	d.types, d.strings = part(8), part(16)
	return d, err
}

// types are the kernel's own.
type types struct {
	pieces []description
	named  map[string][]uint32 // numbers of those that are looked for
}

// findTypes looks for the types with the given names in the BTF of the kernel and, where that is one, of the module.
func findTypes(names []string, raw ...[]byte) (*types, error) {
	t := &types{named: make(map[string][]uint32, len(names))}
	wanted := newNameSet(names)
	number := uint32(1) // 0 is void
	for _, r := range raw {
		d, err := describe(r)
		if err != nil {
			return nil, err
		}
		t.pieces = append(t.pieces, d)
		piece := &t.pieces[len(t.pieces)-1]
		piece.at = make([]uint32, 0, len(d.types)/24)
		for at := 0; at < len(d.types); number++ {
			if at+typeHeader > len(d.types) {
				return nil, errTypes
			}
			info := le.Uint32(d.types[at+4:])
			kind, vlen := int(info>>24&0x1f), int(info&0xffff)
			if kind == 0 || kind >= len(details) {
				return nil, fmt.Errorf("%w: unknown kind %d", errTypes, kind)
			}
			piece.at = append(piece.at, uint32(at))
			switch kind {
			case kindStruct, kindUnion, kindEnum, kindEnum64, kindTypedef, kindFunc:
				if b := t.text(le.Uint32(d.types[at:])); wanted.mayHave(b) {
					if end := bytes.IndexByte(b, 0); end >= 0 && slices.Contains(names, string(b[:end])) {
						t.named[string(b[:end])] = append(t.named[string(b[:end])], number)
					}
				}
			}
			at += typeHeader + details[kind].once + vlen*details[kind].each
			if at > len(d.types) {
				return nil, errTypes
			}
		}
	}
	return t, nil
}

// text returns the string at a place and all that follows it; nil if there is none.
func (t *types) text(at uint32) []byte {
	for i := range t.pieces {
		s := t.pieces[i].strings
		if int(at) < len(s) {
			return s[at:]
		}
		at -= uint32(len(s))
	}
	return nil
}

// lookup returns a type with what follows its first twelve bytes; nil if there is no such number.
func (t *types) lookup(number uint32) []byte {
	number--
	for i := range t.pieces {
		d := &t.pieces[i]
		if int(number) >= len(d.at) {
			number -= uint32(len(d.at))
			continue
		}
		end := uint32(len(d.types))
		if int(number)+1 < len(d.at) {
			end = d.at[number+1]
		}
		return d.types[d.at[number]:end]
	}
	return nil
}

// number is that of the only type of a name and kind.
func (t *types) number(name string, kind int) (uint32, error) {
	var found []uint32
	for _, n := range t.named[name] {
		if b := t.lookup(n); int(le.Uint32(b[4:])>>24&0x1f) == kind {
			found = append(found, n)
		}
	}
	if len(found) != 1 {
		return 0, fmt.Errorf("snapshot: the kernel has %d types %s", len(found), name)
	}
	return found[0], nil
}

// excerpt returns BTF of the types that were looked for and of what they are made of, with other numbers. What they only point to
// becomes void, and functions are left out.
func (t *types) excerpt(names []string) ([]byte, error) {
	x := excerpt{from: t, numbers: make(map[uint32]uint32), strings: map[string]uint32{"": 0}, text: []byte{0}}
	for _, name := range names {
		for _, n := range t.named[name] {
			x.wants(n)
		}
	}
	for i := 0; i < len(x.queue); i++ {
		if err := x.add(t.lookup(x.queue[i])); err != nil {
			return nil, err
		}
	}
	out := le.AppendUint16(make([]byte, 0, btfHeader+len(x.types)+len(x.text)), btfMagic)
	out = append(out, 1, 0) // version, flags
	for _, n := range []int{btfHeader, 0, len(x.types), len(x.types), len(x.text)} {
		out = le.AppendUint32(out, uint32(n))
	}
	return append(append(out, x.types...), x.text...), nil
}

// excerpt is BTF being put together.
type excerpt struct {
	from    *types
	queue   []uint32          // old numbers, in the order of the new ones
	numbers map[uint32]uint32 // new ones of old ones
	types   []byte
	strings map[string]uint32
	text    []byte
}

// wants returns the new number of a type.
func (x *excerpt) wants(old uint32) uint32 {
	if old == 0 {
		return 0
	}
	if n, ok := x.numbers[old]; ok {
		return n
	}
	if b := x.from.lookup(old); b != nil && le.Uint32(b[4:])>>24&0x1f == kindFunc {
		return 0
	}
	x.queue = append(x.queue, old)
	n := uint32(len(x.queue))
	x.numbers[old] = n
	return n
}

// string returns the new place of a string.
func (x *excerpt) string(old uint32) (uint32, error) {
	b := x.from.text(old)
	end := bytes.IndexByte(b, 0)
	if end < 0 {
		return 0, errTypes
	}
	if at, ok := x.strings[string(b[:end])]; ok {
		return at, nil
	}
	at := uint32(len(x.text))
	x.text = append(x.text, b[:end+1]...)
	x.strings[string(b[:end])] = at
	return at, nil
}

func (x *excerpt) add(old []byte) error {
	if old == nil {
		return errTypes
	}
	begin := len(x.types)
	x.types = append(x.types, old...)
	b := x.types[begin:]
	info := le.Uint32(b[4:])
	kind := int(info >> 24 & 0x1f)
	names, refs := []int{0}, []int(nil)
	switch kind {
	case kindTypedef, kindVolatile, kindConst, kindRestrict, kindTypeTag, kindVar, kindDeclTag:
		refs = append(refs, 8)
	case kindArray:
		refs = append(refs, 12, 16)
	case kindPtr:
		le.PutUint32(b[8:], 0)
	case kindFuncProto: // of which nobody has a value
		le.PutUint32(b[4:], kindFuncProto<<24)
		le.PutUint32(b[8:], 0)
		x.types = x.types[:begin+typeHeader]
	case kindDataSec:
		return fmt.Errorf("%w: a type is made of a section", errTypes)
	case kindStruct, kindUnion, kindEnum, kindEnum64:
		for at := typeHeader; at < len(b); at += details[kind].each {
			names = append(names, at)
			if kind == kindStruct || kind == kindUnion {
				refs = append(refs, at+4)
			}
		}
	}
	for _, at := range names {
		n, err := x.string(le.Uint32(b[at:]))
		if err != nil {
			return err
		}
		le.PutUint32(b[at:], n)
	}
	for _, at := range refs {
		le.PutUint32(b[at:], x.wants(le.Uint32(b[at:])))
	}
	return nil
}

// nameSet tells quickly of most names that they are not in it.
type nameSet map[uint64]struct{}

func newNameSet(names []string) nameSet {
	s := make(nameSet, len(names))
	for _, name := range names {
		s[firstBytes(append([]byte(name), 0))] = struct{}{}
	}
	return s
}

func (s nameSet) mayHave(text []byte) bool {
	_, ok := s[firstBytes(text)]
	return ok
}

// firstBytes are up to eight bytes of a string, without what follows its end.
func firstBytes(text []byte) uint64 {
	var b [8]byte
	copy(b[:], text)
	v := binary.LittleEndian.Uint64(b[:])
	// The lowest byte that is 0, and all above it, do not count.
	if zero := (v - 0x0101010101010101) & ^v & 0x8080808080808080; zero != 0 {
		v &= zero&-zero>>7 - 1
	}
	return v
}
