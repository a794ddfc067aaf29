package tui

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/render"
)

// style is how a piece of a line looks. What it means is always said by characters too.
type style uint8

const (
	plain style = iota
	faint
	title
	chosen // the row of the cursor
	translated
	fresh
	good
	warning
	bad
)

// escapes are SGR sequences (ECMA-48) in colours that people who are colour-blind tell apart: blue, orange, vermilion and sky blue
// of Okabe and Ito, in the palette of 256. The terminal library leaves out what a terminal, or NO_COLOR, does not want.
var escapes = [...]string{
	faint: "2", title: "1", chosen: "7", translated: "38;5;214", fresh: "38;5;74", good: "38;5;32", warning: "1;38;5;214", bad: "1;38;5;166",
}

// piece is a part of a line in one style, line the pieces of one.
type piece struct {
	text  string
	style style
}

type line []piece

func (l line) width() (n int) {
	for _, p := range l {
		n += utf8.RuneCountInString(p.text)
	}
	return n
}

// appendTo appends the line, cut to the width.
func (l line) appendTo(b *strings.Builder, width int, coloured bool) {
	for _, p := range l {
		text := cut(p.text, width)
		width -= utf8.RuneCountInString(text)
		if text == "" {
			continue
		}
		if coloured && p.style != plain {
			fmt.Fprintf(b, "\x1b[%sm%s\x1b[m", escapes[p.style], text)
		} else {
			b.WriteString(text)
		}
	}
}

// cut shortens a text to the width, in characters.
func cut(text string, width int) string {
	n := 0
	for i := range text {
		if n == width {
			return text[:i]
		}
		n++
	}
	return text
}

// narrow makes every character one column wide: what is wider, or none, is a question mark.
func narrow(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r > 0x2ff && !(r >= 0x2000 && r < 0x2600) || !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, text)
}

// fit cuts a text to the width, with an ellipsis, or fills it up.
func (m *Model) fit(text string, width int, right bool) string {
	n := utf8.RuneCountInString(text)
	switch {
	case n > width && width > 0:
		return cut(text, width-1) + m.symbol('…', '~')
	case n > width:
		return ""
	case right:
		return strings.Repeat(" ", width-n) + text
	}
	return text + strings.Repeat(" ", width-n)
}

// symbol is a character, or what stands for it in ASCII.
func (m *Model) symbol(r rune, ascii byte) string {
	if m.settings.ASCII {
		return string(rune(ascii))
	}
	return string(r)
}

// View is the screen: as many lines as it is high, none longer than it is wide. Colours are SGR sequences.
func (m *Model) View(coloured bool) string {
	lines := m.header()
	switch m.mode {
	case helping:
		lines = append(lines, m.help()...)
	case detailed:
		lines = append(lines, m.details()...)
	case confirming:
		lines = append(lines, m.question()...)
	default:
		lines = append(lines, m.table()...)
	}
	foot := m.footer()
	if room := max(0, m.height-len(foot)); len(lines) > room {
		lines = lines[:room]
	} else {
		for len(lines) < room {
			lines = append(lines, nil)
		}
	}
	lines = append(lines, foot...)
	var b strings.Builder
	for i, l := range lines[:min(len(lines), m.height)] {
		if i > 0 {
			b.WriteByte('\n')
		}
		l.appendTo(&b, m.width, coloured)
	}
	return b.String()
}

// Heights of the parts.

func (m *Model) headerLines() int {
	switch {
	case m.height < 6:
		return 0
	case m.height < 12:
		return 1
	case m.uncounted():
		return 4
	}
	return 3
}

func (m *Model) footerLines() int {
	switch {
	case m.height < 3:
		return 0
	case m.mode == filtering:
		return 2
	case m.mode == browsing && m.status != "":
		return len(m.statusLines())
	}
	return 1
}

// statusLines is the status in as many lines as it needs, three at most.
func (m *Model) statusLines() (lines []line) {
	look := plain
	if m.alarm {
		look = bad
	}
	text := []rune(" " + narrow(m.status))
	for width := max(10, m.width); len(text) > 0 && len(lines) < 3; {
		n := min(width, len(text))
		lines = append(lines, line{{string(text[:n]), look}})
		text = text[n:]
	}
	return lines
}

