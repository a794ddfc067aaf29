package guard_test

import (
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/guard"
	"github.com/spoor-project/spoor/internal/recording"
)

// stage runs an engine by the times of what happens: it has it judge once a second.
type stage struct {
	engine *guard.Engine
	first  time.Time // of all events
	next   time.Time // tick
	found  []guard.Finding
	tick   func(now time.Time) // is called before each tick, if not nil
}

func newStage(t testing.TB, rules string) *stage {
	t.Helper()
	parsed, err := guard.ParseRules(rules)
	if err != nil {
		t.Fatal(err)
	}
	return &stage{engine: guard.New(parsed)}
}

// until lets the time pass to that of the next event.
func (s *stage) until(now time.Time) {
	if s.first.IsZero() {
		s.first, s.next = now, now.Add(time.Second)
		s.engine.BeginReading(now)
		s.engine.EndReading(now)
	}
	for !now.Before(s.next) {
		if s.tick != nil {
			s.tick(s.next)
		}
		s.found = append(s.found, s.engine.Tick(s.next)...)
		s.next = s.next.Add(time.Second)
	}
}

func (s *stage) event(now time.Time, e *flow.Event) {
	s.until(now)
	s.engine.Event(now, e)
}

// expected is a finding as a line tells it: kind, source, destination, protocol, port, and seconds within which it is to be found; - is none.
type expected struct {
	kind    string
	subject guard.Subject
	within  time.Duration
}

func expectations(t testing.TB, text string) (all []expected) {
	t.Helper()
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		var x expected
		var src, dst, proto, port string
		var seconds int
		if _, err := fmt.Sscan(line, &x.kind, &src, &dst, &proto, &port, &seconds); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		x.within = time.Duration(seconds) * time.Second
		x.subject.Source, _ = netip.ParseAddr(src)
		x.subject.Destination, _ = netip.ParseAddr(dst)
		x.subject.Proto, _ = flow.ParseProto(proto)
		fmt.Sscan(port, &x.subject.Port)
		all = append(all, x)
	}
	return all
}

// compare wants that all that is expected begins in time after began, and nothing else.
func (s *stage) compare(t *testing.T, began time.Time, want []expected) {
	t.Helper()
	is := func(f *guard.Finding, x *expected) bool { return f.Kind.String() == x.kind && f.Subject == x.subject }
	for _, x := range want {
		i := slices.IndexFunc(s.found, func(f guard.Finding) bool { return is(&f, &x) && f.Phase == guard.Begins })
		if i < 0 {
			t.Errorf("not found: %s %+v", x.kind, x.subject)
			continue
		}
		f := &s.found[i]
		delay := f.Time.Sub(began)
		t.Logf("%s after %.1f s, within %v: %v of %v %s, confidence %.2f", x.kind, delay.Seconds(), x.within, f.Measured, f.Limit, f.Unit, f.Confidence)
		if delay > x.within || delay < 0 {
			t.Errorf("%s found after %v, want within %v", x.kind, delay, x.within)
		}
		if f.Since.After(f.Time) || f.Since.Before(s.first.Add(-time.Minute)) {
			t.Errorf("%s since %v, found %v", x.kind, f.Since, f.Time)
		}
	}
	for _, f := range s.found {
		if !slices.ContainsFunc(want, func(x expected) bool { return is(&f, &x) }) {
			t.Errorf("found after %v what is not there: %s %s %+v, offender %v, %v of %v %s, %v", f.Time.Sub(s.first), f.Kind, f.Phase, f.Subject, f.Offender, f.Measured, f.Limit, f.Unit, f.Evidence)
		}
	}
}

const playsDir = "testdata/plays"

// TestRecordedPlays has the engine judge what was recorded of real attacks and of honest work. The tests of the same scenes with real programs, in
// interop, write the recordings.
func TestRecordedPlays(t *testing.T) {
	names, err := filepath.Glob(filepath.Join(playsDir, "*.jsonl.gz"))
	if err != nil || len(names) < 14 {
		t.Fatalf("%d recordings, %v", len(names), err)
	}
	for _, file := range names {
		base := strings.TrimSuffix(file, ".jsonl.gz")
		t.Run(filepath.Base(base), func(t *testing.T) {
			t.Parallel()
			rules := guard.DefaultRules
			if more, err := os.ReadFile(base + ".rules"); err == nil {
				rules = string(more)
			}
			want, err := os.ReadFile(base + ".want")
			if err != nil {
				t.Fatal(err)
			}
			s := newStage(t, rules)
			events := 0
			last := eachRecord(t, file, func(r *recording.Record) {
				s.event(r.Time, &r.Event)
				events++
			})
			if events < 20 {
				t.Errorf("only %d events", events)
			}
			s.until(last.Add(20 * time.Second))
			s.compare(t, s.first, expectations(t, string(want)))
		})
	}
}

// eachRecord reads a recording and returns its last time.
func eachRecord(t testing.TB, file string, each func(*recording.Record)) (last time.Time) {
	t.Helper()
	in, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	for r := recording.NewReader(in); ; {
		rec, err := r.Next()
		if err == io.EOF {
			return last
		}
		if err != nil {
			t.Fatal(err)
		}
		last = rec.Time
		each(rec)
	}
}
