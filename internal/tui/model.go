package tui

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spoor-project/spoor/filter"
	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/render"
)

// Settings are what a Model does not find out by itself. All but Parse may be zero.
type Settings struct {
	Query   string // the filter at the beginning
	By      Grouping
	Sort    Sort
	Rows    int  // at most; 0: 500
	ASCII   bool // no other characters than those of ASCII
	Service func(port uint16) string
	// Parse reads a query; its errors are *filter.SyntaxError.
	Parse func(text string) (*filter.Query, error)
}

// What a Model is told; see Update. A *Sample and a Pulse are told as they are.
type (
	// Size is that of the screen, in characters.
	Size struct{ Width, Height int }
	// Key is a key stroke: a name such as "enter", "esc", "up" or "ctrl+c", and what it types, "" if nothing.
	Key struct{ Name, Text string }
	// Click is a press of the left button; Wheel is a turn, downwards if positive.
	Click struct{ X, Y int }
	Wheel struct{ Steps int }
	// Failed is a sweep that did not succeed.
	Failed struct{ Err error }
	// Preview answers [Ask]: what would be deleted.
	Preview struct {
		Serial int         // of the Ask
		Flows  []flow.Flow // the first of them
		Count  int
		Kept   int // left alone, because the user is logged in by them
		Err    error
	}
	// Killed answers [Kill].
	Killed struct {
		Deleted, Gone int    // Gone had ended by themselves
		Undo          string // file that makes them again; "" is none
		Err           error
	}
)

// Action is what a Model wants done: one of [Look], [Pause], [Ask], [Kill], [Forget], [Quit] and [Suspend].
type Action any

type (
	// Pause stops sweeps, or goes on with them. A new Look is swept once in any case.
	Pause bool
	// Ask asks what would be deleted: these flows, or all that the query selects.
	Ask struct {
		Serial int
		Keys   []flow.Key
		Query  *filter.Query // nil: Keys
	}
	// Kill deletes what the Preview of that serial told. Forget says that no Preview is waited for, and none will be carried out.
	Kill   struct{ Serial int }
	Forget struct{}
	Quit   struct{}
	// Suspend gives the terminal back to the shell until that wakes the program up.
	Suspend struct{}
)

// mode is what keys are about.
type mode uint8

const (
	browsing mode = iota
	filtering
	grouping
	sorting
	detailed
	helping
	asking // what would be deleted, and waiting for it
	confirming
)

// level is what is shown, and what was shown above it.
type level struct {
	by        Grouping
	sort      Sort
	reverse   bool
	condition string // what leads down to it
	name      string
	cursor    int
	offset    int // of the first row on the screen
	held      any // what the cursor is on, once it has been moved: a flow.Key, or the name of a group
}

// historyLength is how many pulses a forecast and a sparkline go by.
const historyLength = 120

// moment is what is remembered of a pulse.
type moment struct {
	time    time.Time
	entries uint32
}

// Model is what is on the screen. NewModel makes one; it is for one goroutine.
type Model struct {
	settings Settings
	width    int
	height   int

	mode   mode
	filter string // as it is in force
	typed  string // as it is being typed
	former string // as it was before
	wrong  *filter.SyntaxError
	levels []level // the last is shown
	marked map[flow.Key]bool
	frozen bool
	since  uint32
	only   bool // what is new

	look   Look
	sample *Sample
	rates  []float64 // new flows each second, of the last samples
	pulse  Pulse
	before Pulse
	past   []moment

	widths  [2]int // of source and destination, so far on this level
	detail  flow.Flow
	asked   int // serial of the last Ask
	preview Preview
	status  string
	alarm   bool // the status tells a failure
	failing bool // of a sweep, which the next good one ends
}

// NewModel returns a model and what it wants first.
func NewModel(s Settings) (*Model, []Action, error) {
	if s.Rows <= 0 {
		s.Rows = 500
	}
	m := &Model{settings: s, filter: s.Query, marked: make(map[flow.Key]bool), width: 80, height: 24}
	m.levels = []level{{by: s.By, sort: s.Sort}}
	if !s.Sort.of(s.By) {
		m.top().sort = usualSort(s.By)
	}
	_, err := m.query(m.filter)
	return m, m.want(), err
}

