package cli

import (
	"bytes"
	"cmp"
	"context"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/render"
	"github.com/spoor-project/spoor/internal/table"
)

var listCommand = command{
	name: "list", words: "[QUERY]", summary: "show flows",
	about: "Shows the flows that the query selects. Columns:\n" + wrapped(strings.Split(columnNames(), ","), 78),
	options: []option{
		{"columns", 'c', "LIST", "these columns, instead of the usual ones"},
		{"sort", 's', "COLUMN", "in the order of a column; of numbers largest first"},
		{"reverse", 'r', "", "the other way round"},
		{"limit", 'n', "N", "no more than N flows"},
		{"names", 0, "", "names of services instead of ports"},
		{"resolve", 0, "", "names of hosts that are told within a second"},
		{"no-header", 0, "", "no titles"},
		{"output", 'o', "FORMAT", "text, json, jsonl, csv, xml or save, as of conntrack"},
		{"json", 0, "", "as --output json"},
	},
	run: list,
}

func list(c *call) error {
	w, err := c.writer()
	if err != nil {
		return err
	}
	s, err := c.open()
	if err != nil {
		return err
	}
	defer s.close()
	w.look.now = s.now
	t, err := c.table(s, w.needsID())
	if err != nil {
		return err
	}
	defer t.Close()
	if err := w.all(c, s, t); err != nil {
		return err
	}
	_, err = c.out.Write(w.end(nil))
	return err
}

// writer writes flows as lines with columns, or in one of the formats of package render.
type writer struct {
	columns []*column
	look    look
	titles  bool
	printer *render.Printer // nil: columns

	sort    *column // nil: in the order of the table
	reverse bool
	limit   int // 0: none
}

// writer returns the writer that the options ask for.
func (c *call) writer() (w *writer, err error) {
	w = &writer{titles: !c.has("no-header"), reverse: c.has("reverse")}
	if w.columns, err = columnsNamed(c.value("columns", usualColumns)); err != nil {
		return nil, err
	}
	if c.has("sort") {
		if w.sort, err = columnNamed(c.value("sort", "")); err != nil {
			return nil, err
		}
	}
	if w.limit, err = c.number("limit", 1, 0); err != nil {
		return nil, err
	}
	if c.has("names") {
		w.look.services = shortest(readServices("/etc/services"))
	}
	if c.has("resolve") {
		w.look.host = newResolver(c.ctx).host
	}
	format := c.value("output", "")
	if c.has("json") {
		format = "json"
	}
	if format != "" && format != "table" {
		f, ok := render.ParseFormat(format)
		if !ok {
			return nil, usagef("there is no format %q: choose from table, text, json, jsonl, csv, xml and save", format)
		}
		if c.has("columns") {
			return nil, usagef("--columns and --output %s exclude each other: that format has all there is", format)
		}
		w.printer = render.NewPrinter(render.Flows, &render.Style{Format: f})
	}
	return w, nil
}

// shortest turns names of ports round: of several the shortest, and of those the first.
func shortest(ports map[string]uint16) map[uint16]string {
	names := make(map[uint16]string)
	for name, port := range ports {
		if old, ok := names[port]; !ok || cmp.Or(cmp.Compare(len(name), len(old)), cmp.Compare(name, old)) < 0 {
			names[port] = name
		}
	}
	return names
}

// needsID reports whether identifiers are shown.
func (w *writer) needsID() bool {
	return w.printer != nil || slices.ContainsFunc(w.columns, func(c *column) bool { return c.name == "id" })
}

// begin appends what comes before the first flow.
func (w *writer) begin(b []byte) []byte {
	if w.printer == nil && w.titles {
		b = appendTitles(b, w.columns)
	}
	return b
}

// end appends what comes after the last flow.
func (w *writer) end(b []byte) []byte {
	if w.printer != nil {
		b = w.printer.AppendEnd(b)
	}
	return b
}

// append appends a flow; piece is of w's printer.
func (w *writer) append(b []byte, piece *render.Printer, f *flow.Flow) []byte {
	if piece != nil {
		return piece.AppendFlow(b, f, w.look.now)
	}
	return appendLine(b, w.columns, &w.look, f)
}

func (w *writer) piece() *render.Printer {
	if w.printer == nil {
		return nil
	}
	return w.printer.Piece()
}

// all writes the flows that are selected.
func (w *writer) all(c *call, s *source, t *table.Table) error {
	if w.sort != nil {
		return w.sorted(c, s, t)
	}
	if _, err := c.out.Write(w.begin(nil)); err != nil {
		return err
	}
	out := lines{writer: w, to: c.out}
	pieces := sync.Pool{New: func() any { return new(piece) }}
	err := t.Chunks(c.ctx, s.narrow, func(chunk *table.Chunk) error {
		p := pieces.Get().(*piece)
		p.begin(w)
		for f := range chunk.Flows() {
			if !s.query.Match(f, s.now) {
				continue
			}
			p.append(w, f)
			// Over netlink the chunk is the whole table.
			if !t.BySnapshot() && len(p.text) >= 32<<10 {
				out.write(p)
				p.begin(w)
				if out.enough.Load() {
					break
				}
			}
		}
		chunk.Enqueue(func() {
			out.write(p)
			pieces.Put(p)
		})
		if out.enough.Load() {
			return errEnough
		}
		return nil
	})
	switch {
	case out.err != nil:
		return out.err
	case err == errEnough:
		return nil
	}
	return err
}

