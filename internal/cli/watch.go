package cli

import (
	"errors"
	"fmt"
	"hash/maphash"
	"iter"
	"strings"
	"sync"
	"text/template"
	"time"

	"github.com/spoor-project/spoor/conntrack"
	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/render"
)

var watchCommand = command{
	name: "watch", words: "[QUERY]", summary: "show the table and then every change",
	about: `Shows the flows that the query selects and then what becomes of them: + begun,
~ changed, - ended, = there before. Where the kernel had to drop events a line
says so, and what has changed meanwhile follows it. Ends with Ctrl-C.`,
	options: []option{
		{"changes", 0, "", "only changes, not what is there at the beginning"},
		{"columns", 'c', "LIST", "these columns; spoor help list names them"},
		{"output", 'o', "FORMAT", "text, json or jsonl: a JSON object a line"},
		{"json", 0, "", "as --output json"},
		{"template", 't', "TEXT", "by a template of Go: '{{.Type}} {{.Flow.Orig.Src}}'"},
		{"rate", 'r', "", "only how many there were, each second"},
		{"limit", 'n', "N", "end after N changes"},
	},
	run: watch,
}

func watch(c *call) error {
	s, err := c.open()
	if err != nil {
		return err
	}
	defer s.close()
	// First the subscription, then the table: nothing that happens between is missed.
	events, err := s.client.Subscribe(&conntrack.FollowOptions{})
	if err != nil {
		return err
	}
	defer events.Close()
	w, err := c.watcher(s)
	if err != nil {
		return err
	}
	if err = w.begin(!c.has("changes")); err == nil {
		err = w.follow(events)
	}
	ended := w.show.end()
	if c.ctx.Err() != nil || err == errEnough {
		return ended
	}
	return errors.Join(err, ended)
}

// watcher follows the flows that a query selects.
type watcher struct {
	*call
	source *source
	show   changes
	known  map[flow.Key]known // what is selected, as it was shown last
	seed   maphash.Seed
	limit  int // of changes; 0: none
	shown  int
}

// known is what is kept of a flow to tell whether it has changed.
type known struct {
	id    uint32
	print uint64 // of what update events are about
}

// changes is how changes are shown. typ 0 is a flow that was there before.
type changes interface {
	change(e *flow.Event) error
	gap(dropped uint64) error            // events were lost, and the table is read again
	caught(new, changed, gone int) error // it has been read, and that is what was missed
	flush() error                        // nothing will come for a while
	end() error
}

func (c *call) watcher(s *source) (*watcher, error) {
	w := &watcher{call: c, source: s, known: make(map[flow.Key]known), seed: maphash.MakeSeed()}
	var err error
	if w.limit, err = c.number("limit", 1, 0); err != nil {
		return nil, err
	}
	asJSON, err := c.wantsJSON()
	if err != nil {
		return nil, err
	}
	exclusive := 0
	for _, given := range []bool{c.has("columns"), asJSON, c.has("template"), c.has("rate")} {
		if given {
			exclusive++
		}
	}
	if exclusive > 1 {
		return nil, usagef("--columns, JSON, --template and --rate exclude each other")
	}
	switch {
	case asJSON:
		w.show = &jsonChanges{call: c, printer: render.NewPrinter(render.Flows, &render.Style{Format: render.JSONL})}
	case c.has("template"):
		t, err := template.New("change").Parse(c.value("template", ""))
		if err != nil {
			return nil, usagef("--template: %v", err)
		}
		w.show = &templateChanges{lineChanges: lineChanges{call: c}, template: t}
	case c.has("rate"):
		w.show = newRates(c)
	default:
		l := &lineChanges{call: c}
		if l.columns, err = columnsNamed(c.value("columns", "proto,state,src,dst,nat,status")); err != nil {
			return nil, err
		}
		w.show = l
	}
	return w, nil
}

// wantsJSON reads --json and --output, where the two formats of JSON are the same: a stream has no other end than its last line.
func (c *call) wantsJSON() (bool, error) {
	switch format := c.value("output", "text"); format {
	case "json", "jsonl":
		return true, nil
	case "text":
		return c.has("json"), nil
	default:
		return false, usagef("there is no format %q: choose from text, json and jsonl", format)
	}
}