func usualSort(by Grouping) Sort {
	if by == Flows {
		return ByRate
	}
	return ByFlows
}

func (m *Model) top() *level { return &m.levels[len(m.levels)-1] }

// query is a filter together with what leads down to this level.
func (m *Model) query(text string, more ...string) (*filter.Query, error) {
	if _, err := m.settings.Parse(text); err != nil {
		return nil, err
	}
	var all []string
	if strings.TrimSpace(text) != "" {
		all = append(all, text)
	}
	for i := range m.levels {
		if m.levels[i].condition != "" {
			all = append(all, m.levels[i].condition)
		}
	}
	for _, c := range more {
		all = append(all, c)
	}
	if len(all) == 1 {
		return m.settings.Parse(all[0])
	}
	for i := range all {
		all[i] = "(" + all[i] + ")"
	}
	return m.settings.Parse(strings.Join(all, " and "))
}

// want asks for a sweep of what is to be shown now.
func (m *Model) want() []Action {
	q, err := m.query(m.filter)
	if err != nil {
		return nil // what was in force before stays
	}
	l := m.top()
	m.look = Look{Query: q, By: l.by, Sort: l.sort, Reverse: l.reverse, Limit: m.settings.Rows,
		Since: m.since, OnlyNew: m.only, Serial: m.look.Serial + 1}
	return []Action{m.look}
}

// Update tells the model what has happened and returns what it wants done.
func (m *Model) Update(msg any) []Action {
	switch msg := msg.(type) {
	case Size:
		m.width, m.height = max(0, msg.Width), max(0, msg.Height)
		m.widths = [2]int{}
		m.scroll()
	case *Sample:
		m.show(msg)
	case Pulse:
		m.beat(msg)
	case Failed:
		m.say(true, "the table could not be read: %v", msg.Err)
		m.failing = true
	case Preview:
		return m.previewed(msg)
	case Killed:
		return m.killed(msg)
	case Key:
		return m.key(msg)
	case Click:
		return m.click(msg)
	case Wheel:
		if m.mode == browsing {
			m.move(3 * msg.Steps)
		}
	}
	return nil
}

func (m *Model) say(alarm bool, format string, args ...any) {
	m.failing = false
	m.status, m.alarm = fmt.Sprintf(format, args...), alarm
}

// show takes a sample, unless it answers what is no longer asked, or nothing is to move.
func (m *Model) show(s *Sample) {
	if s.Look.Serial != m.look.Serial || m.frozen && m.sample != nil && m.sample.Look.Serial == s.Look.Serial {
		return
	}
	if m.failing {
		m.say(false, "")
		m.failing = false
	}
	m.sample = s
	if s.Over > 0 && !s.Baseline && !s.Peek {
		m.rates = appendLast(m.rates, s.PerSecond(s.New))
	}
	l := m.top()
	if l.held != nil {
		if i := m.find(l.held); i >= 0 {
			l.cursor = i
		}
	}
	m.scroll()
}

// beat takes a pulse.
func (m *Model) beat(p Pulse) {
	if m.frozen && !m.pulse.Time.IsZero() {
		return
	}
	m.before, m.pulse = m.pulse, p
	m.past = appendLast(m.past, moment{p.Time, p.Entries})
}

// appendLast appends to a list of which only the last are kept.
func appendLast[T any](list []T, v T) []T {
	if len(list) >= historyLength {
		list = append(list[:0], list[len(list)-historyLength+1:]...)
	}
	return append(list, v)
}

// count is how many rows there are to walk through.
func (m *Model) count() int {
	switch {
	case m.sample == nil:
		return 0
	case m.sample.Look.By != m.top().by:
		return 0 // of what was shown before
	case m.top().by == Flows:
		return len(m.sample.Rows)
	}
	return len(m.sample.Groups)
}

// at is what a row is held by.
func (m *Model) at(i int) any {
	switch {
	case i < 0 || i >= m.count():
		return nil
	case m.top().by == Flows:
		return m.sample.Rows[i].Flow.Key()
	}
	return m.sample.Groups[i].Name
}

