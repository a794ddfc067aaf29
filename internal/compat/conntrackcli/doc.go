// Package conntrackcli is the command line of conntrack-tools' conntrack, release
// 1.4.9: the same arguments, output, messages and exit codes.
//
// # Model
//
// A command line becomes a request in [parse], by the tables of commands, options
// and protocols in commands.go, options.go and extensions.go; the help, the manual
// page and the completions are made from the same tables. The request is
// carried out by the function of its command (list.go, change.go, events.go and so
// on), through package conntrack.
//
// # Guarantees
//
// What is printed is frozen: the golden cases of package interop hold it to the
// original byte for byte. Where the original has a defect that loses data or crashes
// it is mended; docs/compatibility.md lists each. What we add lies in options and
// output formats that the original refuses.
package conntrackcli
