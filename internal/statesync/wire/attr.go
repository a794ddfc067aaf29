package wire

import (
	"encoding/binary"

	"github.com/spoor-project/spoor/flow"
)

// Attrs is a set of attributes: bit n stands for number n. Flows and expectations number
// theirs separately.
type Attrs uint64

func (s Attrs) has(number uint8) bool { return s&(1<<number) != 0 }

const (
	attrHeader = 4
	maxAttrs   = 64 // bits of Attrs
)

// Options are what the configuration says about sending. The zero Options is the default
// configuration.
type Options struct {
	// TCPWindowTracking sends the window scale factors of TCP.
	TCPWindowTracking bool
	// OmitTimeout leaves timeouts out: CommitTimeout is configured, which replaces them.
	OmitTimeout bool
}

// attr is a row of a table: an attribute of a T, whose presence bits are an H.
type attr[T any, H presence] struct {
	number   uint8
	name     string
	field[T] // payload, and where its value lives

	// has is set in a T by this attribute. It is sent only if has is set already, or always.
	has    H
	always bool
	// of says for which objects there is such an attribute at all; to others it means nothing. It
	// may look at what earlier rows have decoded. nil: for all.
	of func(*T) bool
	// when is a further condition for sending it; nil is none.
	when func(*T, Options) bool
	// meaning is what Dissect says about a number; nil or "": nothing.
	meaning func(n uint32) string
}

type presence interface {
	flow.Fields | flow.ExpectFields
}

// table is all attributes of a kind of object.
type table[T any, H presence] struct {
	attrs []attr[T, H] // in the order in which they are sent and decoded
	has   func(*T) *H
	// Every object needs all of v4 and none of v6 or the other way round, and all of needed.
	v4, v6, needed Attrs
	// complete, if not nil, derives what is not sent, from the attributes received so far.
	complete func(*T, Attrs)

	forms []namedForm // by number; filled in by indexed
}

// namedForm is the part of a row that does not depend on the kind of object.
type namedForm struct {
	name string
	form
	meaning func(n uint32) string
}

func (t table[T, H]) indexed() *table[T, H] {
	t.forms = make([]namedForm, len(t.attrs))
	for _, a := range t.attrs {
		t.forms[a.number] = namedForm{a.name, a.form, a.meaning}
	}
	return &t
}

// suffices reports whether an object can consist of the attributes in set.
func (t *table[T, H]) suffices(set Attrs) bool {
	addrs := set & (t.v4 | t.v6)
	return (addrs == t.v4 || addrs == t.v6) && set&t.needed == t.needed
}

// sent returns what is sent of v.
func (t *table[T, H]) sent(v *T, o Options) (set Attrs) {
	have := *t.has(v)
	for i := range t.attrs {
		a := &t.attrs[i]
		if (a.always || have&a.has == a.has) && (a.of == nil || a.of(v)) && (a.when == nil || a.when(v, o)) {
			set |= 1 << a.number
		}
	}
	return set
}

// append appends a message with the attributes in set.
func (t *table[T, H]) append(b []byte, h Header, v *T, set Attrs) []byte {
	start := len(b)
	b = appendHeader(b, h)
	for i := range t.attrs {
		a := &t.attrs[i]
		if !set.has(a.number) {
			continue
		}
		at := len(b)
		b = a.encode(append(b, 0, 0, 0, a.number), v)
		binary.BigEndian.PutUint16(b[at:], uint16(len(b)-at))
		for (len(b)-at)%4 != 0 {
			b = append(b, 0)
		}
	}
	return setLength(b, start)
}

// decode reads attributes into v, over what is there, and adds them to have; replace empties both
// first. A rejected message changes nothing.
func (t *table[T, H]) decode(d *Decoder, body []byte, v *T, have *Attrs, replace bool) Fault {
	var set Attrs
	var place [maxAttrs]struct{ from, to uint16 } // of payloads
	w := walker{forms: t.forms, body: body}
	for w.next() {
		if form := &t.forms[w.number]; form.usable == nil || form.usable(w.payload) {
			p := &place[w.number] // of several the last counts
			p.from, p.to = uint16(w.at+attrHeader), uint16(w.at+w.length)
			set |= 1 << w.number
		}
	}
	if w.flaw != sound || !t.suffices(set) {
		return BadPayload
	}
	if replace {
		var none T
		*v, *have = none, 0
	}
	for i := range t.attrs {
		a := &t.attrs[i]
		if set.has(a.number) && (a.of == nil || a.of(v)) {
			p := place[a.number]
			a.decode(d, body[p.from:p.to], v)
			*t.has(v) |= a.has
			*have |= 1 << a.number
		}
	}
	if t.complete != nil {
		t.complete(v, *have)
	}
	return 0
}

// walker goes through the attributes of a message, until their end or the first that spoils it.
type walker struct {
	forms []namedForm
	body  []byte
	end   int // of the current attribute with its padding

	at      int // where the current attribute begins
	length  int // as it says, header included
	number  int
	payload []byte // valid if flaw is sound
	flaw    flaw
}

// flaw is what is wrong with an attribute.
type flaw uint8

const (
	sound flaw = iota
	flawEnd
	flawShort
	flawUnknown
	flawSize
)

// next goes to the next attribute. A header with nothing behind it is not looked at.
func (w *walker) next() bool {
	rest := w.body[w.end:]
	if w.flaw != sound || len(rest) <= attrHeader {
		return false
	}
	w.at = w.end
	w.length = int(binary.BigEndian.Uint16(rest))
	w.number = int(binary.BigEndian.Uint16(rest[2:]))
	switch {
	case w.length > len(rest):
		w.flaw = flawEnd
	case w.length < attrHeader:
		w.flaw = flawShort
	case w.number >= len(w.forms):
		w.flaw = flawUnknown
	case !w.forms[w.number].fits(w.length - attrHeader):
		w.flaw = flawSize
	}
	if w.flaw != sound {
		return false
	}
	w.payload = rest[attrHeader:w.length]
	w.end += min((w.length+3)&^3, len(rest)) // the last one's padding may be missing
	return true
}

// Decoder turns the attributes of messages into values. It remembers the names of helpers and
// expect functions, so that decoding does not allocate. The zero Decoder is ready; it is for one
// goroutine.
type Decoder struct {
	names map[string]string
}

// maxNames bounds the memory for names, which anybody can send; real systems have a handful.
const maxNames = 1024

func (d *Decoder) name(b []byte) string {
	if s, ok := d.names[string(b)]; ok { // does not copy b
		return s
	}
	s := string(b)
	if d.names == nil {
		d.names = make(map[string]string)
	}
	if len(d.names) < maxNames {
		d.names[s] = s
	}
	return s
}
