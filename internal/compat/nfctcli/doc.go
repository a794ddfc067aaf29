// Package nfctcli is the command line of conntrack-tools' nfct, release 1.4.9: the same
// arguments, output, messages and exit codes.
//
// # Model
//
// The first two words are a command and a subsystem, in either order; commands.go has
// the table of what the two together do. The functions for timeout policies are in
// timeout.go, those for user-space helpers in helper.go. The help, the manual page and
// the completions are made from the same tables.
//
// # Guarantees
//
// What is printed is frozen: the golden cases of package interop hold it to the original
// byte for byte. What we add, JSON and a help, are words that the original refuses;
// docs/compatibility.md tells the one exception.
package nfctcli
