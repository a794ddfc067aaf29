package guard

import (
	"time"

	"github.com/spoor-project/spoor/flow"
)

// Engine judges what becomes of connections. It is for one goroutine.
type Engine struct {
	rules   *Rules
	figures Figures
}

// New returns an engine that remembers nothing yet. The rules are not changed afterwards by their owner.
func New(rules *Rules) *Engine { return &Engine{rules: rules} }

// SetRules has the engine judge by other rules from now on. What it remembers stays, and findings go on; those of rules that are not there any more
// end with the next Tick. Limits of memory are those of the first rules.
func (e *Engine) SetRules(rules *Rules) { e.rules = rules }

// Event takes in a change of the table. Times never go back.
func (e *Engine) Event(now time.Time, ev *flow.Event) { e.figures.Events++ }

// BeginReading begins a reading of the whole table: at the start, after events were lost, and every now and then, as some things show only there.
// Events may come in between.
func (e *Engine) BeginReading(now time.Time) {}

// Read takes in a flow of the table.
func (e *Engine) Read(f *flow.Flow) {}

// EndReading ends the reading: flows that have not been read are forgotten. A reading that failed is not ended but begun again.
func (e *Engine) EndReading(now time.Time) { e.figures.Readings++ }

// Level takes in how full the table is; a max of 0 is none.
func (e *Engine) Level(now time.Time, entries, max uint32) {}

// Tick is to be called about once a second. It returns what has been found since, in the order of kinds.
func (e *Engine) Tick(now time.Time) []Finding { return nil }

// Sample has only one flow in so many judged, a power of two, when there are too many for the processor; counts are scaled. 1 judges all.
func (e *Engine) Sample(one int) {}

// Ongoing are the findings that have begun and not ended.
func (e *Engine) Ongoing() []Finding { return nil }

// Figures are the counters.
func (e *Engine) Figures() Figures { return e.figures }
