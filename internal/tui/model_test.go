package tui

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/spoor-project/spoor/filter"
	"github.com/spoor-project/spoor/flow"
)

var update = flag.Bool("update", false, "write the golden frames anew")

var noon = time.Date(2025, 6, 1, 12, 0, 0, 0, time.UTC)

func addr(text string) netip.Addr { return netip.MustParseAddr(text) }

func flowOf(p flow.Proto, src, dst string, bytes uint64) flow.Flow {
	a, b := netip.MustParseAddrPort(src), netip.MustParseAddrPort(dst)
	f := flow.Flow{Orig: flow.Tuple{Proto: p, Src: a.Addr(), SrcPort: a.Port(), Dst: b.Addr(), DstPort: b.Port()}}
	f.Reply, _ = f.Orig.Inverse()
	f.Has = flow.HasReply | flow.HasStatus | flow.HasTimeout | flow.HasMark | flow.HasOrigCounters | flow.HasReplyCounters | flow.HasStart
	f.Status = flow.SeenReply | flow.Assured | flow.Confirmed | flow.SrcNATDone | flow.DstNATDone
	f.Timeout = 5*time.Minute + 30*time.Second
	f.Start = flow.Timestamp(noon.Add(-90 * time.Second).UnixNano())
	f.OrigCounters = flow.Counters{Packets: bytes / 100, Bytes: bytes}
	f.ReplyCounters = flow.Counters{Packets: bytes / 200, Bytes: bytes / 2}
	if p == flow.TCP {
		f.Has, f.State = f.Has|flow.HasState, flow.TCPEstablished
	}
	return f
}

// rowsOf are flows of several kinds.
func rowsOf() []Row {
	snat := flowOf(flow.TCP, "192.168.1.20:51000", "198.51.100.7:443", 8_000_000)
	snat.Reply.Dst = addr("203.0.113.1")
	both := flowOf(flow.TCP, "192.168.1.21:51001", "203.0.113.1:80", 900_000)
	both.Reply.Src, both.Reply.SrcPort = addr("10.9.9.9"), 8080
	both.Reply.Dst, both.Reply.DstPort = addr("10.0.0.1"), 40000
	port := flowOf(flow.UDP, "192.168.1.22:53000", "192.0.2.53:53", 5000)
	port.Reply.DstPort = 1024
	six := flowOf(flow.UDP, "[2001:db8::1]:5353", "[2001:db8:0:1:2:3:4:5]:53", 300)
	six.Status &^= flow.SeenReply
	ping := flowOf(flow.ICMP, "192.168.1.20:0", "192.0.2.1:0", 168)
	ping.Orig.SetICMP(8, 0, 77)
	ping.Reply.SetICMP(0, 0, 77)
	plain := flowOf(flow.TCP, "192.168.1.23:40000", "192.0.2.80:22", 40)
	plain.Has &^= flow.HasOrigCounters | flow.HasReplyCounters | flow.HasStart
	plain.OrigCounters, plain.ReplyCounters = flow.Counters{}, flow.Counters{}
	return []Row{{Flow: snat, DBytes: 1_200_000, DPackets: 900}, {Flow: both, DBytes: 45_000, DPackets: 60}, {Flow: port, DBytes: 320, DPackets: 4},
		{Flow: six, New: true, DBytes: 100, DPackets: 1}, {Flow: ping, DBytes: 84, DPackets: 1}, {Flow: plain}}
}

func newModel(t testing.TB, s Settings) *Model {
	t.Helper()
	s.Parse = filter.Parse
	m, actions, err := NewModel(s)
	if err != nil || len(actions) != 1 {
		t.Fatal(actions, err)
	}
	return m
}

// answer gives the model a sample of what it wants.
func answer(m *Model, rows []Row, groups []Group) {
	s := &Sample{Look: m.look, Number: 7, Time: noon, Over: time.Second, Flows: uint64(len(rows)), Counted: uint64(len(rows)), New: 120, Ended: 100,
		DBytes: 1_245_504, Rows: rows, Groups: groups, AllGroups: uint64(len(groups)), How: "by a snapshot", Took: 400 * time.Millisecond}
	for i := range rows {
		rows[i].Over = s.Over
	}
	for _, g := range groups {
		s.Flows += g.Flows
		s.Counted += g.Flows
	}
	m.Update(s)
}

