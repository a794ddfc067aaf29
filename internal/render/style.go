package render

import "github.com/spoor-project/spoor/flow"

// Style is how a list is to look. The zero Style is that of conntrack -L: text
// without extras.
type Style struct {
	Format Format

	// Labels names connlabel bits. Text and XML print the names, and no labels at
	// all if it is nil or empty; JSON and CSV always have the numbers and add the
	// names. Save never prints labels.
	Labels *flow.LabelMap

	Extended   bool // Text: layer 3 protocol first (-o extended)
	ID         bool // Text: the entry's id (-o id)
	KernelTime bool // Text, XML: when the flow began and ended (-o ktimestamp)
	// Timestamp begins a line of Text or Save with the time of the event or
	// expectation, and adds it to XML (-o timestamp). JSON and CSV always have it.
	Timestamp bool

	// Verb is the command that Save writes before a flow. Events have their own.
	Verb Verb
	// Envelope is how much of a document XML writes around the records.
	Envelope Envelope
}

// Verb is a command to do something with a flow.
type Verb uint8

const (
	Add    Verb = iota // -A
	Update             // -U
	Delete             // -D
)

var verbs = [...]string{Add: "-A", Update: "-U", Delete: "-D"}

// Envelope says which parts of an XML document are written around its records. The
// partial ones exist because scripts know them: the C program forgets to close
// the document after -G, and to open it for -D and -U.
type Envelope uint8

const (
	Whole  Envelope = iota // header and footer
	Headed                 // header alone
	Bare                   // neither
)

// labelled reports whether f's labels are to be printed by name.
func (s *Style) labelled(f *flow.Flow) bool {
	return f.Has.Has(flow.HasLabels) && s.Labels.Len() > 0
}
