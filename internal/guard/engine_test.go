package guard

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spoor-project/spoor/flow"
)

// play is a small world in which a test lets things happen, second by second.
type play struct {
	t     *testing.T
	e     *Engine
	start time.Time
	now   time.Time
	said  []string // "kind phase subject", in the order of time
	found []Finding
}

func newPlay(t *testing.T, rules string) *play {
	t.Helper()
	r, err := ParseRules(rules)
	if err != nil {
		t.Fatal(err)
	}
	start := time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)
	return &play{t: t, e: New(r), start: start, now: start}
}

// wait lets time pass, with a tick every second.
func (p *play) wait(d time.Duration) {
	for end := p.now.Add(d); p.now.Before(end); {
		p.now = p.now.Add(time.Second)
		for _, f := range p.e.Tick(p.now) {
			p.found = append(p.found, f)
			who := f.Subject.Source
			if !who.IsValid() {
				who = f.Subject.Destination
			}
			p.said = append(p.said, fmt.Sprintf("%s %s %s", f.Kind, f.Phase, who))
		}
	}
}

// expect compares what has been said since the last call.
func (p *play) expect(want ...string) []Finding {
	p.t.Helper()
	if !slices.Equal(p.said, want) {
		p.t.Errorf("after %v: said %q, want %q", p.now.Sub(p.start), p.said, want)
		for _, f := range p.found {
			p.t.Logf("%+v", f)
		}
	}
	found := p.found
	p.said, p.found = nil, nil
	return found
}

func (p *play) event(typ flow.EventType, f flow.Flow) {
	p.e.Event(p.now, &flow.Event{Type: typ, Flow: f})
}

func tupleOf(proto flow.Proto, src, dst string) flow.Tuple {
	a, b := netip.MustParseAddrPort(src), netip.MustParseAddrPort(dst)
	return flow.Tuple{Proto: proto, Src: a.Addr(), SrcPort: a.Port(), Dst: b.Addr(), DstPort: b.Port()}
}

// syn is a flow of TCP of which only the first packet was seen.
func syn(src, dst string) flow.Flow {
	f := flow.Flow{Has: flow.HasReply | flow.HasStatus | flow.HasState, Orig: tupleOf(flow.TCP, src, dst), State: flow.TCPSynSent, Status: flow.Confirmed}
	f.Reply, _ = f.Orig.Inverse()
	return f
}

func with(f flow.Flow, state uint8, status flow.Status) flow.Flow {
	f.State, f.Status = state, flow.Confirmed|status
	return f
}

func udp(src, dst string) flow.Flow {
	f := flow.Flow{Has: flow.HasReply | flow.HasStatus, Orig: tupleOf(flow.UDP, src, dst), Status: flow.Confirmed}
	f.Reply, _ = f.Orig.Inverse()
	return f
}

// connects opens a flow as honest people do.
func (p *play) connects(src, dst string) flow.Flow {
	f := syn(src, dst)
	p.event(flow.New, f)
	p.event(flow.Update, with(f, flow.TCPSynRecv, flow.SeenReply))
	f = with(f, flow.TCPEstablished, flow.SeenReply|flow.Assured)
	p.event(flow.Update, f)
	return f
}

// isRefused opens a flow to a closed port.
func (p *play) isRefused(src, dst string) {
	f := syn(src, dst)
	p.event(flow.New, f)
	p.event(flow.Update, with(f, flow.TCPClose, flow.SeenReply))
}

func TestPortScan(t *testing.T) {
	p := newPlay(t, DefaultRules)
	for port := range 19 {
		p.isRefused("192.0.2.9:4000", fmt.Sprintf("10.0.0.1:%d", port+1))
	}
	p.isRefused("192.0.2.9:4000", "10.0.0.1:1") // the same again
	p.wait(5 * time.Second)
	p.expect() // the first flow of a source is not noted, so these are 19
	for port := 50; port < 60; port++ {
		p.isRefused("192.0.2.9:4000", fmt.Sprintf("10.0.0.1:%d", port))
	}
	p.wait(time.Second)
	f := p.expect("port-scan begins 192.0.2.9")[0]
	if f.Subject.Destination != netip.MustParseAddr("10.0.0.1") || f.Offender != f.Subject.Source || f.Measured < 20 || f.Limit != 20 || f.Unit != "ports" || f.Confidence != 1 ||
		f.Rule != "port-scan ports=20 within=1m" || !f.Since.Equal(p.start.Add(0)) && f.Since.Before(p.start.Add(-time.Second)) {
		t.Errorf("%+v", f)
	}
	if got := p.e.Ongoing(); len(got) != 1 || got[0].ID != f.ID || p.e.Figures().Ongoing != 1 || p.e.Figures().Found[PortScan] != 1 {
		t.Errorf("%+v %+v", got, p.e.Figures())
	}
	p.wait(3 * time.Minute)
	p.expect("port-scan ends 192.0.2.9")
}

