package render

import (
	"math/bits"
	"strconv"
	"sync"
	"time"

	"github.com/spoor-project/spoor/flow"
)

// What JSON and CSV have in common: the parts of a record that flow.Flow stores
// differently, and lists of names.

// direction is a view of what was reported of one direction; nil for what was not.
type direction struct {
	tuple    *flow.Tuple
	counters *flow.Counters
	window   *flow.TCPWindow
	vtag     *uint32
	seqAdj   *flow.SeqAdj
}

func originalOf(f *flow.Flow) direction {
	d := direction{tuple: &f.Orig}
	if f.Has.Has(flow.HasOrigCounters) {
		d.counters = &f.OrigCounters
	}
	if f.Has.Has(flow.HasTCPWindow) {
		d.window = &f.OrigWindow
	}
	if f.Has.Has(flow.HasVTags) {
		d.vtag = &f.VTags.Orig
	}
	if f.Has.Has(flow.HasOrigSeqAdj) {
		d.seqAdj = &f.OrigSeqAdj
	}
	return d
}

func replyOf(f *flow.Flow) direction {
	var d direction
	if f.Has.Has(flow.HasReply) {
		d.tuple = &f.Reply
	}
	if f.Has.Has(flow.HasReplyCounters) {
		d.counters = &f.ReplyCounters
	}
	if f.Has.Has(flow.HasTCPWindow) {
		d.window = &f.ReplyWindow
	}
	if f.Has.Has(flow.HasVTags) {
		d.vtag = &f.VTags.Reply
	}
	if f.Has.Has(flow.HasReplySeqAdj) {
		d.seqAdj = &f.ReplySeqAdj
	}
	return d
}

// names appends a list of names: ["a","b"] in JSON, a|b in a CSV cell. The names
// must need no escaping.
type names struct {
	b     []byte
	json  bool
	count int
}

func openNames(b []byte, json bool) names {
	if json {
		b = append(b, '[')
	}
	return names{b: b, json: json}
}

func (l *names) add(name string) {
	l.separate()
	if l.json {
		l.b = append(append(append(l.b, '"'), name...), '"')
	} else {
		l.b = append(l.b, name...)
	}
}

// addNumber adds a number, which has no quotes.
func (l *names) addNumber(n int) {
	l.separate()
	l.b = strconv.AppendInt(l.b, int64(n), 10)
}

func (l *names) separate() {
	switch {
	case l.count == 0:
	case l.json:
		l.b = append(l.b, ',')
	default:
		l.b = append(l.b, '|')
	}
	l.count++
}

func (l *names) close() []byte {
	if l.json {
		l.b = append(l.b, ']')
	}
	return l.b
}

// appendStatus appends the names of the status bits. A bit of a newer kernel is
// called by its position.
func appendStatus(b []byte, json bool, status flow.Status) []byte {
	if json && status < 1<<16 {
		known := knownNames()
		b = append(append(b, '['), known.statusLow[status&0xff]...)
		return closeNames(append(b, known.statusHigh[status>>8]...))
	}
	l := openNames(b, json)
	for ; status != 0; status &= status - 1 {
		l.add(statusName(bits.TrailingZeros32(uint32(status))))
	}
	return l.close()
}

func statusName(bit int) string {
	if name := flow.Status(1 << bit).Name(); name != "" {
		return name
	}
	return unnamedBits[bit]
}

// knownNames has what every flow has in JSON, names of bits, for each value of eight bits. To put the lists together name
// by name would take a quarter of the time for a flow.
var knownNames = sync.OnceValue(func() *struct{ statusLow, statusHigh, tcpFlags byteNames } {
	return &struct{ statusLow, statusHigh, tcpFlags byteNames }{
		namesOfBytes(statusName),
		namesOfBytes(func(bit int) string { return statusName(8 + bit) }),
		namesOfBytes(func(bit int) string { return tcpFlagNames[bit] }),
	}
})

// byteNames has the names of the bits that are set, quoted, each with a comma behind it.
type byteNames [256]string

func namesOfBytes(name func(bit int) string) (t byteNames) {
	for set := 1; set < len(t); set++ {
		highest := bits.Len(uint(set)) - 1
		t[set] = t[set&^(1<<highest)] + `"` + name(highest) + `",`
	}
	return t
}

// closeNames closes a list of such names.
func closeNames(b []byte) []byte {
	if last := len(b) - 1; b[last] == ',' {
		b = b[:last]
	}
	return append(b, ']')
}

