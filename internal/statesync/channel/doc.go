// Package channel carries bytes between the nodes of a cluster: datagrams over UDP and
// multicast, a stream over TCP, each over IPv4 and IPv6.
//
// # Model
//
// A [Channel] is one way to the peer, bound to one device. [Channel.Send] takes finished
// datagrams, many at a time; [Channel.Receive] fills a [Batch] with what has come. A TCP
// channel does the same with a stream: what it sends are buffers of whole messages, and
// what it receives it cuts where the caller's [Options.Split] tells it, so that a
// receiver always gets whole messages and need not know what carried them.
//
// A [Group] is up to four channels, one of which sends while all receive. [Failover]
// decides which, from what [Links] tells about the devices and from where accepted
// messages come.
//
// # Guarantees
//
// Nobody is asked who he is: what comes in is handed out as it is, from whomever. Sockets
// for sending and receiving are apart; nothing is ever sent from a port that receives.
//
// Memory is bounded. While the caller does not receive, datagrams wait in the kernel's
// receive buffer (SO_RCVBUF) and, when it is full, the newest are lost without being
// counted here; a TCP peer is slowed down. While the device cannot keep up, sending waits
// a little and then loses the datagram; a TCP channel has a queue of a fixed number of
// buffers and loses the oldest.
//
// A Channel may be used by one sender and one receiver at a time. Everything else, Close
// foremost, may be called at any time from anywhere. UDP and multicast channels have no
// goroutines; those of a TCP channel end with Close, which waits for them.
//
// # Kernel requirements
//
// Linux 3.0 (sendmmsg). Buffers larger than net.core.rmem_max and wmem_max, and on
// kernels before 5.7 multicast over IPv6 that keeps to one device, need CAP_NET_ADMIN
// and CAP_NET_RAW; without them one does with less. The tests of this package need root.
package channel