// firstRow is the line of the first row; the titles are above it.
func (m *Model) firstRow() int { return m.headerLines() + 1 }

func (m *Model) rowsOnScreen() int { return max(1, m.height-m.firstRow()-m.footerLines()) }

// uncounted reports whether there is nothing to rank flows by but their times.
func (m *Model) uncounted() bool {
	return m.sample != nil && m.sample.Flows > 0 && m.sample.Counted == 0
}

func short[T uint64 | uint32 | float64](n T) string {
	return string(render.AppendShort(nil, uint64(n)))
}
func span(d time.Duration) string { return string(render.AppendSpan(nil, d)) }

// header is what stands above the table.
func (m *Model) header() []line {
	lines := []line{m.fullness(), m.speeds(), m.place()}
	if m.uncounted() {
		lines = append(lines, line{{" no bytes or rates: accounting is off (sysctl net.netfilter.nf_conntrack_acct=1)", warning}})
	}
	return lines[:min(len(lines), m.headerLines())]
}

// fullness is how full the table is, and when it will be.
func (m *Model) fullness() line {
	p := &m.pulse
	if p.Time.IsZero() {
		return line{{" spoor top", title}}
	}
	clock := p.Time.Format("15:04:05")
	l := line{{" " + render.Grouped(p.Entries), title}}
	if p.Max == 0 {
		l = append(l, piece{" entries, without limit", plain})
	} else {
		share := float64(p.Entries) / float64(p.Max)
		look := good
		switch {
		case share >= 0.95:
			look = bad
		case share >= 0.8:
			look = warning
		}
		const bar = 20
		n := max(0, min(bar, int(share*bar+0.5)))
		l = append(l, piece{" of " + render.Grouped(p.Max) + " entries [", plain}, piece{strings.Repeat("#", n), look},
			piece{strings.Repeat("-", bar-n), faint}, piece{"] ", plain}, piece{fmt.Sprintf("%.1f%%", 100*share), look})
		if in, ok := m.forecast(); ok {
			text := "  full in " + span(in)
			if in == 0 {
				text = "  FULL"
			}
			look := plain
			switch {
			case in < 10*time.Minute:
				look = bad
			case in < time.Hour:
				look = warning
			}
			l = append(l, piece{text, look})
		}
	}
	if room := m.width - l.width() - len(clock) - 1; room > 0 {
		l = append(l, piece{strings.Repeat(" ", room) + clock, plain})
	}
	return l
}

// speeds is what happens each second.
func (m *Model) speeds() line {
	var l line
	if s := m.sample; s != nil && s.Over > 0 && !s.Baseline {
		l = append(l, piece{fmt.Sprintf(" new %s/s  ended %s/s", short(s.PerSecond(s.New)), short(s.PerSecond(s.Ended))), plain})
	} else {
		l = append(l, piece{" new -/s  ended -/s", plain})
	}
	for _, c := range []struct {
		name string
		of   func(*Pulse) uint32
	}{
		{"drops", func(p *Pulse) uint32 { return p.Dropped }},
		{"evicted", func(p *Pulse) uint32 { return p.Evicted }},
		{"failed", func(p *Pulse) uint32 { return p.Failed }},
	} {
		n, look := m.perSecond(c.of), plain
		if n > 0 {
			look = bad
		} else if c.name == "failed" {
			continue
		}
		text := short(n)
		if n > 0 && n < 1 {
			text = "<1"
		}
		l = append(l, piece{"  " + c.name + " " + text + "/s", look})
	}
	if s := m.sample; s != nil && s.Counted > 0 {
		l = append(l, piece{"  " + short(s.PerSecond(s.DBytes)) + "B/s", plain})
	}
	label := "   new/s "
	if room := min(m.width-l.width()-len(label)-1, 40); room >= 4 {
		l = append(l, piece{label, plain}, piece{m.sparkline(m.rates, room), good})
	}
	return l
}

// sparkline draws the last numbers, the largest of them as high as can be.
func (m *Model) sparkline(all []float64, width int) string {
	steps := []rune("▁▂▃▄▅▆▇█")
	if m.settings.ASCII {
		steps = []rune("_.:-=+*#")
	}
	all = all[max(0, len(all)-width):]
	most := 0.0
	for _, n := range all {
		most = max(most, n)
	}
	var b strings.Builder
	for _, n := range all {
		i := 0
		if most > 0 {
			i = int(n / most * float64(len(steps)-1))
		}
		b.WriteRune(steps[i])
	}
	return b.String()
}