// beats gives it a minute of pulses, of a table that fills up.
func beats(m *Model) {
	for i := range 60 {
		m.Update(Pulse{Time: noon.Add(time.Duration(i-59) * time.Second), Entries: uint32(200_000 + 10*i), Max: 262_144, Dropped: uint32(i / 50)})
		if i%6 == 0 {
			m.rates = append(m.rates, float64(i*i))
		}
	}
}

func groupsOf() []Group {
	return []Group{
		{Name: "192.168.1.20", Condition: "src 192.168.1.20", Flows: 81_234, New: 12, Bytes: 9_000_000_000, Packets: 7_000_000, DBytes: 3_400_000, DPackets: 2900},
		{Name: "2001:db8:0:1:2:3:4:5", Condition: "src 2001:db8:0:1:2:3:4:5", Flows: 512, Bytes: 70_000, Packets: 300},
	}
}

func press(m *Model, keys ...string) (actions []Action) {
	for _, k := range keys {
		text := ""
		if utf8.RuneCountInString(k) == 1 {
			text = k
		}
		if k == "space" {
			text = " "
		}
		actions = append(actions, m.Update(Key{Name: k, Text: text})...)
	}
	return actions
}

func typed(m *Model, text string) {
	for _, r := range text {
		press(m, strings.ReplaceAll(string(r), " ", "space"))
	}
}

// frames are screens in several situations.
var frames = map[string]func(m *Model){
	"flows":   func(m *Model) { answer(m, rowsOf(), nil) },
	"reading": func(m *Model) {},
	"empty":   func(m *Model) { answer(m, nil, nil) },
	"groups": func(m *Model) {
		press(m, "g", "s")
		answer(m, nil, groupsOf())
		press(m, "down")
	},
	"inside": func(m *Model) {
		press(m, "g", "s")
		answer(m, nil, groupsOf())
		press(m, "enter")
		answer(m, rowsOf()[:1], nil)
	},
	"wrong": func(m *Model) {
		answer(m, rowsOf(), nil)
		press(m, "/")
		typed(m, "tcp and dprot 443")
	},
	"marked": func(m *Model) {
		answer(m, rowsOf(), nil)
		press(m, "m", "m", "space", "s")
	},
	"detail": func(m *Model) {
		answer(m, rowsOf(), nil)
		press(m, "down", "enter")
	},
	"kill": func(m *Model) {
		answer(m, rowsOf(), nil)
		press(m, "X")
		rows := rowsOf()
		m.Update(Preview{Serial: 1, Flows: []flow.Flow{rows[0].Flow, rows[1].Flow}, Count: 1234, Kept: 1})
	},
	"killed": func(m *Model) {
		answer(m, rowsOf(), nil)
		m.Update(Killed{Deleted: 3, Gone: 1, Undo: "/root/.local/state/spoor/deleted-20250601-120000.000.save"})
	},
	"help": func(m *Model) {
		answer(m, rowsOf(), nil)
		press(m, "?")
	},
	"uncounted": func(m *Model) {
		answer(m, rowsOf()[5:], nil)
		m.sample.Counted = 0
	},
}

// TestFrames: screens are as they were when somebody looked at them.
func TestFrames(t *testing.T) {
	for name, do := range frames {
		for _, size := range []Size{{80, 24}, {120, 40}, {24, 5}} {
			for _, ascii := range []bool{false, true} {
				if ascii && (size.Width != 80 || name != "flows") {
					continue
				}
				m := newModel(t, Settings{ASCII: ascii})
				m.Update(size)
				beats(m)
				do(m)
				got := m.View(false)
				checkSize(t, got, size)
				file := filepath.Join("testdata", fmt.Sprintf("%s-%dx%d.txt", name, size.Width, size.Height))
				if ascii {
					file = strings.Replace(file, name, name+"-ascii", 1)
				}
				got = regexp.MustCompile(`(?m) +$`).ReplaceAllString(got, "") + "\n"
				if *update {
					if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
						t.Fatal(err)
					}
				}
				want, err := os.ReadFile(file)
				if err != nil || got != string(want) {
					t.Errorf("%s: %v\n%s\nwant\n%s", file, err, got, want)
				}
			}
		}
	}
}

