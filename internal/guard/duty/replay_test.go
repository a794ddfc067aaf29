package duty

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/spoor-project/spoor/internal/guard"
	"github.com/spoor-project/spoor/internal/recording"
)

// ticking is an engine that writes down ticks, too.
type ticking struct{ fakeEngine }

func (e *ticking) BeginReading(now time.Time) { e.note("begin %s", now.Format("05.0")) }
func (e *ticking) EndReading(now time.Time)   { e.note("end %s", now.Format("05.0")) }
func (e *ticking) Tick(now time.Time) []guard.Finding {
	e.note("tick %s", now.Format("04:05.0"))
	return e.fakeEngine.Tick(now)
}

func replayed(t *testing.T, lines ...string) (*ticking, Replayed, []string) {
	t.Helper()
	e := &ticking{}
	var bad []string
	sum, err := Replay(recording.NewReader(strings.NewReader(strings.Join(lines, "\n")+"\n")), e, func(time.Time, *guard.Finding) {}, func(err error) { bad = append(bad, err.Error()) })
	if err != nil {
		t.Fatal(err)
	}
	return e, sum, bad
}

// record is a line of a recording; an empty time is none.
func record(kind, at string, port int) string {
	clock := ""
	if at != "" {
		clock = `"time":"2026-11-21T12:` + at + `Z",`
	}
	return fmt.Sprintf(`{"type":%q,%s"protonum":17,"orig":{"src":"192.0.2.1","dst":"192.0.2.2","sport":%d,"dport":53}}`, kind, clock, port)
}

func TestReplayGoesByTheRecordsClock(t *testing.T) {
	e, sum, bad := replayed(t,
		record("present", "00:00.0", 1), record("present", "00:01.5", 2),
		record("new", "00:01.6", 3), record("new", "00:01.2", 4), "what?", record("destroy", "00:03.0", 3),
		`{"type":"lost","time":"2026-11-21T12:00:03.100000000Z","dropped":5}`, `{"type":"caught_up","new":1,"update":0,"destroy":0}`, record("new", "00:03.1", 9))
	want := []string{"begin 00.0", "read 1", "tick 00:01.0", "read 2", "end 01.6", "NEW 3", "NEW 4", "tick 00:02.0", "tick 00:03.0", "DESTROY 3", "LOST 0", "NEW 9", "tick 00:04.0", "tick 00:05.0", "tick 00:06.0", "tick 00:07.0", "tick 00:08.0"}
	if got := e.noted(); !slices.Equal(got, want) {
		t.Errorf("%v\nwant\n%v", got, want)
	}
	if sum.Events != 4 || sum.Present != 2 || sum.Lost != 5 || sum.Bad != 1 || len(bad) != 1 || !strings.HasPrefix(bad[0], "line 5, ") || sum.To.Sub(sum.From) != 3100*time.Millisecond {
		t.Errorf("%+v %v", sum, bad)
	}
}

// TestReplayOfWhatHasNoTime waits for the first record that has one.
func TestReplayOfWhatHasNoTime(t *testing.T) {
	e, _, _ := replayed(t, record("present", "", 1), record("present", "", 2), record("new", "00:07.0", 3))
	if got, want := e.noted(), []string{"begin 07.0", "read 1", "read 2", "end 07.0", "NEW 3", "tick 00:08.0"}; !slices.Equal(got[:len(want)], want) {
		t.Errorf("%v\nwant\n%v", got, want)
	}
	if e, sum, _ := replayed(t, record("present", "", 1)); len(e.noted()) != 0 || sum.Present != 1 {
		t.Errorf("%v %+v", e.noted(), sum)
	}
	if e, _, _ := replayed(t, record("present", "00:01.0", 1)); !slices.Equal(e.noted()[:4], []string{"begin 01.0", "read 1", "end 01.0", "tick 00:02.0"}) {
		t.Errorf("%v", e.noted())
	}
}

// TestReplayOfALongSilence takes no longer than it must.
func TestReplayOfALongSilence(t *testing.T) {
	e := &ticking{}
	day := record("new", "00:00.0", 1) + "\n" + strings.Replace(record("new", "00:00.0", 2), "11-21", "11-28", 1)
	if _, err := Replay(recording.NewReader(strings.NewReader(day)), e, func(time.Time, *guard.Finding) {}, func(err error) { t.Error(err) }); err != nil {
		t.Fatal(err)
	}
	ticks := len(e.noted()) - 2
	if minutes := 7 * 24 * 60; ticks < minutes || ticks > minutes+3700 {
		t.Errorf("%d ticks", ticks)
	}
}

func TestReplayEndsWithTheErrorOfItsInput(t *testing.T) {
	broken := errors.New("broken")
	in := io.MultiReader(strings.NewReader(record("new", "00:01.0", 1)+"\n"), iotest.ErrReader(broken))
	sum, err := Replay(recording.NewReader(in), &ticking{}, func(time.Time, *guard.Finding) {}, func(error) {})
	if !errors.Is(err, broken) || sum.Events != 1 {
		t.Errorf("%v %+v", err, sum)
	}
}