// place is what is shown and how one has come there.
func (m *Model) place() line {
	l := m.top()
	what := "flows"
	if l.by != Flows {
		what = "by " + l.by.String()
	}
	order := l.sort.String()
	if l.reverse {
		order += " reversed"
	}
	out := line{{" " + what, title}, {", sorted by " + order, plain}}
	if m.frozen {
		out = append(out, piece{"  FROZEN", warning})
	}
	if m.only {
		out = append(out, piece{"  only new", fresh})
	}
	if m.sample != nil && m.sample.Look.Serial != m.look.Serial {
		out = append(out, piece{"  reading " + m.symbol('…', '.'), warning}) // what is below is not yet what is said here
	} else if s := m.sample; s != nil {
		selected := s.Flows
		if s.Look.OnlyNew {
			selected = s.SinceNew
		}
		switch {
		case m.count() == 0:
		case l.by == Flows && selected > uint64(len(s.Rows)):
			out = append(out, piece{fmt.Sprintf("  top %d of %s", len(s.Rows), render.Grouped(selected)), faint})
		case l.by != Flows && s.Others > 0:
			out = append(out, piece{fmt.Sprintf("  top %d; %s flows in others", len(s.Groups), render.Grouped(s.Others)), faint})
		case l.by != Flows && s.AllGroups > uint64(len(s.Groups)):
			out = append(out, piece{fmt.Sprintf("  top %d of %s", len(s.Groups), render.Grouped(s.AllGroups)), faint})
		}
		if s.Over >= 1500*time.Millisecond {
			out = append(out, piece{fmt.Sprintf("  read every %.1fs", s.Over.Seconds()), faint})
		}
	}
	if len(m.marked) > 0 {
		out = append(out, piece{fmt.Sprintf("  %d marked", len(m.marked)), title})
	}
	if m.filter != "" {
		out = append(out, piece{"  filter: " + narrow(m.filter), translated})
	}
	for _, l := range m.levels {
		if l.name != "" {
			out = append(out, piece{" > " + narrow(l.name), title})
		}
	}
	return out
}

// column is a part of each row.
type column struct {
	title     string
	at, width int
	right     bool
	sort      Sort
	sortable  bool
	text      func(i int) string
	spread    int // 1 and 2: source and destination, which have what the others leave
}

// layout is the columns that there is room for.
func (m *Model) layout() []column {
	if m.top().by != Flows {
		return m.placed(m.groupColumns())
	}
	return m.placed(m.flowColumns())
}

// flowColumns are in the order of the screen. Those with a higher number go first when there is no room.
func (m *Model) flowColumns() ([]column, []int) {
	row := func(i int) *Row { return &m.sample.Rows[i] }
	counted := func(of func(*Row) string) func(int) string {
		return func(i int) string {
			if row(i).Flow.Has&(flow.HasOrigCounters|flow.HasReplyCounters) == 0 {
				return "-"
			}
			return of(row(i))
		}
	}
	perSecond := func(of func(*Row) uint64) func(int) string {
		return counted(func(r *Row) string {
			if r.Over <= 0 {
				return "-"
			}
			return short(r.PerSecond(of(r)))
		})
	}
	return []column{
		{title: "PROTO", width: 5, text: func(i int) string { return row(i).Flow.Orig.Proto.String() }},
		{title: "STATE", width: 11, text: func(i int) string { return StateOf(&row(i).Flow) }},
		{title: "SOURCE", spread: 1, text: func(i int) string { return m.source(&row(i).Flow) }},
		{title: "DESTINATION", spread: 2, text: func(i int) string { return m.destination(&row(i).Flow) }},
		{title: "BYTES/S", width: 7, right: true, sort: ByRate, sortable: true, text: perSecond(func(r *Row) uint64 { return r.DBytes })},
		{title: "PKTS/S", width: 6, right: true, sort: ByPPS, sortable: true, text: perSecond(func(r *Row) uint64 { return r.DPackets })},
		{title: "BYTES", width: 6, right: true, sort: ByBytes, sortable: true, text: counted(func(r *Row) string { return short(r.Bytes()) })},
		{title: "PACKETS", width: 7, right: true, sort: ByPackets, sortable: true, text: counted(func(r *Row) string { return short(r.Packets()) })},
		{title: "AGE", width: 6, right: true, sort: ByAge, sortable: true, text: func(i int) string { return m.age(&row(i).Flow) }},
		{title: "EXPIRES", width: 7, right: true, sort: ByTimeout, sortable: true, text: func(i int) string {
			if !row(i).Flow.Has.Has(flow.HasTimeout) {
				return "-"
			}
			return span(row(i).Flow.Timeout)
		}},
	}, []int{0, 3, 0, 0, 1, 6, 2, 7, 5, 4}
}

