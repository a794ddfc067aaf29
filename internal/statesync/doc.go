// Package statesync keeps the connection tracking tables of several firewalls in step, as
// conntrackd does: what the local kernel tracks is mirrored in the internal cache and told to
// the peers, and what they tell is kept in the external cache, from where a failover
// commits it into the kernel.
//
// # Model
//
// An [Engine] is one node. It is a pure state machine: kernel events, datagrams, requests and the time
// go in, and an [Output] of datagrams, kernel operations and log lines comes out. It has no clock,
// socket or goroutine, and is for one goroutine. Whoever owns it calls [Engine.Run] when it says so.
//
//	kernel events ──▶ internal cache ──▶ transmit queue ──▶ datagrams
//	                                        ▲     │
//	                             NACK ──────┘     ▼ FTFW
//	                             ACK  ──▶  resend queue
//	datagrams ──▶ external cache, or kernel operations
//
// What is sent of a flow is its state at the time of sending. A flow is in at most one of the queues, once, so
// that several changes between two runs become one message.
//
// # Modes
//
// FTFW numbers and acknowledges messages and repeats what was lost. ALARM repeats every flow now and
// then, and forgets what is not repeated. NOTRACK sends once.
package statesync
