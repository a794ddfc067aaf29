package metrics

import (
	"log/slog"
	"net/http"
	"runtime"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/spoor-project/spoor/internal/guard"
	"github.com/spoor-project/spoor/internal/release"
)

// GuardState is how a guard is at one time. The zero value is that of one that has seen nothing.
type GuardState struct {
	Figures guard.Figures
	Ongoing map[guard.Kind]int // findings that have begun and not ended
	Actions map[GuardAction]uint64
	Lag     time.Duration // from an event to when it is judged
	Untold  uint64        // lines that a sink could not take
}

// GuardAction is a kind of response and what became of it.
type GuardAction struct {
	Response guard.Response
	Result   string // done, failed or held
}

// guardResults are what may become of a response: it was carried out, it failed, or the brakes held it.
var guardResults = []string{"done", "failed", "held"}

// guardSeries is a row of what is exported of a guard.
type guardSeries struct {
	name, help string
	kind       prometheus.ValueType
	labels     string
	values     func(*GuardState, add)
}

// To add a metric of the guard, add a row; go test ./internal/metrics -update records it.
var guardRows = []guardSeries{
	{"spoor_guard_findings_total", "Findings that began.", counter, "kind", func(s *GuardState, a add) {
		for k, n := range s.Figures.Found {
			a(float64(n), guard.Kind(k).String())
		}
	}},
	{"spoor_guard_ongoing", "Findings that have begun and not ended.", gauge, "kind", func(s *GuardState, a add) {
		for k := range s.Figures.Found {
			a(float64(s.Ongoing[guard.Kind(k)]), guard.Kind(k).String())
		}
	}},
	{"spoor_guard_actions_total", "Responses by what became of them; held are those of a dry run, too.", counter, "response result", func(s *GuardState, a add) {
		for _, r := range []guard.Response{guard.Block, guard.Delete, guard.Run, guard.Post} {
			for _, result := range guardResults {
				a(float64(s.Actions[GuardAction{r, result}]), r.String(), result)
			}
		}
	}},
	{"spoor_guard_events_total", "Events that were judged.", counter, "", func(s *GuardState, a add) { a(float64(s.Figures.Events)) }},
	{"spoor_guard_events_skipped_total", "Events that sampling left out.", counter, "", func(s *GuardState, a add) { a(float64(s.Figures.Skipped)) }},
	{"spoor_guard_events_lost_total", "Events that the kernel dropped, as far as it tells how many.", counter, "", func(s *GuardState, a add) { a(float64(s.Figures.Lost)) }},
	{"spoor_guard_readings_total", "Readings of the whole table.", counter, "", func(s *GuardState, a add) { a(float64(s.Figures.Readings)) }},
	{"spoor_guard_evicted_total", "Places in memory that were given to others because all were taken.", counter, "", func(s *GuardState, a add) { a(float64(s.Figures.Evicted)) }},
	{"spoor_guard_untold_total", "Lines that a sink could not take.", counter, "", func(s *GuardState, a add) { a(float64(s.Untold)) }},
	{"spoor_guard_sampling", "One flow in so many is judged; 1 is all.", gauge, "", func(s *GuardState, a add) { a(float64(max(1, s.Figures.Sampling))) }},
	{"spoor_guard_flows", "Flows that are remembered.", gauge, "", func(s *GuardState, a add) { a(float64(s.Figures.Flows)) }},
	{"spoor_guard_sources", "Sources that are remembered.", gauge, "", func(s *GuardState, a add) { a(float64(s.Figures.Sources)) }},
	{"spoor_guard_services", "Services that are remembered.", gauge, "", func(s *GuardState, a add) { a(float64(s.Figures.Services)) }},
	{"spoor_guard_destinations", "Destinations that are remembered.", gauge, "", func(s *GuardState, a add) { a(float64(s.Figures.Destinations)) }},
	{"spoor_guard_lag_seconds", "How late events are judged.", gauge, "", func(s *GuardState, a add) { a(s.Lag.Seconds()) }},
}

var guardDescs = func() (all []*prometheus.Desc) {
	for _, s := range guardRows {
		all = append(all, prometheus.NewDesc(s.name, s.help, strings.Fields(s.labels), nil))
	}
	return all
}()

// guardCollector collects the figures of a guard.
type guardCollector struct{ state func() GuardState }

func (g guardCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- buildInfo
	for _, d := range guardDescs {
		ch <- d
	}
}

func (g guardCollector) Collect(ch chan<- prometheus.Metric) {
	s := g.state()
	ch <- prometheus.MustNewConstMetric(buildInfo, gauge, 1, release.Version, runtime.Version())
	for i, row := range guardRows {
		row.values(&s, func(v float64, labels ...string) {
			ch <- prometheus.MustNewConstMetric(guardDescs[i], row.kind, v, labels...)
		})
	}
}

// GuardHandler answers Prometheus with the figures of a guard, and metrics of this process and of Go besides. state may be called by several
// goroutines, and what it returns is not changed afterwards.
func GuardHandler(state func() GuardState, log *slog.Logger) http.Handler {
	r := prometheus.NewRegistry()
	r.MustRegister(guardCollector{state}, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return promhttp.HandlerFor(r, promhttp.HandlerOpts{
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelError), ErrorHandling: promhttp.ContinueOnError,
		MaxRequestsInFlight: scrapers, Timeout: scrapePatience, EnableOpenMetrics: true,
	})
}