func (m *Model) groupColumns() ([]column, []int) {
	group := func(i int) *Group { return &m.sample.Groups[i] }
	counted := func(of func(*Group) string) func(int) string {
		return func(i int) string {
			if m.sample.Counted == 0 {
				return "-"
			}
			return of(group(i))
		}
	}
	perSecond := func(of func(*Group) uint64) func(int) string {
		return counted(func(g *Group) string {
			if m.sample.Over <= 0 {
				return "-"
			}
			return short(m.sample.PerSecond(of(g)))
		})
	}
	return []column{
		{title: groupings[m.top().by].title, spread: 1, text: func(i int) string { return m.named(group(i).Name) }},
		{title: "FLOWS", width: 9, right: true, sort: ByFlows, sortable: true, text: func(i int) string { return render.Grouped(group(i).Flows) }},
		{title: "SHARE", width: 6, right: true, text: func(i int) string {
			return fmt.Sprintf("%.1f%%", 100*float64(group(i).Flows)/float64(max(1, m.sample.Flows)))
		}},
		{title: "NEW", width: 6, right: true, sort: ByNew, sortable: true, text: func(i int) string { return short(group(i).New) }},
		{title: "BYTES/S", width: 7, right: true, sort: ByRate, sortable: true, text: perSecond(func(g *Group) uint64 { return g.DBytes })},
		{title: "PKTS/S", width: 6, right: true, sort: ByPPS, sortable: true, text: perSecond(func(g *Group) uint64 { return g.DPackets })},
		{title: "BYTES", width: 6, right: true, sort: ByBytes, sortable: true, text: counted(func(g *Group) string { return short(g.Bytes) })},
		{title: "PACKETS", width: 7, right: true, sort: ByPackets, sortable: true, text: counted(func(g *Group) string { return short(g.Packets) })},
	}, []int{0, 0, 4, 3, 1, 5, 2, 6}
}

// named adds the name of a service.
func (m *Model) named(text string) string {
	if m.top().by != Services || m.settings.Service == nil {
		return text
	}
	_, number, _ := strings.Cut(text, "/")
	if port, err := strconv.ParseUint(number, 10, 16); err == nil {
		if name := m.settings.Service(uint16(port)); name != "" {
			return text + " " + narrow(name)
		}
	}
	return text
}

// margin is what stands before each row: the cursor and a mark.
const margin = 2

// placed takes as many columns as there is room for and gives each its place. Columns of order 0 are always there, and that which
// rows are sorted by.
func (m *Model) placed(all []column, order []int) []column {
	var need [2]int
	rows, first := m.rowsOnScreen(), m.top().offset
	for i := range all {
		if n := all[i].spread; n > 0 {
			need[n-1] = max(len(all[i].title), m.widths[n-1])
			for r := first; r < min(first+rows, m.count()); r++ {
				need[n-1] = max(need[n-1], utf8.RuneCountInString(all[i].text(r)))
			}
			m.widths[n-1] = need[n-1] // columns do not come and go with every sample
		}
	}
	room := m.width - margin - need[0] - need[1]
	take := make([]bool, len(all))
	for step := range 10 {
		for i := range all {
			switch {
			case take[i]:
			case step == 0 && (order[i] == 0 || all[i].sortable && all[i].sort == m.top().sort),
				step > 0 && order[i] == step && room >= all[i].width+1:
				take[i] = true
				room -= all[i].width + 1
			}
		}
	}
	// What is over goes to the last of the two, what is missing is taken from the wider.
	last := 0
	for i := range all {
		last = max(last, all[i].spread)
	}
	if room > 0 {
		need[last-1] += room
	}
	for ; room < 0 && need[0]+need[1] > 0; room++ {
		if need[0] > need[1] {
			need[0]--
		} else {
			need[1]--
		}
	}
	var cols []column
	at := margin
	for i, c := range all {
		if !take[i] {
			continue
		}
		if c.spread > 0 {
			c.width = need[c.spread-1]
		}
		c.at = at
		at += c.width + 1
		cols = append(cols, c)
	}
	return cols
}

