//go:build linux

package interop_test

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"net"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/spoor-project/spoor/internal/agent"
	"github.com/spoor-project/spoor/internal/nstest"
)

// sender sends datagrams to a node's channel.
type sender struct {
	t    *testing.T
	to   *node
	conn net.Conn
}

func newSender(t *testing.T, from *nstest.NS, to *node) *sender {
	t.Helper()
	s := &sender{t: t, to: to}
	var err error
	from.Do(func() { s.conn, err = net.Dial("udp", "10.0.0.1:3780") })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.conn.Close() })
	return s
}

func (s *sender) send(b []byte) {
	s.t.Helper()
	if _, err := s.conn.Write(b); err != nil {
		s.t.Fatal(err)
	}
}

var malformed = regexp.MustCompile(`(?m)^\trecv:\n\t\tMalformed messages:\t *(\d+)$`)

// malformed is how many messages the node could not understand.
func (n *node) malformed() int {
	m := malformed.FindStringSubmatch(n.ask(agent.StatNetwork))
	if m == nil {
		n.t.Fatalf("no count of malformed messages in\n%s", n.ask(agent.StatNetwork))
	}
	count, _ := strconv.Atoi(m[1])
	return count
}

// Parts of messages: # is the next sequence number.
const (
	wellFormed = "1000 0034 # 000c0000 01010101 02020202 00080005 00000008 00050002 11000000 00080003 000a0014 00080006 00001388"
	otherFlow  = "1000 0034 # 000c0000 01010101 02020202 00080005 00000008 00050002 11000000 00080003 000b0014 00080006 00001388"
)

// badDatagrams are those that conntrackd counts as malformed in some way, or ignores. What it makes of messages that lack an
// address or a protocol is left out: the original takes them, and its dumps crash.
var badDatagrams = []struct{ name, text string }{
	{"one byte", "10"},
	{"half a header", "10000034"},
	{"no length", "10000000 #"},
	{"shorter than a header", "10000004 #"},
	{"seven bytes", "10000007 #"},
	{"longer than the datagram", "10000034 # 000c0000"},
	{"cut in an address", "10000034 # 000c0000 01010101"},
	{"much longer", "1000fffc #"},
	{"version 0", strings.Replace(wellFormed, "10", "00", 1)},
	{"version 2", strings.Replace(wellFormed, "10", "20", 1)},
	{"version 15", strings.Replace(wellFormed, "10", "f0", 1)},
	{"type 6", "1600 0008 #"},
	{"type 9", "1900 0008 #"},
	{"type 15", "1f00 0008 #"},
	{"control without a flag", "1a00 0008 #"},
	{"control with flag 1", "1a01 0008 #"},
	{"control with flag 80", "1a80 0008 #"},
	{"ACK without a range", "1a08 0008 #"},
	{"ACK with half a range", "1a08 000c # 00000001"},
	{"ACK which says that it is short", "1a08 0008 # 00000001 00000001"},
	{"ACK backwards", "1a08 0010 # 00000009 00000001"},
	{"NACK backwards", "1a04 0010 # 00000009 00000001"},
	{"flow with ACK", strings.Replace(wellFormed, "1000", "1008", 1)},
	{"flow with flag 80", strings.Replace(wellFormed, "1000", "1080", 1)},
	{"unknown attribute", "1000 0010 # 00080021 00000000"},
	{"attribute 65535", "1000 0010 # 0008ffff 00000000"},
	{"attribute without length", "1000 0010 # 00000005 00000000"},
	{"attribute shorter than its head", "1000 0010 # 00030005 00000000"},
	{"attribute longer than the message", "1000 0010 # 00090005 00000000"},
	{"attribute of another size", "1000 0010 # 00060005 00000000"},
	{"addresses of another size", "1000 0010 # 00080000 01010101"},
	{"helper with a long name", "1000 001c # 0011001b 61626364 65666768 696a6b6c 00000000"},
	{"unknown attribute of an expectation", "1300 0010 # 00080015 00000000"},
	{"function with a long name", "1300 0030 # 00250014 " + strings.Repeat("61", 32) + "00000000"},
	{"good and bad", wellFormed + " 20000008 #"},
	{"bad payload and good", "1000 0010 # 00080021 00000000 " + otherFlow},
	{"bad version and good", "2000 0008 # " + otherFlow},
	{"bad size and good", "1000 0004 # " + otherFlow},
	{"good and cut", otherFlow + " 1000 0034 # 0008"},
	{"good twice", wellFormed + wellFormed},
	{"bare ends of good ones", strings.Replace(wellFormed, "1000", "1200", 1) + strings.Replace(otherFlow, "1000", "1200", 1)},
}

// encoded makes bytes of a text.
func encoded(t *testing.T, text string, seq *uint32) []byte {
	t.Helper()
	for strings.Contains(text, "#") {
		text = strings.Replace(text, "#", fmt.Sprintf("%08x", *seq), 1)
		*seq++
	}
	b, err := hex.DecodeString(strings.ReplaceAll(text, " ", ""))
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return b
}

