//go:build linux

package main

import (
	"bufio"
	"context"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/spoor-project/spoor/conntrack"
	"github.com/spoor-project/spoor/flow"
)

// Entries are numbered from 0. The first is alone in having its source address, the
// next three tenths have theirs in one network, and the others elsewhere.
var (
	loneSource = netip.MustParseAddr("192.0.2.1")
	victimNet  = netip.MustParsePrefix("10.0.0.0/13")
	otherNet   = netip.MustParsePrefix("172.16.0.0/12")
	serverNet  = netip.MustParsePrefix("198.18.0.0/15")
)

// The networks have room for maxEntries.
const (
	minEntries     = 1000
	maxEntries     = 5_000_000
	portsPerClient = 20
	servers        = 4000
)

// victims is how many of the entries have their source in victimNet.
func victims(entries int) int { return entries * 3 / 10 }

// condition is a state of connections and how many of a hundred are in it.
type condition struct {
	share  int
	name   string
	state  uint8
	status flow.Status
	// The timeouts are, but for the first, longer than the kernel's own, lest entries expire in the
	// course of the measurement.
	timeout time.Duration
}

const replied = flow.SeenReply | flow.Assured

var conditions = []condition{
	{70, "ESTABLISHED", flow.TCPEstablished, replied, 432_000 * time.Second},
	{14, "TIME_WAIT", flow.TCPTimeWait, replied, 120_000 * time.Second},
	{4, "CLOSE_WAIT", flow.TCPCloseWait, replied, 60_000 * time.Second},
	{4, "SYN_SENT", flow.TCPSynSent, 0, 120_000 * time.Second},
	{3, "FIN_WAIT", flow.TCPFinWait, replied, 120_000 * time.Second},
	{2, "SYN_RECV", flow.TCPSynRecv, flow.SeenReply, 60_000 * time.Second},
	{2, "LAST_ACK", flow.TCPLastAck, replied, 30_000 * time.Second},
	{1, "CLOSE", flow.TCPClose, replied, 20_000 * time.Second},
}

var serverPorts = []uint16{443, 443, 443, 443, 443, 443, 80, 80, 22, 53, 993, 5432, 6379, 8443, 9092, 27017}

// population describes the entries of a table of the given size.
type population struct{ entries int }

// entry is number i, and its condition.
func (p population) entry(i int) (conntrack.Entry, *condition) {
	random := scatter(uint64(i))
	c := conditionOf(int(random % 100))
	server := address(serverNet, int(random>>8%servers))
	orig := flow.Tuple{Dst: server, DstPort: serverPorts[random>>24%uint64(len(serverPorts))], Proto: flow.TCP}
	orig.Src, orig.SrcPort = p.client(i)
	reply, _ := orig.Inverse()
	timeout := c.timeout - time.Duration(random>>32%10_000)*time.Second
	status, state := c.status, c.state
	return conntrack.Entry{Orig: orig, Reply: reply, Change: conntrack.Change{
		Timeout: &timeout, Status: &status, TCP: &conntrack.TCP{State: &state},
	}}, c
}

// conditionOf is the condition of number percent of a hundred.
func conditionOf(percent int) *condition {
	for i := range conditions {
		if percent -= conditions[i].share; percent < 0 {
			return &conditions[i]
		}
	}
	return &conditions[0]
}

// client is the address and port that number i comes from; no two are the same.
func (p population) client(i int) (netip.Addr, uint16) {
	if i == 0 {
		return loneSource, 40_000
	}
	network, n := victimNet, i-1
	if i > victims(p.entries) {
		network, n = otherNet, i-1-victims(p.entries)
	}
	const spread = 1400 // times portsPerClient is all ephemeral ports, nearly
	who := n / portsPerClient
	return address(network, 1+who), uint16(32_768 + n%portsPerClient*spread + who%spread)
}

// address is number n of a network.
func address(network netip.Prefix, n int) netip.Addr {
	b := network.Addr().As4()
	n += int(b[0])<<24 | int(b[1])<<16 | int(b[2])<<8 | int(b[3])
	return netip.AddrFrom4([4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)})
}

// scatter is a fixed random number for each i (splitmix64).
func scatter(i uint64) uint64 {
	i += 0x9e3779b97f4a7c15
	i = (i ^ i>>30) * 0xbf58476d1ce4e5b9
	i = (i ^ i>>27) * 0x94d049bb133111eb
	return i ^ i>>31
}

// create makes entries from number first up to and without number end.
func (p population) create(ctx context.Context, client *conntrack.Client, first, end int) error {
	w, err := client.NewWriter()
	if err != nil {
		return err
	}
	defer w.Close()
	var b conntrack.Batch
	for i := first; i < end; i++ {
		e, _ := p.entry(i)
		b.Create(&e)
		if !b.Full() && i < end-1 {
			continue
		}
		results, err := w.Do(ctx, &b)
		if err != nil {
			return err
		}
		for k := range results {
			if err := results[k].Err; err != nil {
				return fmt.Errorf("entry %d: %w", i+1-len(results)+k, err)
			}
		}
		b.Reset()
	}
	return nil
}

// writeFile writes all entries as a file for -R, in the words of -o save.
func (p population) writeFile(name string) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer f.Close()
	w := bufio.NewWriterSize(f, 1<<20)
	for i := range p.entries {
		e, c := p.entry(i)
		o := &e.Orig
		fmt.Fprintf(w, "-A -t %d -u %s -s %v -d %v -r %v -q %v -p tcp --sport %d --dport %d --reply-port-src %d --reply-port-dst %d --state %s\n",
			*e.Timeout/time.Second, statusWords(c.status), o.Src, o.Dst, o.Dst, o.Src,
			o.SrcPort, o.DstPort, o.DstPort, o.SrcPort, c.name)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return f.Close()
}

func statusWords(s flow.Status) string {
	var words []string
	if s&flow.SeenReply != 0 {
		words = append(words, "SEEN_REPLY")
	}
	if s&flow.Assured != 0 {
		words = append(words, "ASSURED")
	}
	if words == nil {
		return "UNSET"
	}
	return strings.Join(words, ",")
}