// table is titles and rows.
func (m *Model) table() []line {
	cols := m.layout()
	head := line{{strings.Repeat(" ", margin), plain}}
	for i, c := range cols {
		look := faint
		if c.sortable && c.sort == m.top().sort {
			look = title
		}
		if i > 0 {
			head = append(head, piece{" ", plain})
		}
		head = append(head, piece{m.fit(c.title, c.width, c.right), look})
	}
	lines := []line{head}
	if m.count() == 0 {
		return append(lines, nil, line{{"  " + m.nothing(), plain}})
	}
	l := m.top()
	for i := l.offset; i < min(l.offset+m.rowsOnScreen(), m.count()); i++ {
		lines = append(lines, m.row(cols, i))
	}
	return lines
}

// nothing tells why there are no rows.
func (m *Model) nothing() string {
	switch s := m.sample; {
	case s == nil || s.Look.By != m.top().by:
		return "reading the table " + m.symbol('…', '.')
	case m.only && s.Flows > 0:
		return "nothing is new; N shows all"
	case s.Look.Query.IsZero():
		return "the table is empty: the kernel tracks nothing here, or nothing has come yet"
	}
	return "no flow is selected"
}

func (m *Model) row(cols []column, i int) line {
	mark, look := " ", plain
	if m.top().by == Flows {
		r := &m.sample.Rows[i]
		if r.New {
			mark, look = "+", fresh
		}
		if m.marked[r.Flow.Key()] {
			mark, look = "*", title
		}
	}
	cursor := " "
	if i == m.top().cursor {
		cursor, look = ">", chosen
	}
	out := line{{cursor + mark, look}}
	for n, c := range cols {
		if n > 0 {
			out = append(out, piece{" ", look})
		}
		text := m.fit(c.text(i), c.width, c.right)
		if c.spread == 0 || look == chosen {
			out = append(out, piece{text, look})
			continue
		}
		before, after, isTranslated := strings.Cut(text, m.arrow())
		out = append(out, piece{before, look})
		if isTranslated {
			after, rest, _ := strings.Cut(after, " ")
			out = append(out, piece{m.arrow() + after, translated})
			if pad := len([]rune(text)) - len([]rune(before+m.arrow()+after)); pad > 0 {
				out = append(out, piece{m.fit(" "+rest, pad, false), look})
			}
		}
	}
	return out
}

// arrow stands between an end and what it is translated into.
func (m *Model) arrow() string {
	if m.settings.ASCII {
		return "=>"
	}
	return "→"
}

// source is the source, and what it is translated into; of that no more than what differs.
func (m *Model) source(f *flow.Flow) string {
	t := f.Translated()
	return m.end(f.Orig.Src, f.Orig.SrcPort, f.Orig.Proto, f.Reply.Dst, f.Reply.DstPort, t.SrcAddr, t.SrcPort)
}

func (m *Model) destination(f *flow.Flow) string {
	t := f.Translated()
	return m.end(f.Orig.Dst, f.Orig.DstPort, f.Orig.Proto, f.Reply.Src, f.Reply.SrcPort, t.DstAddr, t.DstPort)
}

func (m *Model) end(a netip.Addr, port uint16, p flow.Proto, into netip.Addr, intoPort uint16, addr, ports bool) string {
	text := endText(a, port, p)
	switch {
	case addr && ports:
		return text + m.arrow() + endText(into, intoPort, p)
	case addr:
		return text + m.arrow() + into.String()
	case ports && p.Shape() == flow.ShapePorts:
		return text + m.arrow() + ":" + strconv.Itoa(int(intoPort))
	case ports:
		return text + m.arrow() + "id " + strconv.Itoa(int(intoPort))
	}
	return text
}

