package render

import (
	"time"

	"github.com/spoor-project/spoor/flow"
)

// Subject is what a list is about: it decides the root of an XML document and the
// columns of a CSV table.
type Subject uint8

const (
	Flows      Subject = iota // flows, or events of them
	Expects                   // expectations, or events of them
	Counts                    // how many entries there are
	Statistics                // the tracker's counters, one record a processor
)

// Printer writes one list: records in order, and what has to stand before,
// between and after them. Use one method group only, that of the Subject.
//
// Every method appends to b and returns it, so that the caller decides when bytes
// leave: after each record of a stream, or in large blocks. In all formats but JSON
// each record ends with a newline; in JSON a record is complete only when the
// next one, or the end, is written. A Printer is for one goroutine.
type Printer struct {
	style   Style
	subject Subject
	records int
	names   []string // CSV columns of statistics, as the first record has them
	piece   bool     // of another printer's list
}

// NewPrinter returns a printer for a list of the given subject. A nil style is the
// zero Style.
func NewPrinter(subject Subject, style *Style) *Printer {
	p := &Printer{subject: subject}
	if style != nil {
		p.style = *style
	}
	if subject == Counts && p.style.Format == JSON {
		p.style.Format = JSONL // there is one count, so the document is the object itself
	}
	return p
}

// Piece returns a printer for some records of p's list, for use on another goroutine. What it
// appends is only the records; BeginPiece says what comes before them.
func (p *Printer) Piece() *Printer {
	return &Printer{style: p.style, subject: p.subject, piece: true}
}

// BeginPiece appends what comes before the given number of records, at least one, that a Piece
// of p has written and that follow now.
func (p *Printer) BeginPiece(b []byte, records int) []byte {
	b = p.begin(b)
	p.records += records - 1
	return b
}

// The switches below could be a table of functions. But the compiler cannot see
// through an indirect call, so each caller's loop variable would move to the heap:
// an allocation per flow.

// AppendFlow appends a flow. now is for the age of flows that have a start time;
// times of Text and XML are in its zone.
func (p *Printer) AppendFlow(b []byte, f *flow.Flow, now time.Time) []byte {
	b = p.begin(b)
	switch p.style.Format {
	case Save:
		b = appendSaveFlow(b, f, p.style.Verb)
	case XML:
		b = appendXMLFlow(b, &p.style, f, 0, now)
	case JSON, JSONL:
		b = appendJSONFlow(b, &p.style, f, now)
	case CSV:
		b = appendCSVFlow(b, &p.style, f, now)
	default:
		b = appendTextFlow(b, &p.style, f, now)
	}
	return p.end(b)
}

// AppendEvent appends an event. program is the name of the program behind
// e.PortID, "" if it is not known. now is when the event was received: the time
// of an event that has none of its own.
//
// Text, Save and XML have no form for lost events and append nothing.
func (p *Printer) AppendEvent(b []byte, e *flow.Event, program string, now time.Time) []byte {
	if e.Type == flow.Lost && !formats[p.style.Format].loss {
		return b
	}
	b = p.begin(b)
	switch p.style.Format {
	case Save:
		b = appendSaveEvent(b, &p.style, e, program, now)
	case XML:
		b = appendXMLFlow(b, &p.style, &e.Flow, e.Type, now)
	case JSON, JSONL:
		b = appendJSONEvent(b, &p.style, e, program, now)
	case CSV:
		b = appendCSVEvent(b, &p.style, e, program, now)
	default:
		b = appendTextEvent(b, &p.style, e, program, now)
	}
	return p.end(b)
}

// AppendExpect appends an expectation. now is what Style.Timestamp prints. Save is
// written as Text: there is no command that restores expectations.
func (p *Printer) AppendExpect(b []byte, x *flow.Expect, now time.Time) []byte {
	b = p.begin(b)
	switch p.style.Format {
	case XML:
		b = appendXMLExpect(b, &p.style, x, 0, now)
	case JSON, JSONL:
		b = appendJSONExpect(b, x)
	case CSV:
		b = appendCSVExpect(b, x)
	default:
		b = appendTextExpect(b, &p.style, x, 0, now)
	}
	return p.end(b)
}

// AppendExpectEvent appends an event of the expectation table, received at now.
// Text, Save and XML append nothing for lost events.
func (p *Printer) AppendExpectEvent(b []byte, e *flow.ExpectEvent, now time.Time) []byte {
	if e.Type == flow.Lost && !formats[p.style.Format].loss {
		return b
	}
	b = p.begin(b)
	switch p.style.Format {
	case XML:
		b = appendXMLExpect(b, &p.style, &e.Expect, e.Type, now)
	case JSON, JSONL:
		b = appendJSONExpectEvent(b, e, now)
	case CSV:
		b = appendCSVExpectEvent(b, e, now)
	default:
		b = appendTextExpect(b, &p.style, &e.Expect, e.Type, now)
	}
	return p.end(b)
}

// AppendEnd appends what closes the list. The printer must not be used any more.
func (p *Printer) AppendEnd(b []byte) []byte {
	row := &formats[p.style.Format]
	switch {
	case row.table && p.records == 0:
		b = p.appendColumns(b)
	case row.array && p.records > 0:
		b = append(b, "\n]\n"...)
	case row.array:
		b = append(b, "[]\n"...)
	case p.isDocument() && p.records > 0 && p.style.Envelope == Whole:
		b = append(b, "</"...)
		b = append(b, p.root()...)
		b = append(b, ">\n"...)
	}
	return b
}

// begin appends what comes before the next record.
func (p *Printer) begin(b []byte) []byte {
	row := &formats[p.style.Format]
	first := p.records == 0
	p.records++
	switch {
	case p.piece && first:
		// BeginPiece knows what comes before.
	case row.array && first:
		b = append(b, "[\n"...)
	case row.array:
		b = append(b, ",\n"...)
	case row.table && first:
		b = p.appendColumns(b)
	case first && p.isDocument() && p.style.Envelope != Bare:
		b = append(b, `<?xml version="1.0" encoding="utf-8"?>`+"\n<"...)
		b = append(b, p.root()...)
		b = append(b, ">\n"...)
	}
	return b
}

// end appends what comes after each record.
func (p *Printer) end(b []byte) []byte {
	if formats[p.style.Format].array {
		return b // a comma may have to come first
	}
	return append(b, '\n')
}

// appendColumns appends the first row of a CSV table.
func (p *Printer) appendColumns(b []byte) []byte {
	switch p.subject {
	case Expects:
		b = append(b, expectColumns...)
	case Counts:
		b = append(b, "count"...)
	case Statistics:
		b = append(b, "cpu"...)
		for _, name := range p.names {
			b = appendCSVString(append(b, ','), name)
		}
	default:
		b = append(b, flowColumns...)
	}
	return append(b, '\n')
}

// isDocument reports whether the list is an XML document; numbers have no XML form.
func (p *Printer) isDocument() bool {
	return p.style.Format == XML && (p.subject == Flows || p.subject == Expects)
}

// root is the name of the XML document's element.
func (p *Printer) root() string {
	if p.subject == Expects {
		return "expect"
	}
	return "conntrack"
}
