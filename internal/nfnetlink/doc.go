// Package nfnetlink carries messages between a program and the netfilter
// subsystems of the kernel: sockets, framing, attributes, errors.
//
// # Model
//
// A [Conn] is one NETLINK_NETFILTER socket in one network namespace. Requests are
// built by appending to the buffer of a [Builder]; answers are walked in place with
// [Next] and [Attrs]. Nothing is copied and nothing is allocated per message.
//
// # Guarantees
//
// Bytes from outside are never trusted: the walkers stop at the first length that
// does not fit and say so. Attribute lengths are checked by the getters, which
// report a short attribute as absent.
//
// A Conn may be used by one sender and one receiver at the same time. Close and
// deadlines unblock both.
package nfnetlink