func endText(a netip.Addr, port uint16, p flow.Proto) string {
	switch {
	case !a.IsValid():
		return "-"
	case p.Shape() == flow.ShapePorts:
		return netip.AddrPortFrom(a, port).String()
	}
	return a.String()
}

func (m *Model) age(f *flow.Flow) string {
	if !f.Has.Has(flow.HasStart) {
		return "-"
	}
	return span(max(0, m.sample.Time.Sub(f.Start.Time())))
}

// footer is the line below the table, or the lines.
func (m *Model) footer() []line {
	var lines []line
	switch {
	case m.mode == filtering:
		above := line{{" Enter keeps the filter, Esc takes it back; an empty one selects all", faint}}
		// What has been typed stays visible at its end.
		shown, gone := []rune(narrow(m.typed)), 0
		if room := max(1, m.width-2); len(shown) > room {
			gone = len(shown) - room
		}
		if m.wrong != nil {
			caret := max(0, min(m.wrong.Column-gone, m.width-1))
			text := fmt.Sprintf("^ column %d: %s", m.wrong.Column, narrow(m.wrong.Text))
			if n := utf8.RuneCountInString(text); caret+n > m.width {
				// No room on the right: the caret ends the line.
				text = fmt.Sprintf("column %d: %s ^", m.wrong.Column, narrow(m.wrong.Text))
				n := utf8.RuneCountInString(text)
				if caret+1 >= n {
					text = strings.Repeat(" ", caret+1-n) + text
				}
			} else {
				text = strings.Repeat(" ", caret) + text
			}
			above = line{{text, bad}}
		}
		lines = []line{above, {{"/", title}, {string(shown[gone:]), plain}, {"_", chosen}}}
	case m.mode == grouping:
		l := line{{" group by:", title}}
		for i, key := range groupKeys {
			l = append(l, piece{"  " + key, title}, piece{" " + groupings[i].name, plain})
		}
		lines = []line{l}
	case m.mode == sorting:
		l := line{{" sort by:", title}}
		for i, key := range sortKeys {
			if Sort(i).of(m.top().by) {
				l = append(l, piece{"  " + key, title}, piece{" " + sortNames[i], plain})
			}
		}
		lines = []line{l}
	case m.mode == confirming:
		lines = []line{{{" y", title}, {" deletes them; any other key does not", plain}}}
	case m.mode == helping || m.mode == detailed:
		lines = []line{{{" any key goes back", faint}}}
	case m.status != "":
		lines = m.statusLines()
	default:
		l := line{}
		for _, k := range [][2]string{{"/", "filter"}, {"g", "group"}, {"s", "sort"}, {"Enter", "open"}, {"Esc", "back"},
			{"Space", "freeze"}, {"x", "kill"}, {"?", "help"}, {"q", "quit"}} {
			l = append(l, piece{" " + k[0], title}, piece{" " + k[1], faint})
		}
		lines = []line{l}
	}
	return lines[max(0, len(lines)-m.footerLines()):]
}

// helpText fits 80 columns and, with the shortest header, 24 lines.
var helpText = []string{
	"up down PgUp PgDn Home End  move; the cursor then stays with its row",
	"Enter  Esc                  into a group, or all about a flow; and back",
	"g                           group by source, service, state, NAT address, …",
	"s  < >  r                   sort by rate, bytes, age, …; the next; reverse",
	"/                           filter, as one types: tcp and dport 443",
	"Space                       freeze, and go on",
	"n  N                        + marks what is new from now on; show only that",
	"m  M                        mark a flow, shown by *; unmark all",
	"x                           kill what is marked, or what the cursor is on",
	"X                           kill all that the filter selects",
	"                            both show what would go, and ask first; what you",
	"                            are logged in by stays",
	"mouse                       wheel moves, a title sorts, a row opens",
	"q                           quit",
}

