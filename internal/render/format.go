package render

// To add an output format: write <format>.go, which appends a flow, an event and an
// expectation; add a row to the formats table below and a case to the switches in
// printer.go; then run the tests with -update and review testdata.

// Format is a way to write a record.
type Format uint8

const (
	Text  Format = iota // a line for people, as conntrack -L
	Save                // options that recreate the flow, as conntrack -o save
	XML                 // as conntrack -o xml
	JSON                // one array of objects
	JSONL               // an object a line
	CSV                 // a row of columns, then a row a record
)

var formats = [...]struct {
	name  string
	array bool // records are members of a JSON array
	table bool // records follow a row of column names
	loss  bool // lost events are records
}{
	Text:  {name: "text"},
	Save:  {name: "save"},
	XML:   {name: "xml"},
	JSON:  {name: "json", array: true, loss: true},
	JSONL: {name: "jsonl", loss: true},
	CSV:   {name: "csv", table: true, loss: true},
}

// String returns the format's name in lower case, as [ParseFormat] reads it.
func (f Format) String() string {
	if int(f) < len(formats) {
		return formats[f].name
	}
	return "unknown"
}

// ParseFormat finds the format of that name.
func ParseFormat(name string) (f Format, ok bool) {
	for i, row := range formats {
		if row.name == name {
			return Format(i), true
		}
	}
	return 0, false
}

// Formats lists all formats.
func Formats() []Format {
	all := make([]Format, len(formats))
	for i := range all {
		all[i] = Format(i)
	}
	return all
}
