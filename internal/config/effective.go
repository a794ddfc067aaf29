package config

import (
	"strconv"
	"time"
)

// AppendEffective appends the configuration as text, with everything that has a default. Parsed again, with the same Lookup, it
// gives an equal Config. The Config must be one that [Parse] made without error.
func (c *Config) AppendEffective(b []byte) []byte {
	w := printer{b: b}
	rows(&w, &fileBlock, c)
	return w.b
}

// printer writes settings, one a line.
type printer struct {
	b     []byte
	depth int
}

// rows writes what a block has.
func rows[T any](w *printer, b *block[T], t *T) {
	for i := range b.rows {
		switch r := &b.rows[i]; {
		case r.show != nil:
			r.show(w, t)
		case r.field != nil && r.as == "":
			w.value(r.word, r.field(t))
		}
	}
}

func (w *printer) line(words ...string) {
	for range w.depth {
		w.b = append(w.b, '\t')
	}
	for i, word := range words {
		if i > 0 {
			w.b = append(w.b, ' ')
		}
		w.b = append(w.b, word...)
	}
	w.b = append(w.b, '\n')
}

// value writes a word and its field's value. A zero is not written where it stands for nothing.
func (w *printer) value(word string, field any) {
	n := uint64(0)
	switch f := field.(type) {
	case *bool:
		if *f {
			w.line(word, "on")
		} else {
			w.line(word, "off")
		}
	case *string:
		if *f != "" {
			w.line(word, *f)
		}
	case *uint16:
		n = uint64(*f)
	case *uint32:
		n = uint64(*f)
	case *time.Duration:
		n = uint64(*f / time.Second)
	}
	if n != 0 {
		w.line(word, strconv.FormatUint(n, 10))
	}
}

func (w *printer) orOff(word, value string) {
	if value == "" {
		value = "off"
	}
	w.line(word, value)
}

func (w *printer) block(header string, inside func()) {
	w.line(header, "{")
	w.depth++
	inside()
	w.depth--
	w.line("}")
}

// blockIfAny leaves out an empty block.
func (w *printer) blockIfAny(header string, inside func()) {
	before := len(w.b)
	w.line(header, "{")
	start := len(w.b)
	w.depth++
	inside()
	w.depth--
	if len(w.b) == start {
		w.b = w.b[:before]
		return
	}
	w.line("}")
}

// set writes a filter's set.
func (w *printer) set(word string, policy Policy, inside func()) {
	switch policy {
	case Accept:
		w.block(word+" Accept", inside)
	case Ignore:
		w.block(word+" Ignore", inside)
	}
}