// TestPortScanWithoutAnswers: nothing says no, so it takes the time that an answer may take.
func TestPortScanWithoutAnswers(t *testing.T) {
	p := newPlay(t, "port-scan ports=20 within=1m")
	for port := range 30 {
		p.event(flow.New, udp("[2001:db8::9]:4000", fmt.Sprintf("[2001:db8::1]:%d", port+1)))
	}
	p.wait(2 * time.Second)
	p.expect()
	p.wait(2 * time.Second)
	p.expect("port-scan begins 2001:db8::9")
}

// TestScanOfOpenPorts: the service answers, but the scanner does not complete the handshake.
func TestScanOfOpenPorts(t *testing.T) {
	p := newPlay(t, "port-scan ports=20 within=1m")
	for port := range 30 {
		f := syn("192.0.2.9:4000", fmt.Sprintf("10.0.0.1:%d", port+1))
		p.event(flow.New, f)
		p.event(flow.Update, with(f, flow.TCPSynRecv, flow.SeenReply))
		p.event(flow.Update, with(f, flow.TCPClose, flow.SeenReply))
	}
	p.wait(time.Second)
	p.expect("port-scan begins 192.0.2.9")
}

func TestSweep(t *testing.T) {
	p := newPlay(t, DefaultRules)
	for host := range 40 {
		p.event(flow.New, syn("192.0.2.9:4000", fmt.Sprintf("10.0.0.%d:22", host+1)))
	}
	p.wait(5 * time.Second)
	f := p.expect("host-sweep begins 192.0.2.9")[0]
	if f.Subject.Port != 22 || f.Subject.Proto != flow.TCP || f.Subject.Destination.IsValid() || f.Measured != 39 {
		t.Errorf("%+v", f)
	}
}

func TestSlowScan(t *testing.T) {
	p := newPlay(t, DefaultRules)
	for i := range 70 {
		p.isRefused("192.0.2.9:4000", fmt.Sprintf("10.0.0.%d:%d", i%7+1, i))
		p.wait(4 * time.Minute)
	}
	p.expect("slow-scan begins 192.0.2.9")
}

// TestHonestParallelism: a page with many parts, each answered within a second.
func TestHonestParallelism(t *testing.T) {
	p := newPlay(t, DefaultRules)
	for range 60 {
		var waiting []flow.Flow
		for i := range 200 {
			f := syn(fmt.Sprintf("192.0.2.9:%d", 1000+i), fmt.Sprintf("10.0.%d.1:443", i))
			p.event(flow.New, f)
			waiting = append(waiting, f)
		}
		p.wait(time.Second)
		for _, f := range waiting {
			p.event(flow.Update, with(f, flow.TCPEstablished, flow.SeenReply|flow.Assured))
			p.event(flow.Destroy, with(f, flow.TCPTimeWait, flow.SeenReply|flow.Assured))
		}
	}
	p.wait(time.Minute)
	p.expect()
	if got := p.e.Figures(); got.Flows != 0 {
		t.Errorf("%+v", got)
	}
}

func TestSYNFlood(t *testing.T) {
	p := newPlay(t, DefaultRules)
	for i := range 1200 {
		f := syn(fmt.Sprintf("%d.%d.2.3:999", i%200+1, i/200+1), "10.0.0.1:80")
		p.event(flow.New, f)
		p.event(flow.Update, with(f, flow.TCPSynRecv, flow.SeenReply))
	}
	p.wait(time.Second)
	f := p.expect("syn-flood begins 10.0.0.1")[0]
	if f.Offender.IsValid() || f.Subject.Port != 80 || f.Measured != 1200 || f.Confidence != 1 {
		t.Errorf("%+v", f)
	}
	if row := f.Evidence[3]; row.What != "sources" || row.Count < 660 || row.Count > 720 { // of the second half
		t.Errorf("%+v", f.Evidence)
	}
	// They time out; what was half-open is not any more.
	for i := range 1200 {
		f := syn(fmt.Sprintf("%d.%d.2.3:999", i%200+1, i/200+1), "10.0.0.1:80")
		p.event(flow.Destroy, with(f, flow.TCPSynRecv, flow.SeenReply))
	}
	p.wait(time.Minute)
	p.expect("syn-flood ends 10.0.0.1")
}