// read reads what may be selected of the table, in the fastest way there is.
func (w *watcher) read() iter.Seq2[flow.Flow, error] {
	return func(yield func(flow.Flow, error) bool) {
		t, err := w.table(w.source, true)
		if err != nil {
			yield(flow.Flow{}, err)
			return
		}
		defer t.Close()
		for f, err := range t.Flows(w.ctx, w.source.narrow) {
			if !yield(f, err) {
				return
			}
		}
	}
}

// begin reads the table for the first time.
func (w *watcher) begin(show bool) error {
	for f, err := range w.read() {
		if err != nil {
			return err
		}
		if !w.source.query.Match(&f, w.source.now) {
			continue
		}
		w.known[f.Key()] = w.knownOf(&f)
		if show {
			if err := w.show.change(&flow.Event{Flow: f}); err != nil {
				return err
			}
		}
	}
	return w.show.flush()
}

func (w *watcher) follow(events *conntrack.Follower) error {
	for e, err := range events.Events(w.ctx) {
		if err != nil {
			return err
		}
		if e.Type == flow.Lost {
			err = w.catchUp(e.Dropped)
		} else if w.concerns(&e) {
			err = w.tell(&e)
		}
		if err == nil && !events.Queued() {
			err = w.show.flush()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// tell shows a change.
func (w *watcher) tell(e *flow.Event) error {
	if err := w.show.change(e); err != nil {
		return err
	}
	if w.shown++; w.shown == w.limit {
		return errEnough
	}
	return nil
}

// concerns notes a change and reports whether it is to be shown: it is about a flow that is selected, or was until now.
func (w *watcher) concerns(e *flow.Event) bool {
	k := e.Flow.Key()
	before, was := w.known[k]
	same := was && (!e.Flow.Has.Has(flow.HasID) || before.id == e.Flow.ID)
	selected := w.source.query.Match(&e.Flow, time.Now())
	switch e.Type {
	case flow.Destroy:
		if was && !same {
			return false // the end of one before, which the table did not have any more
		}
		delete(w.known, k)
		return was || selected
	case flow.New:
		if same {
			return false // the table had it already
		}
	}
	if selected {
		w.known[k] = w.knownOf(&e.Flow)
	} else if same {
		delete(w.known, k)
	}
	return selected || same
}

// catchUp reads the table again after events were lost, and shows what has changed since.
func (w *watcher) catchUp(dropped uint64) error {
	if err := w.show.gap(dropped); err != nil {
		return err
	}
	left := w.known
	w.known = make(map[flow.Key]known, len(left))
	var begun, changed, gone int
	now := time.Now()
	for f, err := range w.read() {
		if err != nil {
			return err
		}
		if !w.source.query.Match(&f, now) {
			continue
		}
		k := f.Key()
		before, was := left[k]
		is := w.knownOf(&f)
		w.known[k] = is
		delete(left, k)
		typ := flow.EventType(0)
		switch {
		case !was || before.id != is.id:
			typ, begun = flow.New, begun+1
		case before.print != is.print:
			typ, changed = flow.Update, changed+1
		}
		if typ != 0 {
			if err := w.tell(&flow.Event{Type: typ, Flow: f}); err != nil {
				return err
			}
		}
	}
	for k, before := range left {
		gone++
		f := flow.Flow{Has: flow.HasID, Orig: k.Tuple(), Zone: k.Zone, ID: before.id}
		if err := w.tell(&flow.Event{Type: flow.Destroy, Flow: f}); err != nil {
			return err
		}
	}
	return w.show.caught(begun, changed, gone)
}

func (w *watcher) knownOf(f *flow.Flow) known {
	return known{id: f.ID, print: maphash.Comparable(w.seed, struct {
		status flow.Status
		state  uint8
		mark   uint32
		labels flow.Labels
		helper string
	}{f.Status, f.State, f.Mark, f.Labels, f.Helper})}
}

// lineChanges shows a line a change, in columns.
type lineChanges struct {
	*call
	columns []*column
	style   look
	line    []byte
}

// signs mark the kinds of change.
var signs = [...]byte{0: '=', flow.New: '+', flow.Update: '~', flow.Destroy: '-'}

func (l *lineChanges) change(e *flow.Event) error {
	at := time.Now()
	if e.Time != 0 {
		at = e.Time.Time()
	}
	l.style.now = at
	b := at.AppendFormat(l.line[:0], "15:04:05.000 ")
	l.line = appendLine(append(b, signs[e.Type], ' '), l.columns, &l.style, &e.Flow)
	_, err := l.out.Write(l.line)
	return err
}

func (l *lineChanges) gap(dropped uint64) error {
	_, err := fmt.Fprintf(l.out, "--- %s lost; the table is read again\n", lost(dropped))
	return err
}

// lost is how many events were lost; 0 if the kernel does not tell.
func lost(n uint64) string {
	if n == 0 {
		return "events were"
	}
	return render.Plural(n, "event") + map[bool]string{true: " was", false: " were"}[n == 1]
}

func (l *lineChanges) caught(begun, changed, gone int) error {
	_, err := fmt.Fprintf(l.out, "--- meanwhile %d begun, %d changed, %d ended\n", begun, changed, gone)
	return err
}

func (l *lineChanges) flush() error { return l.out.Flush() }
func (l *lineChanges) end() error   { return l.out.Flush() }

// jsonChanges shows an object a line.
type jsonChanges struct {
	*call
	printer *render.Printer
	line    []byte
}

func (j *jsonChanges) flush() error { return j.out.Flush() }
func (j *jsonChanges) end() error   { return j.out.Flush() }

func (j *jsonChanges) change(e *flow.Event) error {
	if e.Type == 0 {
		now := time.Now()
		fmt.Fprintf(j.out, `{"type":"present","time":%q,`, now.UTC().Format("2006-01-02T15:04:05.000000000Z"))
		j.line = j.printer.AppendFlow(j.line[:0], &e.Flow, now)
		_, err := j.out.Write(j.line[1:])
		return err
	}
	j.line = j.printer.AppendEvent(j.line[:0], e, "", time.Now())
	_, err := j.out.Write(j.line)
	return err
}

func (j *jsonChanges) gap(dropped uint64) error {
	j.line = j.printer.AppendEvent(j.line[:0], &flow.Event{Type: flow.Lost, Dropped: dropped}, "", time.Now())
	_, err := j.out.Write(j.line)
	return err
}

func (j *jsonChanges) caught(begun, changed, gone int) error {
	return j.json(struct {
		Type    string `json:"type"`
		New     int    `json:"new"`
		Update  int    `json:"update"`
		Destroy int    `json:"destroy"`
	}{"caught_up", begun, changed, gone})
}

// templateChanges shows what a template makes of a change.
type templateChanges struct {
	lineChanges
	template *template.Template
}

func (t *templateChanges) change(e *flow.Event) error {
	var b strings.Builder
	if err := t.template.Execute(&b, e); err != nil {
		return usagef("%v", err)
	}
	if !strings.HasSuffix(b.String(), "\n") {
		b.WriteByte('\n')
	}
	_, err := t.out.WriteString(b.String())
	return err
}

// rates counts what happens and writes the counts each second, also when nothing happens.
type rates struct {
	lineChanges
	stop chan struct{}
	done chan struct{}

	mu     sync.Mutex // guards what follows
	counts [4]int     // by type; those that were there before are none
	lost   uint64
}

func newRates(c *call) *rates {
	r := &rates{lineChanges: lineChanges{call: c}, stop: make(chan struct{}), done: make(chan struct{})}
	go func() {
		defer close(r.done)
		fmt.Fprintf(r.out, rateFormat, "TIME", "NEW", "CHANGED", "ENDED", "LOST")
		for next := time.NewTicker(time.Second); ; {
			select {
			case at := <-next.C:
				r.write(at)
			case <-r.stop:
				r.write(time.Now())
				return
			}
		}
	}()
	return r
}

const rateFormat = "%-8v  %10v  %10v  %10v  %10v\n"

// write writes what has happened since it did so before.
func (r *rates) write(at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	fmt.Fprintf(r.out, rateFormat, at.Format("15:04:05"), r.counts[flow.New], r.counts[flow.Update], r.counts[flow.Destroy], r.lost)
	r.out.Flush()
	r.counts, r.lost = [4]int{}, 0
}

func (r *rates) change(e *flow.Event) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if e.Type != 0 {
		r.counts[e.Type]++
	}
	return nil
}

func (r *rates) gap(dropped uint64) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lost += dropped
	return nil
}

func (r *rates) caught(int, int, int) error { return nil }
func (r *rates) flush() error               { return nil }

func (r *rates) end() error {
	close(r.stop)
	<-r.done
	return nil
}