// find returns the row that is held by what.
func (m *Model) find(what any) int {
	for i := range m.count() {
		if m.at(i) == what {
			return i
		}
	}
	return -1
}

// move moves the cursor, which from then on stays with what it is on.
func (m *Model) move(rows int) {
	l := m.top()
	l.cursor += rows
	m.scroll()
	l.held = m.at(l.cursor)
}

// scroll brings the cursor into the rows and the rows into the screen.
func (m *Model) scroll() {
	l, rows := m.top(), m.rowsOnScreen()
	l.cursor = max(0, min(l.cursor, m.count()-1))
	l.offset = max(0, min(l.offset, m.count()-rows, l.cursor))
	if l.cursor >= l.offset+rows {
		l.offset = l.cursor - rows + 1
	}
}

// key is a key stroke.
func (m *Model) key(k Key) []Action {
	if k.Name == "ctrl+c" {
		return []Action{Forget{}, Quit{}}
	}
	if k.Name == "ctrl+z" {
		return []Action{Suspend{}}
	}
	switch m.mode {
	case filtering:
		return m.keyFilter(k)
	case grouping:
		return m.keyGroup(k)
	case sorting:
		return m.keySort(k)
	case confirming:
		m.mode = browsing
		if k.Text == "y" || k.Text == "Y" {
			m.say(false, "deleting %s …", render.Plural(m.preview.Count, "flow"))
			return []Action{Kill{m.preview.Serial}}
		}
		m.say(false, "nothing deleted")
		return []Action{Forget{}}
	case asking:
		m.mode = browsing
		m.say(false, "nothing deleted")
		return []Action{Forget{}}
	case helping, detailed:
		m.mode = browsing
		return nil
	}
	return m.keyBrowse(k)
}

func (m *Model) keyBrowse(k Key) []Action {
	l := m.top()
	m.say(false, "")
	page := max(1, m.rowsOnScreen()-1)
	switch k.Name {
	case "up":
		m.move(-1)
	case "down":
		m.move(1)
	case "pgup":
		m.move(-page)
	case "pgdown":
		m.move(page)
	case "home":
		l.cursor, l.held = 0, nil
		m.scroll()
	case "end":
		m.move(m.count())
	case "enter", "right":
		return m.enter()
	case "esc", "left", "backspace":
		return m.leave()
	case "space":
		m.frozen = !m.frozen
		return []Action{Pause(m.frozen)}
	case "f1":
		m.mode = helping
	case "f10":
		return []Action{Quit{}}
	case "delete":
		return m.ask(false)
	default:
		return m.letter(k.Text)
	}
	return nil
}

// letter is a key that types something.
func (m *Model) letter(text string) []Action {
	l := m.top()
	switch text {
	case "q":
		return []Action{Quit{}}
	case "?", "h":
		m.mode = helping
	case "/":
		m.mode, m.typed, m.former, m.wrong = filtering, m.filter, m.filter, nil
	case "g":
		m.mode = grouping
	case "s":
		m.mode = sorting
	case "j":
		m.move(1)
	case "k":
		m.move(-1)
	case "<", ">":
		return m.nextSort(text == ">")
	case "r":
		l.reverse = !l.reverse
		return m.want()
	case " ":
		m.frozen = !m.frozen
		return []Action{Pause(m.frozen)}
	case "n":
		if m.sample != nil {
			m.since = m.sample.Number
			m.say(false, "+ marks what is new from now on")
			return m.want()
		}
	case "N":
		m.only = !m.only
		return m.want()
	case "m":
		if key, ok := m.at(l.cursor).(flow.Key); ok {
			if m.marked[key] {
				delete(m.marked, key)
			} else {
				m.marked[key] = true
			}
			m.move(1)
		}
	case "M":
		clear(m.marked)
	case "x":
		return m.ask(false)
	case "X":
		return m.ask(true)
	}
	return nil
}

