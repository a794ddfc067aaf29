// Package tally counts flows by what they have in common: how many there are in each state, of each
// source, behind each NAT address, with their packets and bytes.
//
// A [Tally] takes flows one by one from any source. To count on several processors, give
// each its own and merge them.
package tally
