package cli

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"

	"github.com/spoor-project/spoor/internal/render"
	"github.com/spoor-project/spoor/internal/table"
	"github.com/spoor-project/spoor/internal/tally"
)

var countCommand = command{
	name: "count", words: "[QUERY]", summary: "count flows, also by what they have in common",
	about: "Counts the flows that the query selects, or what they have in common:\n" + wrapped(tallyFields(), 78),
	options: []option{
		{"by", 'b', "FIELDS", "groups by one or more of these fields: --by src,dport"},
		{"top", 'n', "N", "no more than the N largest groups"},
		{"sort", 's', "MEASURE", "what makes a group large: flows, packets or bytes"},
		{"no-header", 0, "", "no titles, and no total"},
		{"json", 0, "", "as a JSON object"},
	},
	run: count,
}

// tallyFields lists what can be counted by.
func tallyFields() (names []string) {
	for f := tally.Field(0); ; f++ {
		if same, ok := tally.FieldNamed(f.String()); !ok || same != f {
			return names
		}
		names = append(names, f.String())
	}
}

var measures = map[string]tally.Measure{"flows": tally.ByFlows, "packets": tally.ByPackets, "bytes": tally.ByBytes}

func count(c *call) error {
	by, err := c.fields()
	if err != nil {
		return err
	}
	measure, ok := measures[c.value("sort", "flows")]
	if !ok {
		return usagef("--sort %s: choose from flows, packets and bytes", c.value("sort", ""))
	}
	top, err := c.number("top", 1, -1)
	if err != nil {
		return err
	}
	s, err := c.open()
	if err != nil {
		return err
	}
	defer s.close()
	if len(by) == 0 && s.query.IsZero() {
		// The kernel keeps this number.
		u, err := s.client.Count(c.ctx)
		if err != nil {
			return err
		}
		return c.total(tally.Sum{Flows: uint64(u.Entries)})
	}
	sum, err := c.tally(s, by)
	if err != nil {
		return err
	}
	if len(by) == 0 {
		return c.total(sum.Total())
	}
	return c.groups(by, sum, sum.Top(top, measure))
}

// fields are those of --by.
func (c *call) fields() (by []tally.Field, err error) {
	for _, list := range c.given["by"] {
		for name := range strings.SplitSeq(list, ",") {
			f, ok := tally.FieldNamed(strings.TrimSpace(name))
			if !ok {
				return nil, usagef("--by %s: there is no field %q: choose from %s", list, name, strings.Join(tallyFields(), ","))
			}
			by = append(by, f)
		}
	}
	return by, nil
}

// mostReserved is for how many groups there is room at once; more are rare.
const mostReserved = 4 << 20

// tally counts what is selected, on all processors.
func (c *call) tally(s *source, by []tally.Field) (*tally.Tally, error) {
	t, err := c.table(s, false)
	if err != nil {
		return nil, err
	}
	defer t.Close()
	entries := 0
	if u, err := s.client.Count(c.ctx); err == nil {
		entries = min(int(u.Entries), mostReserved)
	}
	var mu sync.Mutex
	var idle []*tally.Tally // one for each worker
	room := entries
	err = t.Chunks(c.ctx, s.narrow, func(chunk *table.Chunk) error {
		mu.Lock()
		var mine *tally.Tally
		if last := len(idle) - 1; last >= 0 {
			mine, idle = idle[last], idle[:last]
		} else {
			mine = tally.New(by...)
			mine.Reserve(room)
			room = entries / 2 // the others are added to the first
		}
		mu.Unlock()
		for f := range chunk.Flows() {
			if s.query.Match(f, s.now) {
				mine.Add(f)
			}
		}
		mu.Lock()
		idle = append(idle, mine)
		mu.Unlock()
		return nil
	})
	if len(idle) == 0 {
		return tally.New(by...), err
	}
	sum := idle[0]
	for _, t := range idle[1:] {
		sum.Merge(t)
	}
	return sum, err
}

// total writes how many flows there are.
func (c *call) total(sum tally.Sum) error {
	if c.has("json") {
		return c.json(map[string]uint64{"flows": sum.Flows})
	}
	_, err := fmt.Fprintln(c.out, sum.Flows)
	return err
}

// groups writes the largest groups.
func (c *call) groups(by []tally.Field, sum *tally.Tally, largest []tally.Group) error {
	total := sum.Total()
	if c.has("json") {
		type object = map[string]any
		groups := make([]object, 0, len(largest))
		for _, g := range largest {
			o := object{"flows": g.Flows, "packets": g.Packets, "bytes": g.Bytes}
			for i, v := range g.By {
				o[by[i].String()] = jsonValue(v)
			}
			groups = append(groups, o)
		}
		return c.json(object{"flows": total.Flows, "packets": total.Packets, "bytes": total.Bytes,
			"all_groups": sum.Groups(), "groups": groups})
	}
	var rows [][]string
	if !c.has("no-header") {
		titles := []string{}
		for _, f := range by {
			titles = append(titles, strings.ToUpper(f.String()))
		}
		rows = append(rows, append(titles, "FLOWS", "SHARE", "PACKETS", "BYTES"))
	}
	counted := total.Packets > 0
	for _, g := range largest {
		var r []string
		for _, v := range g.By {
			r = append(r, v.String())
		}
		r = append(r, render.Grouped(g.Flows), fmt.Sprintf("%.1f%%", 100*float64(g.Flows)/float64(total.Flows)))
		if counted {
			r = append(r, string(render.AppendShort(nil, g.Packets)), string(render.AppendShort(nil, g.Bytes)))
		} else {
			r = append(r, "-", "-")
		}
		rows = append(rows, r)
	}
	c.out.WriteString(tabulate(rows, len(by)))
	if !c.has("no-header") {
		if rest := sum.Groups() - len(largest); rest > 0 {
			are := map[bool]string{true: "is", false: "are"}[rest == 1]
			c.tell("%s in %s, of which %s %s not shown", render.Plural(total.Flows, "flow"), render.Plural(sum.Groups(), "group"), render.Grouped(rest), are)
		} else {
			c.tell("%s in %s", render.Plural(total.Flows, "flow"), render.Plural(sum.Groups(), "group"))
		}
	}
	return nil
}

// jsonValue is what a group has in common: a number, a text, or null.
func jsonValue(v tally.Value) any {
	switch {
	case v.None():
		return nil
	case v.Is:
		return v.Number
	}
	return v.String()
}

// json writes an object on a line of its own.
func (c *call) json(v any) error {
	e := json.NewEncoder(c.out)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// tabulate aligns cells; those from the column numbers on are flush right.
func tabulate(rows [][]string, numbers int) string {
	var width []int
	for _, r := range rows {
		for i, cell := range r {
			if i == len(width) {
				width = append(width, 0)
			}
			width[i] = max(width[i], len(cell))
		}
	}
	var b strings.Builder
	for _, r := range rows {
		for i, cell := range r {
			if i > 0 {
				b.WriteString("  ")
			}
			switch {
			case i >= numbers:
				fmt.Fprintf(&b, "%*s", width[i], cell)
			case i == len(r)-1:
				b.WriteString(cell)
			default:
				fmt.Fprintf(&b, "%-*s", width[i], cell)
			}
		}
		b.WriteByte('\n')
	}
	return b.String()
}