func (m *Model) help() []line {
	lines := []line{nil}
	for _, text := range helpText {
		if m.settings.ASCII {
			text = strings.ReplaceAll(text, "…", "...")
		}
		key, about := text[:28], text[28:]
		lines = append(lines, line{{"  " + key, title}, {about, plain}})
	}
	lines = append(lines, nil, line{{"  " + m.arrow() + " is a translation: what stands behind it is what the end becomes.", plain}})
	if s := m.sample; s != nil {
		lines = append(lines, line{{fmt.Sprintf("  The table was read in %d ms, ", s.Took.Milliseconds()), faint}, {narrow(s.How), faint}})
	}
	return lines
}

// details is all about a flow.
func (m *Model) details() []line {
	f := &m.detail
	var lines []line
	add := func(name, format string, args ...any) {
		lines = append(lines, line{{fmt.Sprintf("  %-12s ", name), title}, {narrow(fmt.Sprintf(format, args...)), plain}})
	}
	direction := func(name string, t *flow.Tuple, c flow.Counters, has bool) {
		text := endText(t.Src, t.SrcPort, t.Proto) + " > " + endText(t.Dst, t.DstPort, t.Proto)
		if t.Proto.Shape() == flow.ShapeICMP {
			text += fmt.Sprintf("  type %d code %d id %d", t.ICMPType(), t.ICMPCode(), t.ICMPID())
		}
		if has {
			text += fmt.Sprintf("  %s packets, %s bytes", render.Grouped(c.Packets), render.Grouped(c.Bytes))
		}
		add(name, "%s", text)
	}
	lines = append(lines, nil)
	add("flow", "%s %s", f.Orig.Proto, StateOf(f))
	direction("original", &f.Orig, f.OrigCounters, f.Has.Has(flow.HasOrigCounters))
	direction("reply", &f.Reply, f.ReplyCounters, f.Has.Has(flow.HasReplyCounters))
	t := f.Translated()
	if t.SrcAddr || t.SrcPort {
		add("source", "%s", m.source(f))
	}
	if t.DstAddr || t.DstPort {
		add("destination", "%s", m.destination(f))
	}
	var status []string
	for _, bit := range flow.StatusBits() {
		if f.Status.Has(bit) {
			status = append(status, bit.Name())
		}
	}
	add("status", "%s", strings.Join(status, " "))
	if f.Has.Has(flow.HasTimeout) {
		add("expires in", "%s", span(f.Timeout))
	}
	if f.Has.Has(flow.HasStart) {
		add("began", "%s, %s ago", f.Start.Time().In(m.sample.Time.Location()).Format(time.DateTime), m.age(f))
	}
	if f.Has.Has(flow.HasMark) {
		add("mark", "0x%x", f.Mark)
	}
	if f.Zone != 0 || f.Orig.Zone != 0 || f.Reply.Zone != 0 {
		add("zone", "%d both, %d original, %d reply", f.Zone, f.Orig.Zone, f.Reply.Zone)
	}
	if f.Helper != "" {
		add("helper", "%s", f.Helper)
	}
	if f.SecCtx != "" {
		add("context", "%s", f.SecCtx)
	}
	if f.Has.Has(flow.HasMaster) {
		add("master", "%s > %s", endText(f.Master.Src, f.Master.SrcPort, f.Master.Proto), endText(f.Master.Dst, f.Master.DstPort, f.Master.Proto))
	}
	return lines
}

// question shows what would be deleted.
func (m *Model) question() []line {
	p := &m.preview
	lines := []line{nil, {{fmt.Sprintf("  Delete %s?", render.Plural(p.Count, "flow")), bad}}}
	if p.Kept > 0 {
		lines = append(lines, line{{fmt.Sprintf("  %s left alone: you are logged in by it", render.Plural(p.Kept, "flow")), plain}})
	}
	lines = append(lines, nil)
	room := max(1, m.height-m.headerLines()-len(lines)-m.footerLines()-1)
	for i := range p.Flows {
		if i == room {
			break
		}
		f := &p.Flows[i]
		lines = append(lines, line{{fmt.Sprintf("  %-6s %-11s %s > %s", f.Orig.Proto, StateOf(f), m.source(f), m.destination(f)), plain}})
	}
	if rest := p.Count - min(len(p.Flows), room); rest > 0 {
		lines = append(lines, line{{fmt.Sprintf("  and %s more", render.Grouped(rest)), plain}})
	}
	return lines
}