// enter goes into a group, or shows all about a flow.
func (m *Model) enter() []Action {
	l := m.top()
	if l.cursor >= m.count() {
		return nil
	}
	if l.by == Flows {
		m.detail, m.mode = m.sample.Rows[l.cursor].Flow, detailed
		return nil
	}
	g := m.sample.Groups[l.cursor]
	m.levels = append(m.levels, level{by: Flows, sort: ByRate, condition: g.Condition, name: groupings[l.by].name + " " + g.Name})
	return m.changed()
}

// leave goes back.
func (m *Model) leave() []Action {
	if len(m.levels) == 1 {
		return nil
	}
	m.levels = m.levels[:len(m.levels)-1]
	return m.changed()
}

// changed asks for what is shown now.
func (m *Model) changed() []Action {
	m.widths = [2]int{}
	m.scroll()
	return m.want()
}

func (m *Model) keyGroup(k Key) []Action {
	m.mode = browsing
	for by, key := range groupKeys {
		if k.Text == key {
			l := m.top()
			l.by, l.cursor, l.offset, l.held = Grouping(by), 0, 0, nil
			if !l.sort.of(l.by) {
				l.sort, l.reverse = usualSort(l.by), false
			}
			return m.changed()
		}
	}
	return nil
}

// Letters of the menus.
var (
	groupKeys = [lastGrouping]string{"f", "s", "d", "v", "n", "t", "z", "m"}
	sortKeys  = [lastSort]string{"r", "p", "b", "k", "a", "t", "f", "n"}
)

func (m *Model) keySort(k Key) []Action {
	m.mode = browsing
	for s, key := range sortKeys {
		if k.Text == key && Sort(s).of(m.top().by) {
			return m.sortBy(Sort(s))
		}
	}
	return nil
}

// sortBy sorts otherwise, or by the same the other way round.
func (m *Model) sortBy(s Sort) []Action {
	l := m.top()
	l.reverse = s == l.sort && !l.reverse
	l.sort, l.held = s, nil
	l.cursor = 0
	m.scroll()
	return m.want()
}

func (m *Model) nextSort(forward bool) []Action {
	l := m.top()
	s := l.sort
	for {
		if forward {
			s = (s + 1) % lastSort
		} else {
			s = (s + lastSort - 1) % lastSort
		}
		if s.of(l.by) {
			l.reverse, l.sort = false, s
			return m.want()
		}
	}
}

// keyFilter edits the filter, which is in force as soon as it makes sense.
func (m *Model) keyFilter(k Key) []Action {
	switch k.Name {
	case "enter":
		if m.wrong != nil {
			return nil
		}
		m.mode = browsing
		return nil
	case "esc":
		m.mode = browsing
		m.typed = m.former
		return m.apply()
	case "backspace":
		_, n := utf8.DecodeLastRuneInString(m.typed)
		m.typed = m.typed[:len(m.typed)-n]
	case "ctrl+u":
		m.typed = ""
	case "ctrl+w":
		m.typed = m.typed[:strings.LastIndexByte(strings.TrimRight(m.typed, " "), ' ')+1]
	default:
		text := strings.Map(func(r rune) rune {
			if r < ' ' || r == 0x7f || r == utf8.RuneError {
				return -1
			}
			return r
		}, k.Text)
		if text == "" || len(m.typed)+len(text) > maxQuery {
			return nil
		}
		m.typed += text
	}
	return m.apply()
}

// maxQuery bounds what can be typed, or pasted, in bytes.
const maxQuery = 4096

// apply puts what has been typed into force, if it makes sense.
func (m *Model) apply() []Action {
	_, err := m.query(m.typed)
	m.wrong = nil
	if err != nil {
		if !errors.As(err, &m.wrong) {
			m.wrong = &filter.SyntaxError{Column: 1, Text: err.Error()}
		}
		return nil
	}
	if m.typed == m.filter {
		return nil
	}
	m.filter = m.typed
	return m.changed()
}