var escape = regexp.MustCompile("\x1b\\[[0-9;]*m")

// checkSize: a view has as many lines as the screen, none too long, and no character that moves the cursor.
func checkSize(t testing.TB, view string, size Size) {
	t.Helper()
	lines := strings.Split(view, "\n")
	if size.Height > 0 && len(lines) != size.Height || size.Height == 0 && view != "" {
		t.Errorf("%d lines on a screen of %v", len(lines), size)
	}
	for _, l := range lines {
		bare := escape.ReplaceAllString(l, "")
		if n := utf8.RuneCountInString(bare); n > size.Width {
			t.Errorf("%d columns on a screen of %v: %q", n, size, l)
		}
		if strings.ContainsAny(bare, "\x1b\r\t") || !utf8.ValidString(bare) {
			t.Errorf("control characters in %q", l)
		}
	}
}

// FuzzKeys: no keys, clicks, samples and sizes make it fail, or draw outside the screen; coloured or not it shows the same.
func FuzzKeys(f *testing.F) {
	f.Add([]byte("g\x01s\x02/tcp\n\x03\x04\x05x\x06y"), uint8(80), uint8(24))
	f.Add([]byte("\x01/"), uint8(0), uint8(0))
	f.Add([]byte("\x01mmmX\x06Y\x02?\x07\x08"), uint8(3), uint8(2))
	names := []string{"up", "down", "pgup", "pgdown", "home", "end", "enter", "esc", "backspace", "space", "left", "right", "delete", "f1", "ctrl+u", "ctrl+w"}
	f.Fuzz(func(t *testing.T, keys []byte, width, height uint8) {
		m := newModel(t, Settings{ASCII: width%2 == 0, Service: func(uint16) string { return "世界" }})
		size := Size{int(width), int(height)}
		m.Update(size)
		beats(m)
		for i, k := range keys[:min(len(keys), 300)] {
			switch {
			case k == 1:
				answer(m, rowsOf(), nil)
			case k == 2:
				answer(m, nil, groupsOf())
			case k == 3:
				m.Update(Click{i * 7 % max(1, size.Width), i % max(1, size.Height)})
			case k == 4:
				m.Update(Wheel{i%5 - 2})
			case k == 5:
				size = Size{i * 3 % 200, i * 5 % 70}
				m.Update(size)
			case k == 6:
				m.Update(Preview{Serial: m.asked - i%2, Flows: []flow.Flow{rowsOf()[0].Flow}, Count: i, Kept: i / 2 % 2})
			case k == 7:
				m.Update(Killed{Deleted: i, Undo: "世界\x1b[2J"})
			case k == 8:
				m.Update(Failed{fmt.Errorf("no\nluck")})
			case k < 32:
				press(m, names[int(k)%len(names)])
			default:
				press(m, string(rune(k)))
			}
			view := m.View(true)
			checkSize(t, view, size)
			if bare := escape.ReplaceAllString(view, ""); bare != m.View(false) {
				t.Fatalf("colours change what is shown:\n%s", bare)
			}
		}
	})
}

// TestFilterIsLive: it is in force as soon as it makes sense, and Esc takes it back.
func TestFilterIsLive(t *testing.T) {
	m := newModel(t, Settings{Query: "udp"})
	press(m, "/", "ctrl+u")
	typed(m, "tcp")
	if got := m.look.Query.String(); got != "tcp" {
		t.Errorf("in force: %s", got)
	}
	typed(m, " and")
	if m.wrong == nil || m.look.Query.String() != "tcp" {
		t.Errorf("half a query: %v, %s", m.wrong, m.look.Query)
	}
	press(m, "enter")
	if m.mode != filtering {
		t.Error("a wrong filter was accepted")
	}
	typed(m, " dport 443")
	press(m, "enter")
	if got := m.look.Query.String(); got != "tcp and dport 443" || m.mode != browsing {
		t.Errorf("after Enter: %s", got)
	}
	press(m, "/", "backspace", "esc")
	if got := m.look.Query.String(); got != "tcp and dport 443" {
		t.Errorf("after Esc: %s", got)
	}
}

