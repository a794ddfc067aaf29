package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spoor-project/spoor/conntrack"
	"github.com/spoor-project/spoor/filter"
	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/render"
	"github.com/spoor-project/spoor/internal/table"
	"github.com/spoor-project/spoor/internal/tui"
)

var topCommand = command{
	name: "top", words: "[QUERY]", summary: "watch what is busiest, live",
	about: `Shows the busiest of the flows that the query selects, live; ? tells the keys.
Fields to group by: ` + strings.Join(tui.GroupingNames(), " ") + `
Keys to sort by: ` + strings.Join(tui.SortNames(), " "),
	options: []option{
		{"by", 'b', "FIELD", "groups by this field, instead of flows"},
		{"sort", 's', "KEY", "in the order of this; the largest first"},
		{"interval", 'i', "TIME", "a new sample so often: 1s, 500ms (1s)"},
		{"limit", 'n', "N", "no more than N rows (500; with --once 20)"},
		{"once", 0, "", "write one sample, over an interval, and end"},
		{"json", 0, "", "a JSON object for each sample"},
	},
	run: top,
}

func top(c *call) error {
	by, ok := tui.GroupingNamed(c.value("by", "flow"))
	if !ok {
		return usagef("--by %s: choose from %s", c.value("by", ""), strings.Join(tui.GroupingNames(), ", "))
	}
	usual := "rate"
	if by != tui.Flows {
		usual = "flows"
	}
	sort, ok := tui.SortNamed(c.value("sort", usual))
	if !ok {
		return usagef("--sort %s: choose from %s", c.value("sort", ""), strings.Join(tui.SortNames(), ", "))
	}
	interval, err := c.interval()
	if err != nil {
		return err
	}
	screen := !c.has("once") && !c.has("json")
	limit, err := c.number("limit", 1, map[bool]int{true: 500, false: 20}[screen])
	if err != nil {
		return err
	}
	limit = min(limit, 100_000)
	if screen && (!c.env.Terminal || !c.env.Interactive) {
		return usagef("top needs a terminal to show itself on; --once writes one sample, --json one after the other")
	}
	if term := c.env.Getenv("TERM"); screen && (term == "" || term == "dumb") {
		return usagef("the terminal is of type %q, on which top cannot show itself; --once writes one sample", term)
	}
	s, err := c.open()
	if err != nil {
		return err
	}
	defer s.close()
	sampler := tui.NewSampler(s.client, &table.Options{NetNS: s.netns, Way: table.Way(c.env.Getenv("SPOOR_SNAPSHOT"))})
	defer sampler.Close()
	if screen {
		return c.screen(s, sampler, tui.Settings{Query: strings.Join(c.words, " "), By: by, Sort: sort, Rows: limit}, interval)
	}
	err = c.samples(sampler, tui.Look{Query: s.query, By: by, Sort: sort, Limit: limit}, interval)
	if c.ctx.Err() != nil && !c.has("once") {
		return nil // there is no other end
	}
	return err
}

// interval is the value of --interval.
func (c *call) interval() (time.Duration, error) {
	text := c.value("interval", "1s")
	d, err := time.ParseDuration(text)
	if err != nil {
		var seconds float64
		if seconds, err = strconv.ParseFloat(text, 64); err == nil {
			d = time.Duration(seconds * float64(time.Second)) // of what is no number, or too large, none that will do
		}
	}
	if err != nil || d < 100*time.Millisecond || d > 24*time.Hour {
		return 0, usagef("--interval %s: expected a time from 100ms to 24h, such as 2s", text)
	}
	return d, nil
}

// screen shows the table until the user quits.
func (c *call) screen(s *source, sampler *tui.Sampler, settings tui.Settings, interval time.Duration) error {
	// What is wrong is better told before the screen is taken.
	if _, err := sampler.Pulse(c.ctx); err != nil {
		return err
	}
	services := shortest(readServices("/etc/services"))
	settings.Service = func(port uint16) string { return services[port] }
	settings.Parse = parseQuery
	settings.ASCII = !utf8Locale(c.env.Getenv)
	sampler.Gap = interval / 3
	m, first, err := tui.NewModel(settings)
	if err != nil {
		return err
	}
	own, err := c.ownSession()
	if err != nil {
		return err
	}
	return tui.Run(c.ctx, tui.Terminal{In: c.env.Stdin, Out: c.env.Stdout}, m, first, sampler, &killer{call: c, source: s, own: own}, interval)
}

// utf8Locale reports whether the terminal may be sent more than ASCII.
func utf8Locale(getenv func(string) string) bool {
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if v := strings.ToLower(getenv(name)); v != "" {
			return strings.Contains(v, "utf-8") || strings.Contains(v, "utf8")
		}
	}
	return false
}

// killer deletes flows as spoor delete does.
type killer struct {
	*call
	source  *source
	own     *ownSession
	victims []victim
	undo    *undoFile
}

