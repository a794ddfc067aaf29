// Package wire is the format in which conntrackd's nodes tell each other about flows
// and expectations: the messages of conntrack-tools 1.4.9, byte for byte, in both directions.
//
// # Model
//
// A datagram, or a TCP stream, is a sequence of messages without anything around them. A
// message has a header of 8 bytes:
//
//	byte 0    version (1) in the high half, type in the low half
//	byte 1    flags
//	byte 2-3  length of the message, header and padding included
//	byte 4-7  sequence number
//
// A [Control] message with ACK, NACK or RESYNC is followed by a [Range] of sequence numbers; one
// with ALIVE has only the header. All other types tell about an object and are followed by
// attributes: two bytes of length (4 + payload, without padding), two bytes of number, the
// payload, and zeros up to a multiple of 4.
//
// What the attributes are stands in two tables, in flow.go and expect.go. A row says what an attribute
// is called, how its payload is laid out, where the value lives, and when it is sent.
// Sending, receiving and dissecting all go by the row. The order of the rows is the order
// in which the original sends; a receiver takes any order.
//
// [AppendFlow], [AppendExpect] and [AppendControl] build messages. A [Reader] takes a datagram or a
// stream apart and says which statistics counter a message that will not do belongs
// to; a [Decoder] turns attributes into a [Flow] or an [Expect]. [Dissect] shows all of it to
// people and programs.
//
// # Traps
//
//   - In an attribute the length comes before the number.
//   - Everything is big-endian, except SPAT_PORT, DPAT_PORT and ICMP_ID. The original swaps
//     those once too often, which on all machines that matter makes them little-endian.
//   - An attribute with an unknown number, or one of the wrong length, spoils its whole message. So
//     a helper name of more than 11 bytes costs the peer the flow; it is left out instead.
//   - There is no reply tuple. The translation is told as new addresses and ports, and the
//     receiver inverts the original tuple.
//   - The original compares ports without a look at the protocol, so ICMP flows are sent with
//     translated ports of 0. They mean nothing.
//   - GRE keys and the ports of UDP-Lite are not sent.
//
// # Guarantees
//
// Nothing allocates, but a helper's or expect function's name that was never seen before
// and the result of Dissect. Bytes from outside never cause a panic, and work and memory are linear in their
// number. Decoded values share no memory with the datagram. The package has no
// state: it opens nothing, asks no clock and starts no goroutine.
package wire