// ask asks what would be deleted: all that is selected, what is marked, or what the cursor is on.
func (m *Model) ask(all bool) []Action {
	l := m.top()
	a := Ask{}
	switch {
	case all:
		a.Query = m.look.Query
	case l.by != Flows:
		if l.cursor >= m.count() {
			return nil
		}
		q, err := m.query(m.filter, m.sample.Groups[l.cursor].Condition)
		if err != nil {
			m.say(true, "%v", err)
			return nil
		}
		a.Query = q
	case len(m.marked) > 0:
		for key := range m.marked {
			a.Keys = append(a.Keys, key)
		}
		slices.SortFunc(a.Keys, func(a, b flow.Key) int {
			return strings.Compare(fmt.Sprint(a), fmt.Sprint(b))
		})
	default:
		key, ok := m.at(l.cursor).(flow.Key)
		if !ok {
			return nil
		}
		a.Keys = []flow.Key{key}
	}
	m.asked++
	a.Serial = m.asked
	m.mode = asking
	m.say(false, "looking what would be deleted …")
	return []Action{a}
}

func (m *Model) previewed(p Preview) []Action {
	if m.mode != asking || p.Serial != m.asked {
		return nil // no longer wanted
	}
	m.mode, m.status = browsing, ""
	kept := ""
	if p.Kept > 0 {
		kept = fmt.Sprintf("; %s left alone: you are logged in by it", render.Plural(p.Kept, "flow"))
	}
	switch {
	case p.Err != nil:
		m.say(true, "%v", p.Err)
	case p.Count == 0 && p.Kept > 0:
		m.say(true, "nothing to delete%s", kept)
	case p.Count == 0:
		m.say(false, "nothing to delete: it has ended by itself")
	default:
		m.preview, m.mode = p, confirming
		return nil
	}
	return []Action{Forget{}}
}

func (m *Model) killed(k Killed) []Action {
	text := render.Plural(k.Deleted, "flow") + " deleted"
	if k.Gone > 0 {
		text += fmt.Sprintf(", %d had ended by themselves", k.Gone)
	}
	if k.Undo != "" {
		text += "; conntrack -R " + k.Undo + " makes them again"
	}
	if k.Err != nil {
		text += ": " + k.Err.Error()
	}
	m.say(k.Err != nil, "%s", text)
	clear(m.marked)
	return m.want()
}

// click is a press of the mouse: a title sorts, a row is selected, a selected one opened.
func (m *Model) click(c Click) []Action {
	if m.mode == helping || m.mode == detailed {
		m.mode = browsing
		return nil
	}
	if m.mode != browsing {
		return nil
	}
	first := m.firstRow()
	if c.Y == first-1 {
		for _, col := range m.layout() {
			if c.X >= col.at && c.X < col.at+col.width && col.sortable {
				return m.sortBy(col.sort)
			}
		}
		return nil
	}
	l := m.top()
	i := l.offset + c.Y - first
	if c.Y < first || c.Y >= first+m.rowsOnScreen() || i >= m.count() {
		return nil
	}
	if i == l.cursor && l.held != nil {
		return m.enter()
	}
	l.cursor = i
	m.move(0)
	return nil
}

// forecast is when the table will be full if it goes on as it did; ok is false if it will not.
func (m *Model) forecast() (in time.Duration, ok bool) {
	if m.pulse.Max == 0 || len(m.past) < 10 {
		return 0, false
	}
	if m.pulse.Entries >= m.pulse.Max {
		return 0, true
	}
	// The slope of the line with the least squares.
	begin := m.past[0].time
	var n, st, se, stt, ste float64
	for _, p := range m.past {
		t, e := p.time.Sub(begin).Seconds(), float64(p.entries)
		n, st, se, stt, ste = n+1, st+t, se+e, stt+t*t, ste+t*e
	}
	spread := n*stt - st*st
	if spread <= 0 {
		return 0, false
	}
	slope := (n*ste - st*se) / spread
	if slope <= 0 {
		return 0, false
	}
	seconds := float64(m.pulse.Max-m.pulse.Entries) / slope
	if seconds > 86400 {
		return 0, false
	}
	return time.Duration(seconds * float64(time.Second)), true
}

// perSecond is how fast a counter of pulses runs.
func (m *Model) perSecond(of func(*Pulse) uint32) float64 {
	over := m.pulse.Time.Sub(m.before.Time).Seconds()
	if m.before.Time.IsZero() || over <= 0 {
		return 0
	}
	return float64(of(&m.pulse)-of(&m.before)) / over
}