// previewed is how many flows are shown before it is asked.
const previewed = 100

func (k *killer) Preview(ctx context.Context, keys []flow.Key, query *filter.Query) (p tui.Preview) {
	k.Forget()
	var err error
	if k.undo, err = k.call.undo("delete"); err != nil {
		p.Err = fmt.Errorf("nothing can be deleted without a file to undo it: %w", errors.Unwrap(err))
		return p
	}
	take := func(f *flow.Flow) error {
		if k.own.is(f) {
			p.Kept++
			return nil
		}
		if len(p.Flows) < previewed {
			p.Flows = append(p.Flows, *f)
		}
		k.victims = append(k.victims, victim{f.Key(), f.ID, f.Status.Has(flow.Expected)})
		return k.undo.note(f)
	}
	if query == nil {
		p.Err = k.lookUp(ctx, keys, take)
	} else {
		p.Err = k.search(ctx, query, take)
	}
	if p.Count = len(k.victims); p.Err != nil {
		k.Forget()
	}
	return p
}

// lookUp finds flows by their keys.
func (k *killer) lookUp(ctx context.Context, keys []flow.Key, take func(*flow.Flow) error) error {
	for i := range keys {
		f, err := k.source.client.Get(ctx, keys[i].Tuple(), keys[i].Zone)
		if errors.Is(err, conntrack.ErrNotFound) {
			continue
		}
		if err == nil {
			err = take(&f)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// search finds flows by a query.
func (k *killer) search(ctx context.Context, query *filter.Query, take func(*flow.Flow) error) error {
	t, err := k.table(k.source, true)
	if err != nil {
		return err
	}
	defer t.Close()
	now := time.Now()
	for f, err := range t.Flows(ctx, query.Filter()) {
		if err != nil {
			return err
		}
		if query.Match(&f, now) {
			if err := take(&f); err != nil {
				return err
			}
		}
	}
	return nil
}

func (k *killer) Kill(ctx context.Context) (done tui.Killed) {
	if done.Err = k.undo.close(len(k.victims) > 0); done.Err != nil {
		k.victims = nil
		return done
	}
	done.Deleted, done.Gone, done.Err = inBatches(ctx, k.source, len(k.victims), func(b *conntrack.Batch, i int) {
		f := k.victims[i].flow()
		b.Delete(&f)
	})
	if k.undo.kept() {
		done.Undo = k.undo.name
	}
	k.victims, k.undo = nil, nil
	return done
}

func (k *killer) Forget() {
	k.undo.discard()
	k.victims, k.undo = nil, nil
}

// samples writes one sample, or one after the other.
func (c *call) samples(sampler *tui.Sampler, look tui.Look, interval time.Duration) error {
	before, err := sampler.Pulse(c.ctx)
	if err != nil {
		return err
	}
	look.Since = tui.SinceLast
	budget := time.Duration(0) // the first two are of the whole table, so that there are rates at once
	s, err := sampler.Sweep(c.ctx, look, budget)
	if err != nil {
		return err
	}
	for {
		select {
		case <-c.ctx.Done():
			return c.ctx.Err()
		case <-time.After(time.Until(tui.Pace(s.Time, interval, s.Least))):
		}
		if s, err = sampler.Sweep(c.ctx, look, budget); err != nil {
			return err
		}
		budget = tui.Budget(interval)
		pulse, err := sampler.Pulse(c.ctx)
		if err != nil {
			return err
		}
		if c.has("json") {
			err = c.json(sampleObject(s, &before, &pulse))
		} else {
			err = c.sampleText(s, &before, &pulse)
		}
		if err == nil {
			err = c.out.Flush()
		}
		if err != nil || c.has("once") {
			return err
		}
		before = pulse
	}
}

// dropped is how many packets were dropped each second, or entries evicted.
func dropped(before, now *tui.Pulse) (drops, evictions float64) {
	over := now.Time.Sub(before.Time).Seconds()
	if over <= 0 {
		return 0, 0
	}
	return float64(now.Dropped-before.Dropped) / over, float64(now.Evicted-before.Evicted) / over
}

// sampleText writes a sample as a table.
func (c *call) sampleText(s *tui.Sample, before, now *tui.Pulse) error {
	most := "no limit"
	if now.Max > 0 {
		most = fmt.Sprintf("of %s, %.1f%%", render.Grouped(now.Max), 100*float64(now.Entries)/float64(now.Max))
	}
	drops, evictions := dropped(before, now)
	fmt.Fprintf(c.out, "%s entries (%s)  new %.1f/s  ended %.1f/s  drops %.1f/s  evicted %.1f/s\n", render.Grouped(now.Entries), most,
		s.PerSecond(s.New), s.PerSecond(s.Ended), drops, evictions)
	counted := func(n float64) string {
		if s.Counted == 0 {
			return "-"
		}
		return string(render.AppendShort(nil, uint64(n)))
	}
	var rows [][]string
	left := 1
	if s.Look.By == tui.Flows {
		left = 5
		rows = append(rows, []string{"PROTO", "STATE", "SOURCE", "DESTINATION", "TRANSLATED TO", "BYTES/S", "PKTS/S", "BYTES", "PACKETS", "AGE", "EXPIRES"})
		l := look{now: s.Time}
		for i := range s.Rows {
			r := &s.Rows[i]
			f := &r.Flow
			cells := []string{f.Orig.Proto.String(), tui.StateOf(f), string(l.appendEnd(nil, f.Orig.Src, f.Orig.SrcPort, f.Orig.Proto)),
				string(l.appendEnd(nil, f.Orig.Dst, f.Orig.DstPort, f.Orig.Proto)), string(appendNAT(nil, &l, f)),
				counted(r.PerSecond(r.DBytes)), counted(r.PerSecond(r.DPackets)), counted(float64(r.Bytes())), counted(float64(r.Packets())), "-", "-"}
			if f.Has.Has(flow.HasStart) {
				cells[9] = string(render.AppendSpan(nil, l.age(f)))
			}
			if f.Has.Has(flow.HasTimeout) {
				cells[10] = string(render.AppendSpan(nil, f.Timeout))
			}
			for i := range cells {
				if cells[i] == "" {
					cells[i] = "-"
				}
			}
			rows = append(rows, cells)
		}
	} else {
		rows = append(rows, []string{strings.ToUpper(s.Look.By.String()), "FLOWS", "SHARE", "NEW", "BYTES/S", "PKTS/S", "BYTES", "PACKETS"})
		for i := range s.Groups {
			g := &s.Groups[i]
			rows = append(rows, []string{g.Name, render.Grouped(g.Flows), fmt.Sprintf("%.1f%%", 100*float64(g.Flows)/float64(s.Flows)), string(render.AppendShort(nil, g.New)),
				counted(s.PerSecond(g.DBytes)), counted(s.PerSecond(g.DPackets)), counted(float64(g.Bytes)), counted(float64(g.Packets))})
		}
	}
	switch {
	case s.Flows == 0 && s.Look.Query.IsZero():
		fmt.Fprintln(c.out, "the table is empty: the kernel tracks nothing here, or nothing has come yet")
	case s.Flows == 0:
		fmt.Fprintln(c.out, "no flow is selected")
	default:
		c.out.WriteString(tabulate(rows, left))
	}
	if s.Flows > 0 && s.Counted == 0 {
		c.tell("accounting is off, so there are neither bytes nor rates; sysctl net.netfilter.nf_conntrack_acct=1 counts from then on")
	}
	return nil
}

// sampleObject is a sample as JSON; docs/spoor-top.md tells its members.
func sampleObject(s *tui.Sample, before, now *tui.Pulse) any {
	type object = map[string]any
	drops, evictions := dropped(before, now)
	o := object{
		"time": s.Time.Format(time.RFC3339Nano), "seconds": s.Over.Seconds(), "entries": now.Entries, "max": now.Max,
		"drops_per_second": drops, "evictions_per_second": evictions,
		"flows": s.Flows, "new_per_second": s.PerSecond(s.New), "ended_per_second": s.PerSecond(s.Ended),
		"accounting": s.Counted > 0 || s.Flows == 0, "sorted_by": s.Look.Sort.String(),
	}
	rates := func(o object, bytes, packets uint64, bps, pps float64) object {
		if s.Counted > 0 {
			o["bytes"], o["packets"], o["bytes_per_second"], o["packets_per_second"] = bytes, packets, bps, pps
		}
		return o
	}
	rates(o, s.Bytes, s.Packets, s.PerSecond(s.DBytes), s.PerSecond(s.DPackets))
	rows := []object{}
	if s.Look.By != tui.Flows {
		for i := range s.Groups {
			g := &s.Groups[i]
			rows = append(rows, rates(object{"name": g.Name, "query": g.Condition, "flows": g.Flows, "new": g.New}, g.Bytes, g.Packets,
				s.PerSecond(g.DBytes), s.PerSecond(g.DPackets)))
		}
		o["by"], o["all_groups"], o["groups"] = s.Look.By.String(), s.AllGroups, rows
		return o
	}
	p := render.NewPrinter(render.Flows, &render.Style{Format: render.JSONL})
	for i := range s.Rows {
		r := &s.Rows[i]
		rows = append(rows, rates(object{"flow": json.RawMessage(p.AppendFlow(nil, &r.Flow, s.Time)), "new": r.New}, r.Bytes(), r.Packets(),
			r.PerSecond(r.DBytes), r.PerSecond(r.DPackets)))
	}
	o["top"] = rows
	return o
}