func TestSYNFloodOfOneSource(t *testing.T) {
	p := newPlay(t, "syn-flood half-open=100")
	for i := range 200 {
		p.event(flow.New, syn(fmt.Sprintf("192.0.2.9:%d", i+1), "10.0.0.1:80"))
		if i%3 == 0 {
			p.event(flow.New, syn(fmt.Sprintf("192.0.2.%d:7", 10+i), "10.0.0.1:80"))
		}
	}
	p.wait(time.Second)
	if f := p.expect("syn-flood begins 10.0.0.1")[0]; f.Offender != netip.MustParseAddr("192.0.2.9") || f.Confidence != 0.5 {
		t.Errorf("%+v", f)
	}
}

// TestBusyServer: as many half-open connections as a flood has, but those before were completed.
func TestBusyServer(t *testing.T) {
	p := newPlay(t, "syn-flood half-open=1000 within=10s")
	var waiting []flow.Flow
	for second := range 30 {
		for _, f := range waiting {
			p.event(flow.Update, with(f, flow.TCPEstablished, flow.SeenReply|flow.Assured))
		}
		waiting = nil
		for i := range 3000 {
			f := syn(fmt.Sprintf("192.%d.2.9:%d", second, i+1), "10.0.0.1:443")
			p.event(flow.New, f)
			waiting = append(waiting, f)
		}
		if second > 2 {
			p.wait(time.Second)
		} else {
			p.now = p.now.Add(time.Second)
		}
	}
	p.expect()
}

// TestAfterARush: what a rush has left half-open is many, compared with what is completed after it; but it is not getting more.
func TestAfterARush(t *testing.T) {
	p := newPlay(t, DefaultRules)
	n := 0
	seconds := func(count, perSecond int) {
		for range count {
			for range perSecond {
				n++
				src := fmt.Sprintf("192.%d.%d.9:%d", n/250%250, n%250, n%50_000+1)
				if n%100 > 0 {
					f := p.connects(src, "10.0.0.1:443")
					p.event(flow.Destroy, f)
				} else { // given up by the client
					f := syn(src, "10.0.0.1:443")
					p.event(flow.New, f)
					p.event(flow.Update, with(f, flow.TCPSynRecv, flow.SeenReply))
				}
			}
			p.wait(time.Second)
		}
	}
	seconds(60, 2000)
	seconds(30, 20)
	p.expect()
}

func TestRates(t *testing.T) {
	p := newPlay(t, "source-rate rate=10/s within=10s\ndestination-rate rate=20/s within=10s")
	for range 20 {
		for i := range 12 {
			p.connects(fmt.Sprintf("192.0.2.9:%d", p.now.Second()*100+i+1), "10.0.0.1:80")
		}
		for i := range 12 {
			p.connects(fmt.Sprintf("198.51.100.%d:%d", i+1, p.now.Second()+1), "10.0.0.1:80")
		}
		p.wait(time.Second)
	}
	all := p.expect("source-rate begins 192.0.2.9", "destination-rate begins 10.0.0.1")
	if f := all[0]; f.Measured < 10 || f.Measured > 13 || f.Unit != "flows/s" {
		t.Errorf("%+v", f)
	}
	p.wait(time.Minute)
	p.expect("source-rate ends 192.0.2.9", "destination-rate ends 10.0.0.1")
}

// TestUnusualRate: what is usual has been learned, and ten times of it is told though the rule's rate is higher.
func TestUnusualRate(t *testing.T) {
	p := newPlay(t, "destination-rate rate=100/s within=10s usual=10")
	opens := func(n int, d time.Duration) {
		for end := p.now.Add(d); p.now.Before(end); {
			for i := range n {
				p.connects(fmt.Sprintf("192.0.2.9:%d", i+1), "10.0.0.1:80")
			}
			p.wait(time.Second)
		}
	}
	opens(3, 15*time.Minute)
	p.expect()
	opens(25, time.Minute)
	p.expect() // less than ten times
	opens(50, 20*time.Second)
	if f := p.expect("destination-rate begins 10.0.0.1")[0]; f.Limit < 29 || f.Limit > 35 {
		t.Errorf("%+v", f)
	}
}

