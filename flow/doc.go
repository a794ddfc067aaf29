// Package flow holds the values of connection tracking: what a tracked
// connection is, and what can happen to one.
//
// # Model
//
// A [Flow] is one entry of the kernel's table. It has two [Tuple]s, one for each
// direction: Orig as the first packet was seen, Reply as the answers are
// expected. Without address translation the reply tuple is the mirror image of
// the original one; with it the difference between the two is the translation.
//
// The kernel does not report every attribute for every flow, and "the mark is 0"
// is not the same as "no mark was reported". Flow.Has says which attributes were
// reported; a field whose bit is missing is zero.
//
// An [Event] is a change of the table, and an [Expect] an announcement that a
// related connection is about to come.
//
// # Guarantees
//
// All types are plain comparable values. They share no mutable memory with
// anybody: copy them, keep them, send them to other goroutines. [Key] is the
// flat, pointer-free form of a tuple for use as a map key.
//
// The package has no dependencies outside the standard library and works on
// every operating system.
package flow
