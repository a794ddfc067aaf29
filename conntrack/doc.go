// Package conntrack reads and changes the kernel's connection tracking table, and what
// belongs to it, over ctnetlink.
//
// # Tour
//
// [Dial] gives a [Client]. Its [Client.Flows] streams the table:
//
//	for f, err := range c.Flows(ctx, flt) {
//		if err != nil {
//			return err // at most once, always last
//		}
//		… f is yours …
//	}
//
// [Client.Get], [Client.Create], [Client.Put], [Client.Update] and
// [Client.Delete] act on one entry, [Client.Flush] removes many, and a [Writer] does
// hundreds of such things in one system call. [Client.Follow] streams the changes
// of the table. [Client.Count] and [Client.Stats] tell how it fares, and
// [Client.Expects] and its relatives do all this for expectations.
//
// What rules attach to flows is there too: [Client.TimeoutPolicies] and its relatives, up
// to [Client.DefaultTimeouts], say how long flows live, and [Client.Helpers] and
// [Client.PutHelper] deal with helpers that are programs.
//
// # Guarantees
//
// A Client may be used by several goroutines. A stream has a socket of its own,
// holds no lock while the loop body runs, needs memory that does not depend on the
// size of the table, and leaves nothing behind when the loop is left.
//
// A stream's first error is its last item. Losing events is not an error but an
// event, [flow.Lost], in its place in the order.
//
// Errors are *[OpError] and match the sentinels ([ErrNotFound] and so on) and the
// usual ones of package io/fs with [errors.Is].
//
// # What it needs
//
// All operations need CAP_NET_ADMIN in the user namespace that owns the network
// namespace, those on helpers in the initial one. Linux 4.19 is the oldest kernel considered; what needs a younger one
// says so. On other systems [Dial] returns an error that is [ErrNotSupported].
//
// The kernel tracks connections in a namespace only while something there asks for
// it: a rule that looks at connection state, for example. An entry made before
// the first listener to events appeared never causes events, unless
// nf_conntrack_events is 1 (Linux 5.19 and later).
package conntrack
