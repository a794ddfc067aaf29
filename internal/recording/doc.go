// Package recording reads what `spoor watch --json` and `conntrack -E -o jsonl` have written: a flow, or a change of one, a line.
//
// The format is that of docs/output.md. Members may come in any order, and those that are not known are passed over, so recordings of newer
// releases are read too. What follows from other members is not looked at: family, proto, nat, label_names, duration, program.
//
// A recording may be compressed by gzip. It is read at the speed of the scanner, about a million lines a second, without an allocation
// for a line.
package recording
