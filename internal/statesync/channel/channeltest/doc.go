// Package channeltest helps to test what moves bytes between nodes, and what uses it.
//
// # Model
//
// A [Cable] joins two [End]s in memory. Its [Weather] loses, doubles, delays and reorders
// datagrams, as a seeded random generator says, and its clock stands still until the
// test moves it: the same seed and the same calls give the same deliveries.
//
// [Run] is what every transport must pass, the cable as well as package channel's real
// ones. It sends messages that begin with their length; [Split] finds their
// boundaries.
//
// # Guarantees
//
// An End behaves like a channel towards its user: the same methods, the same promises
// about memory, the same errors. It has no goroutines.
package channeltest