func TestUnreplied(t *testing.T) {
	p := newPlay(t, "unreplied share=90% flows=100 within=1m")
	for i := range 40 {
		for range 5 {
			p.event(flow.New, udp(fmt.Sprintf("192.0.2.9:%d", 1+i), fmt.Sprintf("10.0.%d.1:53", i)))
			f := udp(fmt.Sprintf("192.0.2.10:%d", 1+i), fmt.Sprintf("10.0.%d.1:53", i))
			p.event(flow.New, f)
			f.Status |= flow.SeenReply
			p.event(flow.Update, f)
			p.event(flow.Destroy, f)
		}
		p.wait(time.Second)
	}
	if f := p.expect("unreplied begins 192.0.2.9")[0]; f.Measured != 100 || f.Confidence != 1 {
		t.Errorf("%+v", f)
	}
}

func TestHoarding(t *testing.T) {
	p := newPlay(t, "hoarding flows=50 idle=10m")
	var all []flow.Flow
	for i := range 60 {
		f := p.connects(fmt.Sprintf("192.0.2.9:%d", i+1), "10.0.0.1:80")
		f.Has |= flow.HasTimeout
		all = append(all, f)
		f = p.connects(fmt.Sprintf("192.0.2.10:%d", i+1), "10.0.0.1:80")
		f.Has |= flow.HasTimeout
		all = append(all, f)
	}
	begun := p.now
	read := func() {
		p.e.BeginReading(p.now)
		for _, f := range all {
			f.Timeout = time.Hour - p.now.Sub(begun)
			if f.Orig.Src == netip.MustParseAddr("192.0.2.10") {
				f.Timeout = time.Hour // it has just sent something
			}
			p.e.Read(&f)
		}
		p.e.EndReading(p.now)
	}
	for range 10 {
		read()
		p.wait(time.Minute)
	}
	p.expect()
	read()
	p.wait(time.Second)
	f := p.expect("hoarding begins 192.0.2.9")[0]
	if f.Measured != 60 || f.Evidence[1].Count != 60 {
		t.Errorf("%+v", f)
	}
}

func TestTablePressure(t *testing.T) {
	p := newPlay(t, "table-pressure used=90% ahead=10m")
	for i := range 70 {
		p.connects(fmt.Sprintf("192.0.2.9:%d", i+1), "10.0.0.1:80")
	}
	p.e.Level(p.now, 100, 200)
	p.wait(time.Second)
	p.expect()
	for n := range uint32(30) { // full in 90 seconds
		p.e.Level(p.now, 100+n, 200)
		p.wait(time.Second)
	}
	f := p.expect("table-pressure begins invalid IP")[0]
	if f.Offender != netip.MustParseAddr("192.0.2.9") || len(f.Evidence) != 3 {
		t.Errorf("%+v", f)
	}
	for range 100 {
		p.e.Level(p.now, 20, 200)
		p.wait(time.Second)
	}
	p.expect("table-pressure ends invalid IP")
	p.e.Level(p.now, 190, 200)
	p.wait(time.Second)
	p.expect("table-pressure begins invalid IP")
}

func TestPortExhaustion(t *testing.T) {
	p := newPlay(t, "port-exhaustion used=80% ports=100")
	opens := func(remote string, i int) flow.Flow {
		f := udp(fmt.Sprintf("192.168.0.%d:%d", i%50+1, 1000+i), remote)
		f.Reply.Dst = netip.MustParseAddr("203.0.113.1")
		p.event(flow.New, f)
		return f
	}
	for i := range 79 {
		opens("198.51.100.1:443", i)
		opens("198.51.100.2:443", i)
	}
	p.wait(time.Second)
	p.expect()
	last := opens("198.51.100.2:443", 100)
	p.wait(time.Second)
	f := p.expect("port-exhaustion begins 203.0.113.1")[0]
	if f.Measured != 80 || f.Evidence[0] != (Evidence{"ports in use towards 198.51.100.2 port 443", 80}) {
		t.Errorf("%+v", f)
	}
	p.event(flow.Destroy, last)
	p.wait(time.Minute)
	p.expect("port-exhaustion ends 203.0.113.1")
}