// counts is what a node makes of messages. Those that are lost the original counts in its own way.
var counts = regexp.MustCompile(`(?s)^network statistics:.*?\n\n`)

// TestConntrackdMalformedMessages compares how both programs count bad messages, and what becomes of good ones beside them.
func TestConntrackdMalformedMessages(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"FTFW", "NOTRACK", "ALARM"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			var nodes []*node
			var senders []*sender
			for _, tl := range []tool{theirDaemon(t), ourDaemon(t)} {
				left, right := nstest.Pair(t)
				n := newNode(t, "a", left, tl)
				n.configure(setup{mode: mode, options: "ExpectationSync on"}, 1, 2)
				n.start()
				nodes, senders = append(nodes, n), append(senders, newSender(t, right, n))
			}
			seq := uint32(1)
			for _, bad := range badDatagrams {
				b := encoded(t, bad.text, &seq)
				for _, s := range senders {
					s.send(b)
				}
				// Another message behind shows that the first has been dealt with.
				mark := encoded(t, "f0000008 #", &seq)
				seen := func(n *node) string {
					return counts.FindString(n.ask(agent.StatNetwork)) + n.external()
				}
				for _, s := range senders {
					s.send(mark)
				}
				if !agree(t, fmt.Sprintf("%s (%s)", bad.name, bad.text), func() string { return seen(nodes[0]) }, func() string { return seen(nodes[1]) }) {
					return
				}
			}
			if n := nodes[1].malformed(); n < len(badDatagrams) {
				t.Errorf("%d messages counted", n)
			}
		})
	}
}

// TestConntrackdGarbage sends what is no message to a node of a pair at work.
func TestConntrackdGarbage(t *testing.T) {
	t.Parallel()
	for who, tools := range castings(t) {
		if tools[0].foreign {
			continue
		}
		t.Run(who, func(t *testing.T) {
			t.Parallel()
			p := newPair(t, setup{link: "RcvSocketBuffer 8388608"}, tools[0], tools[1])
			p.greeted()
			own, peers := newBustle(p.a), newBustle(p.b)
			own.steps(100)
			peers.steps(100)
			s := newSender(t, p.b.ns, p.a)
			random := rand.New(rand.NewPCG(5, 6))
			sent := 0
			for range 50 {
				for range 200 {
					s.send(garbage(random))
					sent++
				}
				own.steps(5)
				peers.steps(5)
				settles(t, "malformed messages", fmt.Sprintln(sent), func() string { return fmt.Sprintln(p.a.malformed()) })
			}
			inStep(t, "node with garbage", p.a, p.b)
			inStep(t, "its peer", p.b, p.a)
		})
	}
}

// garbage is a datagram that counts as one malformed message, and that says nothing about what was sent before: its header
// is wrong in one of the ways that end the datagram or make it one message of another version.
func garbage(random *rand.Rand) []byte {
	b := make([]byte, 1+random.IntN(1400))
	for i := range b {
		b[i] = byte(random.Uint32())
	}
	if len(b) < 8 {
		return b // truncated
	}
	switch random.IntN(4) {
	case 0: // another version, all of it
		b[0] = b[0]&0x0f | byte(2+random.IntN(14))<<4
		b = b[:len(b)&^3]
		binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	case 1: // no length
		binary.BigEndian.PutUint16(b[2:], 0)
	case 2: // too short
		binary.BigEndian.PutUint16(b[2:], uint16(1+random.IntN(7)))
	default: // too long
		binary.BigEndian.PutUint16(b[2:], uint16(len(b)+1+random.IntN(1000)))
	}
	return b
}

// TestConntrackdMutations sends messages with some bytes changed to our daemon, which has to survive them. Some make sense, as
// nothing protects a message.
func TestConntrackdMutations(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"FTFW", "NOTRACK", "ALARM"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			left, right := nstest.Pair(t)
			n := newNode(t, "a", left, ourDaemon(t))
			n.configure(setup{mode: mode, options: "ExpectationSync on", link: "RcvSocketBuffer 8388608"}, 1, 2)
			n.start()
			s := newSender(t, right, n)
			random := rand.New(rand.NewPCG(7, 8))
			seq := uint32(1)
			for i := range 20000 {
				b := encoded(t, badDatagrams[random.IntN(len(badDatagrams))].text, &seq)
				for range random.IntN(4) {
					b[random.IntN(len(b))] = byte(random.Uint32())
				}
				s.send(b)
				if i%500 == 0 && n.ask(agent.StatNetwork) == "" {
					t.Fatal("no answer any more")
				}
			}
			for _, r := range []agent.Request{agent.DumpExternal, agent.DumpExternalXML, agent.DumpExternalJSON,
				agent.DumpExternalExpects, agent.DumpExternalExpXML, agent.StatGeneral, agent.StatNetwork} {
				n.ask(r)
			}
			n.client("-c") // which the kernel refuses in part
			if n.malformed() < 1000 {
				t.Errorf("%d malformed messages", n.malformed())
			}
			n.stop()
		})
	}
}
