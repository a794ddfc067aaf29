// Package cthelper has the user-space helpers of connection tracking: programs that read the packets of a protocol which announces
// further connections, and tell the kernel to expect these.
//
// # Model
//
// A parser, one for each protocol, is a function without state, clock or socket: a [Packet] and the few bytes that the kernel
// keeps for the flow go in, a [Result] comes out. [Protocols] is the table of them. A [Queue] is a queue of netfilter's
// (NFQUEUE): it hands over packets together with their flows, and takes verdicts. [Service] registers helpers in the kernel
// (conntrack.UserHelper), and runs the parsers on what their queues deliver.
//
// # Guarantees
//
// What cannot be parsed passes, unchanged. A packet is dropped only when it must be rewritten for a translated flow and
// cannot be, or when its protocol says so (DHCPv6). The work for a packet is proportional to its length. What a parser wants to remember lies in the kernel, so
// a restart of the program loses nothing.
//
// # Concurrency
//
// Parsers may run at the same time. A Queue belongs to one goroutine; a Service has one for each of its queues.
//
// # Kernel requirements
//
// NFQUEUE with conntrack data (CONFIG_NETFILTER_NETLINK_GLUE_CT), and the registration of helpers
// (CONFIG_NF_CT_NETLINK_HELPER): Linux 3.6 and later, where they are configured.
package cthelper