func TestUpload(t *testing.T) {
	p := newPlay(t, "upload bytes=1M within=1h\ninside 10.0.0.0/8")
	ends := func(src, dst string, bytes uint64) {
		f := p.connects(src, dst)
		f.Has |= flow.HasOrigCounters
		f.OrigCounters.Bytes = bytes
		p.event(flow.Destroy, f)
	}
	ends("10.0.0.1:1", "10.0.0.2:80", 5<<20)     // stays inside
	ends("192.0.2.1:1", "10.0.0.2:80", 5<<20)    // comes in
	ends("10.0.0.3:1", "198.51.100.1:80", 1<<19) // too little
	// One that goes on is counted by readings, and once.
	f := p.connects("10.0.0.4:1", "198.51.100.1:80")
	f.Has |= flow.HasOrigCounters
	for i := range uint64(3) {
		f.OrigCounters.Bytes = (i + 1) * 300_000
		p.e.BeginReading(p.now)
		p.e.Read(&f)
		p.e.EndReading(p.now)
		p.wait(time.Minute)
	}
	p.expect()
	f.OrigCounters.Bytes = 1_200_000
	p.event(flow.Destroy, f)
	p.wait(time.Second)
	if f := p.expect("upload begins 10.0.0.4")[0]; f.Measured < 1.15e6 || f.Measured > 1.2e6 {
		t.Errorf("%+v", f)
	}
}

// TestReadingMendsWhatWasLost: ends that nobody saw are not counted any more, beginnings are.
// TestReadingIsOlderThanEvents: a flow that ends while the table is read does not come back with what was read before its end.
func TestReadingIsOlderThanEvents(t *testing.T) {
	p := newPlay(t, "syn-flood half-open=100")
	known, unknown, again := syn("192.0.2.9:1", "10.0.0.1:80"), syn("192.0.2.9:2", "10.0.0.1:80"), syn("192.0.2.9:3", "10.0.0.1:80")
	p.event(flow.New, known)
	p.e.BeginReading(p.now)
	for _, f := range []flow.Flow{known, unknown, again} {
		p.event(flow.Destroy, f)
	}
	p.event(flow.New, again)
	for _, f := range []flow.Flow{known, unknown, again} {
		p.e.Read(&f)
	}
	p.e.EndReading(p.now)
	if got := p.e.Figures().Flows; got != 1 {
		t.Errorf("%d flows are remembered, want the one that began again", got)
	}
	checkGauges(t, p.e)
	p.e.BeginReading(p.now)
	p.e.Read(&known) // has begun again, and its event was lost
	p.e.EndReading(p.now)
	if got := p.e.Figures().Flows; got != 1 {
		t.Errorf("%d flows are remembered after another reading, want 1", got)
	}
}

// TestEndsDuringReadingAreBounded: whatever an attacker ends meanwhile.
func TestEndsDuringReadingAreBounded(t *testing.T) {
	p := newPlay(t, "syn-flood half-open=100")
	p.e.BeginReading(p.now)
	for i := range mostEnded + 1000 {
		p.event(flow.Destroy, syn(fmt.Sprintf("192.0.%d.%d:%d", i>>8&0xff, i&0xff, 1+i>>16), "10.0.0.1:80"))
	}
	if n := len(p.e.ended); n != mostEnded {
		t.Errorf("%d ends are remembered, want %d", n, mostEnded)
	}
	p.e.EndReading(p.now)
	if p.e.ended != nil {
		t.Error("they are remembered after the reading, too")
	}
}