// unnamedBits has a name for each bit of a set that has none of its own.
var unnamedBits = [32]string{"BIT0", "BIT1", "BIT2", "BIT3", "BIT4", "BIT5", "BIT6", "BIT7",
	"BIT8", "BIT9", "BIT10", "BIT11", "BIT12", "BIT13", "BIT14", "BIT15",
	"BIT16", "BIT17", "BIT18", "BIT19", "BIT20", "BIT21", "BIT22", "BIT23",
	"BIT24", "BIT25", "BIT26", "BIT27", "BIT28", "BIT29", "BIT30", "BIT31"}

// tcpFlagNames has the names of flow.TCPFlags, by bit.
var tcpFlagNames = [8]string{"WINDOW_SCALE", "SACK_PERM", "CLOSE_INIT", "BE_LIBERAL",
	"DATA_UNACKNOWLEDGED", "MAXACK_SET", "CHALLENGE_ACK", "SIMULTANEOUS_OPEN"}

func appendTCPFlags(b []byte, json bool, flags flow.TCPFlags) []byte {
	if json {
		return closeNames(append(append(b, '['), knownNames().tcpFlags[flags]...))
	}
	l := openNames(b, json)
	for i, name := range &tcpFlagNames {
		if flags&(1<<i) != 0 {
			l.add(name)
		}
	}
	return l.close()
}

func appendExpectFlags(b []byte, json bool, flags flow.ExpectFlags) []byte {
	l := openNames(b, json)
	for ; flags != 0; flags &= flags - 1 {
		bit := bits.TrailingZeros32(uint32(flags))
		if bit < len(expectFlagNames) {
			l.add(expectFlagNames[bit])
		} else {
			l.add(unnamedBits[bit])
		}
	}
	return l.close()
}

func appendLabelBits(b []byte, json bool, set *flow.Labels) []byte {
	l := openNames(b, json)
	for bit := range flow.LabelBits {
		if set.Bit(bit) {
			l.addNumber(bit)
		}
	}
	return l.close()
}

func appendLabelNames(b []byte, json bool, m *flow.LabelMap, set *flow.Labels) []byte {
	l := openNames(b, json)
	for bit := range flow.LabelBits {
		if set.Bit(bit) {
			if name := m.Name(bit); name != "" {
				l.add(name)
			}
		}
	}
	return l.close()
}

// translated reports whether NAT changes anything of f, and what.
func translated(f *flow.Flow) (t flow.Translation, ok bool) {
	t = f.Translated()
	return t, t != flow.Translation{}
}

// appendTranslation appends what NAT changes, in the words of the original tuple.
func appendTranslation(b []byte, json bool, t flow.Translation, shape flow.Shape) []byte {
	srcPort, dstPort := "sport", "dport"
	switch shape {
	case flow.ShapeKeys:
		srcPort, dstPort = "srckey", "dstkey"
	case flow.ShapeICMP:
		srcPort = "id"
	}
	l := openNames(b, json)
	if t.SrcAddr {
		l.add("src")
	}
	if t.DstAddr {
		l.add("dst")
	}
	if t.SrcPort {
		l.add(srcPort)
	}
	if t.DstPort {
		l.add(dstPort)
	}
	return l.close()
}

// appendState appends the name of a state, or its number if it has none.
func appendState(b []byte, p flow.Proto, state uint8) []byte {
	if name := p.StateName(state); name != "" {
		return append(b, name...)
	}
	return AppendDecimal(b, uint64(state))
}

// typeNames has the types of events as they are written here.
var typeNames = [...]string{flow.New: "new", flow.Update: "update", flow.Destroy: "destroy", flow.Lost: "lost"}

func typeName(t flow.EventType) string {
	if int(t) < len(typeNames) {
		return typeNames[t]
	}
	return ""
}

// appendTime appends a time in RFC 3339, always in UTC and with all nine digits: as
// text such times sort like the times they are.
func appendTime(b []byte, t time.Time) []byte {
	return t.UTC().AppendFormat(b, "2006-01-02T15:04:05.000000000Z")
}

// appendDuration appends how long f has lasted in seconds, to the microsecond.
func appendDuration(b []byte, f *flow.Flow, now time.Time) []byte {
	end := flow.Timestamp(now.UnixNano())
	if f.Has.Has(flow.HasStop) {
		end = f.Stop
	}
	usec := uint64(max(0, end-f.Start)) / 1000
	b = AppendDecimal(b, usec/1e6)
	return appendPadded(append(b, '.'), usec%1e6, 6)
}

// natDirection is the direction that the translation of an expectation holds for.
func natDirection(x *flow.Expect) string {
	if x.NATReply {
		return "reply"
	}
	return "orig"
}
