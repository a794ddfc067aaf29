// Package measure is what the benchmarks beside it have in common: the machine they run on, parts that are processes of their own,
// medians, targets, and the section of a document that a benchmark writes.
//
// # Guarantees
//
// Of the machine only the size of the connection tracking table is changed, by [EnlargeTable], which hands back how to undo it.
package measure