// piece is some lines, or records of a format.
type piece struct {
	printer *render.Printer
	text    []byte
	ends    []int // of the records, if only some of them may be wanted
	records int
}

func (p *piece) begin(w *writer) {
	p.printer, p.text, p.ends, p.records = w.piece(), p.text[:0], p.ends[:0], 0
}

func (p *piece) append(w *writer, f *flow.Flow) {
	p.text = w.append(p.text, p.printer, f)
	p.records++
	if w.limit > 0 {
		p.ends = append(p.ends, len(p.text))
	}
}

// lines writes pieces, one after the other.
type lines struct {
	*writer
	to      io.Writer
	written int // records
	err     error
	enough  atomic.Bool // no more is wanted
}

func (l *lines) write(p *piece) {
	records, text := p.records, p.text
	if most := l.limit - l.written; l.limit > 0 && records >= most {
		l.enough.Store(true)
		if records = most; records > 0 {
			text = text[:p.ends[records-1]]
		}
	}
	if records == 0 || l.err != nil {
		return
	}
	if l.printer != nil {
		l.to.Write(l.printer.BeginPiece(nil, records))
	}
	if _, l.err = l.to.Write(text); l.err != nil {
		l.enough.Store(true)
	}
	l.written += records
}

// errEnough ends a reading when all that is wanted has come.
var errEnough = usagef("enough")

// row is a line to be sorted.
type row struct {
	key  key
	text []byte
}

// sorted writes the flows that are selected in the order of a column. It keeps their lines; with a limit only so many.
func (w *writer) sorted(c *call, s *source, t *table.Table) error {
	var mu sync.Mutex
	var all []row
	order := func(a, b row) int {
		if w.reverse {
			a, b = b, a
		}
		return bytes.Compare(a.key[:], b.key[:])
	}
	err := t.Chunks(c.ctx, s.narrow, func(chunk *table.Chunk) error {
		var rows []row
		var arena []byte
		piece := w.piece()
		merge := func() {
			mu.Lock()
			defer mu.Unlock()
			all = append(all, rows...)
			rows = rows[:0]
			if w.limit > 0 && len(all) > 4*w.limit+10_000 {
				slices.SortStableFunc(all, order)
				clear(all[w.limit:])
				all = all[:w.limit]
			}
		}
		for f := range chunk.Flows() {
			if !s.query.Match(f, s.now) {
				continue
			}
			begin := len(arena)
			if cap(arena)-begin < 4<<10 {
				arena, begin = make([]byte, 0, 64<<10), 0
			}
			arena = w.append(arena, piece, f)
			piece = w.piece() // each record may come to stand first
			rows = append(rows, row{w.sort.key(&w.look, f), arena[begin:len(arena):len(arena)]})
			if len(rows) >= 10_000 {
				merge()
			}
		}
		merge()
		return nil
	})
	if err != nil {
		return err
	}
	slices.SortStableFunc(all, order)
	if w.limit > 0 && len(all) > w.limit {
		all = all[:w.limit]
	}
	c.out.Write(w.begin(nil))
	for _, r := range all {
		if w.printer != nil {
			c.out.Write(w.printer.BeginPiece(nil, 1))
		}
		if _, err := c.out.Write(r.text); err != nil {
			return err
		}
	}
	return nil
}

// resolver asks the name service for the names of hosts, once each.
type resolver struct {
	ctx   context.Context
	mu    sync.Mutex
	known map[netip.Addr]string // "": none
}

func newResolver(ctx context.Context) *resolver {
	return &resolver{ctx: ctx, known: make(map[netip.Addr]string)}
}

// host is the name of an address; "" if it has none or none is told in time.
func (r *resolver) host(a netip.Addr) string {
	r.mu.Lock()
	name, ok := r.known[a]
	r.mu.Unlock()
	if ok {
		return name
	}
	ctx, cancel := context.WithTimeout(r.ctx, time.Second)
	defer cancel()
	if names, err := net.DefaultResolver.LookupAddr(ctx, a.String()); err == nil && len(names) > 0 {
		name = strings.TrimSuffix(names[0], ".")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.known[a] = name
	return name
}

// wrapped puts words into lines of a width.
func wrapped(words []string, width int) string {
	var b strings.Builder
	line := 0
	for _, w := range words {
		if line > 0 && line+1+len(w) > width {
			b.WriteByte('\n')
			line = 0
		}
		if line > 0 {
			b.WriteByte(' ')
			line++
		}
		b.WriteString(w)
		line += len(w)
	}
	return b.String()
}