func TestDrillDownAndBack(t *testing.T) {
	m := newModel(t, Settings{Query: "tcp or udp", By: Sources})
	answer(m, nil, groupsOf())
	press(m, "down", "enter")
	if m.look.By != Flows || m.look.Query.String() != "(tcp or udp) and src 2001:db8:0:1:2:3:4:5" {
		t.Errorf("inside: by %s of %s", m.look.By, m.look.Query)
	}
	press(m, "g", "v")
	answer(m, nil, []Group{{Name: "tcp/443", Condition: "proto 6 and dport 443", Flows: 1}})
	press(m, "enter")
	if got := m.look.Query.String(); got != "(tcp or udp) and src 2001:db8:0:1:2:3:4:5 and tcp and dport 443" {
		t.Errorf("two levels down: %s", got)
	}
	if press(m, "/", "ctrl+u", "a", "n", "y", "enter"); m.look.Query.String() != "src 2001:db8:0:1:2:3:4:5 and tcp and dport 443" {
		t.Errorf("any, two levels down: %s", m.look.Query)
	}
	press(m, "/", "ctrl+u")
	typed(m, "tcp or udp")
	press(m, "enter", "esc", "esc", "esc")
	if m.look.By != Sources || m.look.Query.String() != "tcp or udp" || m.top().cursor != 0 && m.top().held == nil {
		t.Errorf("back: by %s of %s", m.look.By, m.look.Query)
	}
}

// TestCursorStaysWithItsRow when rows change places, and goes by place from Home on.
func TestCursorStaysWithItsRow(t *testing.T) {
	m := newModel(t, Settings{})
	rows := rowsOf()
	answer(m, rows, nil)
	press(m, "down")
	held := rows[1].Flow.Key()
	rows = append([]Row{rows[5], rows[4], rows[1]}, rows[2:4]...)
	answer(m, rows, nil)
	if m.at(m.top().cursor) != held {
		t.Error("the cursor has lost its row")
	}
	press(m, "home")
	answer(m, rowsOf(), nil)
	if m.top().cursor != 0 {
		t.Error("after Home the cursor does not stay at the top")
	}
	answer(m, nil, nil)
	if acts := press(m, "enter", "x"); len(acts) != 0 {
		t.Errorf("of nothing: %v", acts)
	}
}

func TestFrozenStaysAsItIs(t *testing.T) {
	m := newModel(t, Settings{})
	answer(m, rowsOf(), nil)
	if a := press(m, "space"); len(a) != 1 || a[0] != Pause(true) {
		t.Errorf("%v", a)
	}
	answer(m, nil, nil)
	if m.count() != 6 {
		t.Error("a sample has changed what is frozen")
	}
	press(m, ">") // another order is another look
	answer(m, rowsOf()[:2], nil)
	if m.count() != 2 {
		t.Error("what was asked for while frozen is not shown")
	}
	if a := press(m, "space"); len(a) != 1 || a[0] != Pause(false) {
		t.Errorf("%v", a)
	}
}

