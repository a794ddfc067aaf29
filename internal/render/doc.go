// Package render writes flows, events, expectations and statistics as text for
// people, as XML, JSON and CSV for programs, and as command lines that make them
// anew.
//
// # Model
//
// A [Printer] writes one list of one [Subject] in the [Style] it was made for. It
// appends to the caller's buffer and knows what stands between the records: the
// head of an XML document, the commas of a JSON array, the column row of CSV.
//
//	p := render.NewPrinter(render.Flows, &render.Style{Format: render.JSON})
//	for f, err := range c.Flows(ctx, nil) {
//		...
//		buf = p.AppendFlow(buf[:0], &f, time.Now())
//		os.Stdout.Write(buf)
//	}
//	os.Stdout.Write(p.AppendEnd(buf[:0]))
//
// Text, Save and XML are the formats of conntrack-tools 1.4.9, byte for byte; the
// tests compare them with lines that program printed. Only its limit of 1023 or
// 4095 bytes a line is not kept. They have no escapes: a name with '<' in it
// spoils the XML, as it always did. JSON, JSONL and CSV are our own. They lose
// nothing, escape everything and are described in docs/output.md; a member or
// column may be added, none is renamed or removed.
//
// # Guarantees
//
// Appending a flow or an event allocates nothing in any format, once the buffer has
// grown. Nothing panics, whatever a flow holds. Flows are only read; nothing of
// them is kept.
package render