func TestReadingMendsWhatWasLost(t *testing.T) {
	p := newPlay(t, "syn-flood half-open=100\nport-exhaustion used=80% ports=100")
	var all []flow.Flow
	for i := range 90 {
		f := syn(fmt.Sprintf("192.0.2.9:%d", i+1), "10.0.0.1:80")
		p.event(flow.New, f)
		all = append(all, f)
	}
	p.e.Event(p.now, &flow.Event{Type: flow.Lost, Dropped: 500})
	// 60 of them have ended, 50 others have begun.
	for i := range 50 {
		all = append(all, syn(fmt.Sprintf("192.0.2.10:%d", i+1), "10.0.0.1:80"))
	}
	all = all[60:]
	p.e.BeginReading(p.now)
	for i, f := range all {
		if i == 40 {
			// Meanwhile one that has been read ends, one that has not been read is completed, and one begins.
			p.event(flow.Destroy, all[0])
			p.event(flow.Update, with(all[50], flow.TCPEstablished, flow.SeenReply|flow.Assured))
			p.event(flow.New, syn("192.0.2.11:1", "10.0.0.1:80"))
			all[50] = with(all[50], flow.TCPEstablished, flow.SeenReply|flow.Assured)
			f = all[40]
		}
		if i == 50 {
			f = all[50]
		}
		p.e.Read(&f)
	}
	p.e.EndReading(p.now)
	n, ok := p.e.services.find(serviceOf(&all[1]))
	if !ok {
		t.Fatal("the service is not remembered")
	}
	if h := p.e.services.at(n).V; h.unanswered != 79 || h.uncompleted != 0 {
		t.Errorf("%+v, want 79 half-open", h)
	}
	if got := p.e.Figures(); got.Flows != 80 || got.Lost != 500 || got.Readings != 1 {
		t.Errorf("%+v", got)
	}
	// What was in the queue while the table was read says nothing new.
	p.event(flow.New, all[10])
	if h := p.e.services.at(n).V; h.unanswered != 79 {
		t.Errorf("%+v", h)
	}
}

// TestOtherProgramsEventsAreNoAttack: conntrackd brings the flows of the other node.
func TestOtherProgramsEventsAreNoAttack(t *testing.T) {
	p := newPlay(t, DefaultRules)
	for port := range 400 {
		f := syn("192.0.2.9:4000", fmt.Sprintf("10.0.0.1:%d", port+1))
		p.e.Event(p.now, &flow.Event{Type: flow.New, Flow: f, PortID: 77})
	}
	p.wait(10 * time.Second)
	p.expect()
}

func TestOtherRulesKeepWhatIsKnown(t *testing.T) {
	p := newPlay(t, "port-scan ports=20")
	for port := range 15 {
		p.isRefused("192.0.2.9:4000", fmt.Sprintf("10.0.0.1:%d", port+1))
	}
	p.wait(2 * time.Second)
	p.expect()
	rules, err := ParseRules("port-scan ports=10")
	if err != nil {
		t.Fatal(err)
	}
	p.e.SetRules(rules)
	p.isRefused("192.0.2.9:4000", "10.0.0.1:99")
	p.wait(time.Second)
	p.expect("port-scan begins 192.0.2.9")
	p.e.SetRules(&Rules{})
	p.wait(time.Second)
	p.expect("port-scan ends 192.0.2.9")
}

func TestQueriesSelectWhatCounts(t *testing.T) {
	p := newPlay(t, "port-scan ports=5 where not src 192.0.2.0/24")
	for port := range 15 {
		p.isRefused("192.0.2.9:4000", fmt.Sprintf("10.0.0.1:%d", port+1))
		p.isRefused("198.51.100.9:4000", fmt.Sprintf("10.0.0.1:%d", port+1))
	}
	p.wait(2 * time.Second)
	p.expect("port-scan begins 198.51.100.9")
}

// TestSamplingScales: a quarter of the flows tells of four times as many.
func TestSamplingScales(t *testing.T) {
	p := newPlay(t, "destination-rate rate=1000/s within=10s\nsyn-flood half-open=1000")
	p.e.Sample(4)
	for range 20 {
		for i := range 1500 {
			p.event(flow.New, syn(fmt.Sprintf("192.%d.%d.9:7", p.now.Second(), i%250), fmt.Sprintf("10.0.0.1:%d", i%3+1)))
		}
		p.wait(time.Second)
	}
	p.wait(2 * time.Second)
	var kinds []string
	for _, f := range p.found {
		kinds = append(kinds, f.Kind.String())
		if f.Kind == DestinationRate && (f.Measured < 1000 || f.Measured > 1800) {
			t.Errorf("%+v", f)
		}
	}
	if got := strings.Join(kinds, " "); !strings.Contains(got, "destination-rate") || !strings.Contains(got, "syn-flood") {
		t.Errorf("found %s", got)
	}
	if f := p.e.Figures(); f.Sampling != 4 || f.Skipped < f.Events/2 {
		t.Errorf("%+v", f)
	}
}
