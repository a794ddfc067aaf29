package guard_test

import (
	"bytes"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/guard"
	"github.com/spoor-project/spoor/internal/recording"
	"github.com/spoor-project/spoor/internal/render"
)

// moment is what a script and a recording have in common.
type moment struct {
	typ    flow.EventType
	state  uint8
	status flow.Status
}

// TestMadeUpFlowsLiveLikeRecordedOnes: the scripts of made-up flows, up to where only time ends them, were recorded of real ones.
func TestMadeUpFlowsLiveLikeRecordedOnes(t *testing.T) {
	t.Parallel()
	recorded := make(map[flow.Key][]moment)
	var lives [][]moment
	for _, name := range []string{"syn-scan", "connect-scan", "udp-scan", "syn-flood", "busy-web-server", "office-behind-one-address"} {
		eachRecord(t, playsDir+"/"+name+".jsonl.gz", func(r *recording.Record) {
			f := &r.Event.Flow
			k := f.Key()
			recorded[k] = append(recorded[k], moment{r.Event.Type, f.State, f.Status & (flow.SeenReply | flow.Assured)})
			if r.Event.Type == flow.Destroy {
				lives = append(lives, recorded[k])
				delete(recorded, k)
			}
		})
		for k, life := range recorded {
			lives = append(lives, life)
			delete(recorded, k)
		}
	}
	for name, x := range map[string]struct {
		script  []step
		tcp     bool
		moments int
	}{
		"completed": {completed, true, len(completed) - 1}, "aborted": {aborted, true, len(aborted) - 1}, "refused": {refusedTCP, true, len(refusedTCP)},
		"unanswered": {unansweredTCP, true, 1}, "half-open": {halfOpened, true, 2}, "query": {query, false, 2}, "unanswered UDP": {unanswered, false, 1},
	} {
		var want []moment
		for _, s := range x.script[:x.moments] {
			want = append(want, moment{s.typ, s.state, s.status})
		}
		if !slices.ContainsFunc(lives, func(life []moment) bool { return slices.Equal(life, want) }) {
			t.Errorf("no recorded flow lives as %s: %v", name, want)
		}
	}
}

// BenchmarkReplay judges a minute of a busy network again and again, from memory and with the reading of the recording.
func BenchmarkReplay(b *testing.B) {
	w := newWorld(b, guard.DefaultRules, 4)
	var text []byte
	printer := render.NewPrinter(render.Flows, &render.Style{Format: render.JSONL})
	const warm, length = 2 * time.Minute, 20 * time.Second
	w.emit = func(at time.Time, e *flow.Event) {
		if w.now >= warm {
			text = printer.AppendEvent(text, e, "", at)
		}
	}
	w.honest(busy{clients: 60, traffic: []traffic{{0, time.Hour, 250, 600}}}, time.Hour)
	w.run(warm + length)

	replay := func(b *testing.B, next func() (*recording.Record, error)) {
		s := newStage(b, guard.DefaultRules)
		var shift time.Duration
		b.ReportAllocs()
		for b.Loop() {
			r, err := next()
			if err == io.EOF {
				shift += length
				r, err = next()
			}
			if err != nil {
				b.Fatal(err)
			}
			s.event(r.Time.Add(shift), &r.Event)
		}
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
	}
	b.Run("read", func(b *testing.B) {
		r := recording.NewReader(bytes.NewReader(text))
		replay(b, func() (*recording.Record, error) {
			rec, err := r.Next()
			if err == io.EOF {
				r = recording.NewReader(bytes.NewReader(text))
			}
			return rec, err
		})
	})
	b.Run("engine", func(b *testing.B) {
		var all []recording.Record
		for r := recording.NewReader(bytes.NewReader(text)); ; {
			rec, err := r.Next()
			if err == io.EOF {
				break
			}
			if err != nil {
				b.Fatal(err)
			}
			all = append(all, *rec)
		}
		i := -1
		replay(b, func() (*recording.Record, error) {
			if i++; i == len(all) {
				i = -1
				return nil, io.EOF
			}
			return &all[i], nil
		})
	})
}