func TestKillAsksFirst(t *testing.T) {
	m := newModel(t, Settings{Query: "tcp"})
	rows := rowsOf()
	answer(m, rows, nil)
	ask := func(keys ...string) Ask {
		t.Helper()
		for _, a := range press(m, keys...) {
			if a, ok := a.(Ask); ok {
				return a
			}
		}
		t.Fatalf("%v asks nothing", keys)
		return Ask{}
	}
	if a := ask("down", "x"); len(a.Keys) != 1 || a.Keys[0] != rows[1].Flow.Key() || a.Query != nil {
		t.Errorf("the cursor's: %v", a)
	}
	if a := press(m, "y"); len(a) != 1 || a[0] != (Forget{}) {
		t.Errorf("y before the preview: %v", a)
	}
	if a := m.Update(Preview{Serial: m.asked, Count: 1}); a != nil || m.mode != browsing {
		t.Error("a preview that nobody waits for is shown")
	}
	ask("x")
	m.Update(Preview{Serial: m.asked, Count: 1, Flows: []flow.Flow{rows[1].Flow}})
	if a := press(m, "n"); len(a) != 1 || a[0] != (Forget{}) {
		t.Errorf("n: %v", a)
	}
	ask("x")
	m.Update(Preview{Serial: m.asked - 1, Count: 9, Flows: []flow.Flow{rows[0].Flow}})
	if m.mode != asking {
		t.Error("the answer to another question is taken")
	}
	m.Update(Preview{Serial: m.asked, Count: 1, Flows: []flow.Flow{rows[1].Flow}})
	if a := press(m, "y"); len(a) != 1 || a[0] != (Kill{m.asked}) {
		t.Errorf("y: %v", a)
	}
	press(m, "home", "m", "m")
	if a := ask("x"); len(a.Keys) != 2 {
		t.Errorf("the marked: %v", a)
	}
	press(m, "esc")
	if a := ask("X"); a.Query.String() != "tcp" {
		t.Errorf("all: %v", a.Query)
	}
	m.Update(Preview{Serial: m.asked, Err: fmt.Errorf("no")})
	answer(m, rows, nil)
	if m.mode != browsing || !m.alarm || m.status != "no" {
		t.Error("a failed preview is not told, or not for long")
	}
	m.Update(Failed{fmt.Errorf("busy")})
	if !strings.Contains(m.View(false), "could not be read: busy") {
		t.Error("a failed sweep is not told")
	}
	if answer(m, rows, nil); m.status != "" {
		t.Error("a failed sweep is told after a good one")
	}
	press(m, "g", "s")
	answer(m, nil, groupsOf())
	if a := ask("x"); a.Query.String() != "tcp and src 192.168.1.20" {
		t.Errorf("the group: %v", a.Query)
	}
}

func TestMouse(t *testing.T) {
	m := newModel(t, Settings{})
	m.Update(Size{120, 24})
	answer(m, rowsOf(), nil)
	title := strings.Split(m.View(false), "\n")[m.firstRow()-1]
	at := strings.Index(title, "BYTES ")
	m.Update(Click{at + 1, m.firstRow() - 1})
	if m.look.Sort != ByBytes || m.look.Reverse {
		t.Errorf("a click on BYTES sorts by %s", m.look.Sort)
	}
	m.Update(Click{at + 1, m.firstRow() - 1})
	if m.look.Sort != ByBytes || !m.look.Reverse {
		t.Error("another one does not reverse")
	}
	answer(m, rowsOf(), nil)
	m.Update(Click{10, m.firstRow() + 2})
	if m.top().cursor != 2 {
		t.Errorf("row %d", m.top().cursor)
	}
	m.Update(Click{10, m.firstRow() + 2})
	if m.mode != detailed {
		t.Error("a second click does not open")
	}
	m.Update(Click{10, 10})
	m.Update(Wheel{1})
	if m.mode != browsing || m.top().cursor != 5 {
		t.Errorf("the wheel: row %d", m.top().cursor)
	}
}

func TestForecast(t *testing.T) {
	fill := func(perSecond, n int, most uint32) *Model {
		m := newModel(t, Settings{})
		for i := range n {
			m.Update(Pulse{Time: noon.Add(time.Duration(i) * time.Second), Entries: uint32(1000 + i*perSecond), Max: most})
		}
		return m
	}
	if in, ok := fill(10, 60, 1590+6000).forecast(); !ok || in.Round(time.Second) != 10*time.Minute {
		t.Errorf("%v %v", in, ok)
	}
	for name, m := range map[string]*Model{"too early": fill(10, 5, 9999), "emptying": fill(-10, 60, 9999), "no limit": fill(10, 60, 0), "in years": fill(1, 60, 1<<31)} {
		if in, ok := m.forecast(); ok {
			t.Errorf("%s: %v", name, in)
		}
	}
	if in, ok := fill(0, 60, 1000).forecast(); !ok || in != 0 {
		t.Errorf("full: %v %v", in, ok)
	}
}

