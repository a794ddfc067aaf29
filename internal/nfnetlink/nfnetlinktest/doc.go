// Package nfnetlinktest stands in for the kernel in tests of programs that speak
// netfilter netlink.
//
// # Model
//
// [Dial] gives a [nfnetlink.Conn] whose requests a [Handler] answers, a Go function
// that builds its answers with the methods of [Request]. [Pipe] gives the bare
// other end, for messages that nobody asked for: events. [Constants] reads the
// installed kernel headers, for tests of constants copied from them.
//
// # Guarantees
//
// Messages are cut and joined as the code under test did it; nothing is checked or
// mended on the way. The goroutine that answers ends when the Conn is closed.
//
// # What it is not
//
// The other end is a socket pair. Losses (ENOBUFS), multicast groups, permissions
// and the sizes that the kernel gives its datagrams want a real kernel.
package nfnetlinktest
