package wire

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
)

// Dissection is a datagram laid open. Marshalled, it has the members of "decoded" in the recorded
// vectors; where something is wrong there is an "error" besides.
type Dissection struct {
	Messages []DissectedMessage `json:"messages"`
}

// DissectedMessage is a message, or what there is of one.
type DissectedMessage struct {
	*DissectedHeader // nil if the datagram ends inside it

	From *uint32 `json:"from,omitempty"` // of the Range, if there is one
	To   *uint32 `json:"to,omitempty"`

	// Attrs are those up to the first that spoils the message, as they are: also
	// repeated ones and those that mean nothing here.
	Attrs []DissectedAttr `json:"attrs,omitempty"`

	Error *DissectedError `json:"error,omitempty"`
}

// DissectedHeader is a message's first 8 bytes.
type DissectedHeader struct {
	Version   uint8    `json:"version"`
	Type      Type     `json:"type"`
	TypeName  string   `json:"type_name"`
	Flags     Flags    `json:"flags"`
	FlagNames []string `json:"flag_names"`
	Len       uint16   `json:"len"`
	Seq       uint32   `json:"seq"`
}

// DissectedAttr is an attribute.
type DissectedAttr struct {
	Number int    `json:"attr"`
	Name   string `json:"name"`
	Len    int    `json:"nla_len"` // as on the wire: with its header of 4 bytes, without padding
	Hex    string `json:"hex"`     // payload, without padding
	// Value is a number (uint32), a string, or a value that prints and marshals itself.
	Value   any    `json:"value"`
	Meaning string `json:"-"` // what the number in Value stands for; "" if that has no name
}

// DissectedError is why a message is rejected.
type DissectedError struct {
	Counter string `json:"counter"` // name of the Fault
	Offset  int    `json:"offset"`  // where in the datagram, in bytes
	Reason  string `json:"reason"`
}

// Dissect lays a datagram open, whatever it holds. What a receiver's mode might refuse for
// its type and flags (BadHeader) is not looked at.
func Dissect(datagram []byte) Dissection {
	d := Dissection{Messages: []DissectedMessage{}}
	for r := Datagram(datagram); r.Next(); {
		d.Messages = append(d.Messages, dissectMessage(&r))
	}
	return d
}

func dissectMessage(r *Reader) DissectedMessage {
	var out DissectedMessage
	m, rest := &r.Message, r.buf[r.at:]
	if len(rest) >= headerSize {
		out.DissectedHeader = &DissectedHeader{rest[0] >> 4, m.Type, m.Type.String(), m.Flags, m.Flags.Names(), m.Length, m.Seq}
	}
	fail := func(f Fault, offset int, reason string, args ...any) {
		out.Error = &DissectedError{f.String(), r.at + offset, fmt.Sprintf(reason, args...)}
	}
	switch {
	case r.Fault == Truncated:
		fail(r.Fault, 0, "%d bytes left, too few for the header", len(rest))
	case r.Fault == BadSize && int(m.Length) > len(rest):
		fail(r.Fault, 2, "length %d, but %d bytes are left", m.Length, len(rest))
	case r.Fault == BadSize:
		fail(r.Fault, 2, "length %d is too short", m.Length)
	case r.Fault == BadVersion:
		fail(r.Fault, 0, "version %d instead of %d", rest[0]>>4, version)
	case m.hasRange():
		ends := m.Range // a copy, which the next message does not overwrite
		out.From, out.To = &ends.From, &ends.To
	case m.Type == Control:
	case m.Type.IsFlow():
		dissectAttrs(&out, m.body, flows.forms, flows.lacks, fail)
	case m.Type.IsExpect():
		dissectAttrs(&out, m.body, expects.forms, expects.lacks, fail)
	default:
		fail(BadType, 0, "no object has type %d", m.Type)
	}
	return out
}

func dissectAttrs(out *DissectedMessage, body []byte, forms []namedForm, lacks func(Attrs) string,
	fail func(f Fault, offset int, reason string, args ...any)) {
	var set Attrs
	w := walker{forms: forms, body: body}
	for w.next() {
		form := &forms[w.number]
		a := DissectedAttr{Number: w.number, Name: form.name, Len: w.length, Hex: hex.EncodeToString(w.payload),
			Value: form.show(w.payload)}
		if n, ok := a.Value.(uint32); ok && form.meaning != nil {
			a.Meaning = form.meaning(n)
		}
		out.Attrs = append(out.Attrs, a)
		set |= 1 << w.number
	}
	offset := headerSize + w.at
	name := fmt.Sprintf("attribute %d", w.number)
	if w.number < len(forms) {
		name = forms[w.number].name
	}
	switch w.flaw {
	case flawEnd:
		fail(BadPayload, offset, "%s: length %d, but %d bytes are left", name, w.length, len(body)-w.at)
	case flawShort:
		fail(BadPayload, offset, "%s: length %d is too short", name, w.length)
	case flawUnknown:
		fail(BadPayload, offset+2, "%s is unknown", name)
	case flawSize:
		form := &forms[w.number]
		if form.max > 0 {
			fail(BadPayload, offset, "%s: length %d is more than %d", name, w.length, attrHeader+form.max)
		} else {
			fail(BadPayload, offset, "%s: length %d instead of %d", name, w.length, attrHeader+form.size)
		}
	default:
		if lack := lacks(set); lack != "" {
			fail(BadPayload, headerSize, "%s", lack)
		}
	}
}

// lacks says in which way set does not suffice; "" if it does.
func (t *table[T, H]) lacks(set Attrs) string {
	if t.suffices(set) {
		return ""
	}
	var missing []string
	addrs, other := t.v4, t.v6
	if set&other != 0 && set&addrs == 0 {
		addrs, other = other, addrs
	}
	for n := range t.forms {
		if n := uint8(n); (addrs | t.needed).has(n) && !set.has(n) {
			missing = append(missing, t.forms[n].name)
		}
	}
	if set&other != 0 {
		return "addresses of both families"
	}
	return "without " + strings.Join(missing, ", ")
}

// String returns one line a message, and one, indented, for each of its attributes.
func (d Dissection) String() string { return string(d.Append(nil)) }

// Append appends what String returns to b.
func (d Dissection) Append(b []byte) []byte {
	for i := range d.Messages {
		b = d.Messages[i].append(b)
	}
	return b
}

func (m *DissectedMessage) append(b []byte) []byte {
	if h := m.DissectedHeader; h != nil {
		b = append(b, h.TypeName...)
		if h.Flags != 0 {
			b = append(append(b, ' '), h.Flags.String()...)
		}
		b = fmt.Appendf(b, " seq=%d len=%d", h.Seq, h.Len)
	} else {
		b = append(b, "incomplete message"...)
	}
	if m.From != nil {
		b = fmt.Appendf(b, " from=%d to=%d", *m.From, *m.To)
	}
	b = append(b, '\n')
	for _, a := range m.Attrs {
		b = fmt.Appendf(b, "    %-15s ", a.Name)
		if s, ok := a.Value.(string); ok {
			b = strconv.AppendQuote(b, s)
		} else {
			b = fmt.Append(b, a.Value)
		}
		if a.Meaning != "" {
			b = fmt.Appendf(b, " (%s)", a.Meaning)
		}
		b = append(b, '\n')
	}
	if e := m.Error; e != nil {
		b = fmt.Appendf(b, "    ! %s at byte %d: %s\n", e.Counter, e.Offset, e.Reason)
	}
	return b
}