// TestGroupsAreWhatTheirConditionsSelect, so that one sees inside what was counted outside.
func TestGroupsAreWhatTheirConditionsSelect(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var flows []flow.Flow
	protos := []flow.Proto{flow.TCP, flow.UDP, flow.ICMP, flow.SCTP, flow.GRE, flow.UDPLite, 99}
	some := func(v6 bool) netip.Addr {
		if v6 {
			return netip.AddrFrom16([16]byte{0x20, 1, 15: byte(random.IntN(3))})
		}
		return netip.AddrFrom4([4]byte{10, 0, 0, byte(random.IntN(3))})
	}
	for range 4000 {
		p, v6 := protos[random.IntN(len(protos))], random.IntN(3) == 0
		if p == flow.ICMP && v6 {
			p = flow.ICMPv6
		}
		f := flow.Flow{Orig: flow.Tuple{Proto: p, Src: some(v6), Dst: some(v6)}, Has: flow.HasReply | flow.HasStatus | flow.HasMark}
		switch p.Shape() {
		case flow.ShapePorts, flow.ShapeKeys:
			f.Orig.SrcPort, f.Orig.DstPort = uint16(random.IntN(3)), uint16(random.IntN(3))
		case flow.ShapeICMP:
			f.Orig.SetICMP(8, 0, uint16(random.IntN(3)))
			if v6 {
				f.Orig.SetICMP(128, 0, uint16(random.IntN(3)))
			}
		}
		f.Reply, _ = f.Orig.Inverse()
		if random.IntN(3) == 0 {
			f.Reply.Dst = some(v6)
		}
		if random.IntN(3) == 0 {
			f.Reply.Src = some(v6)
		}
		if random.IntN(3) == 0 {
			f.Reply.DstPort = uint16(random.IntN(3))
		}
		f.Status = flow.Status(random.IntN(1 << 16))
		f.Mark = uint32(random.IntN(3))
		if f.Zone = uint16(random.IntN(3)); f.Zone > 0 {
			f.Has |= flow.HasZone
		}
		if (p == flow.TCP || p == flow.SCTP) && !f.Status.Has(flow.Offload) {
			f.Has, f.State = f.Has|flow.HasState, uint8(random.IntN(6))
		}
		flows = append(flows, f)
	}
	for by := Sources; by < lastGrouping; by++ {
		members := map[groupKey]int{}
		for i := range flows {
			members[groupings[by].key(&flows[i])]++
		}
		if len(members) < 3 {
			t.Errorf("%s: %d groups", by, len(members))
		}
		for key, n := range members {
			name, condition := groupings[by].text(&key)
			q, err := filter.Parse(condition)
			if err != nil {
				t.Errorf("%s %s: %v", by, name, err)
				continue
			}
			for i := range flows {
				if got, want := q.Match(&flows[i], noon), groupings[by].key(&flows[i]) == key; got != want {
					t.Errorf("%s %s: %s selects: %v, of the group: %v\n%+v", by, name, condition, got, want, flows[i])
					break
				}
				if q.Match(&flows[i], noon) {
					n--
				}
			}
			if n != 0 && !t.Failed() {
				t.Errorf("%s %s: %d too many", by, name, -n)
			}
		}
	}
}

func TestNamesParseBack(t *testing.T) {
	for s := range lastSort {
		if got, ok := SortNamed(s.String()); !ok || got != s {
			t.Errorf("sort %s", s)
		}
	}
	for g := range lastGrouping {
		if got, ok := GroupingNamed(g.String()); !ok || got != g || groupKeys[g] == "" {
			t.Errorf("grouping %s", g)
		}
	}
	if _, ok := SortNamed("size"); ok {
		t.Error("sort size")
	}
	if _, ok := GroupingNamed(""); ok {
		t.Error("no grouping")
	}
}

// TestHelpFits the smallest screen that terminals usually have.
func TestHelpFits(t *testing.T) {
	m := newModel(t, Settings{})
	m.Update(Size{80, 24})
	answer(m, rowsOf(), nil)
	press(m, "?")
	if n := len(m.help()); n > 24-m.headerLines()-1 {
		t.Errorf("%d lines", n)
	}
	for _, l := range m.help() {
		if l.width() > 80 {
			t.Errorf("%d columns: %v", l.width(), l)
		}
	}
}
