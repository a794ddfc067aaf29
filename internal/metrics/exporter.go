package metrics

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/sys/unix"

	"github.com/spoor-project/spoor/internal/netns"
	"github.com/spoor-project/spoor/internal/release"
	"github.com/spoor-project/spoor/internal/table"
)

// Options says what an [Exporter] exports. The zero value is the namespace of this process, with the kernel's counters alone.
type Options struct {
	// NetNS are network namespaces as [netns.Path] knows them, and [All]. They may come and go. None is the one of this
	// process, whose metrics have no label netns.
	NetNS []string
	// Named is the directory of the namespaces that All stands for; "" is /run/netns.
	Named string
	// MaxNetNS is how many namespaces are exported at most; 0 is 1000. Each takes up to 2 MB, and some hundred series.
	MaxNetNS int
	// Look is how long it may take until a namespace that has come or gone is noticed; 0 is two seconds.
	Look time.Duration

	// CountInterval is the pause between two countings of the flows in groups; 0 is not to count them.
	CountInterval time.Duration
	Top           []Top // of the values that most flows have; needs a CountInterval
	// Way is how the table is read for that.
	Way table.Way
	// Events: count flows that begin and end.
	Events bool

	Log *slog.Logger // nil: nowhere
}

// All stands for the namespace of this process and all that have a name.
const All = "all"

const (
	namedNamespaces = "/run/netns"
	defaultLook     = 2 * time.Second
	defaultMaxNetNS = 1000
	// readPatience is how long a scrape waits for the kernel.
	readPatience = 5 * time.Second
	// readers is how many namespaces are asked at once.
	readers = 4
	// scrapers is how many may scrape at once; more are refused.
	scrapers       = 4
	scrapePatience = 20 * time.Second
)

// Exporter collects metrics. It may be used by several goroutines.
type Exporter struct {
	opts Options
	end  context.CancelFunc
	loop sync.WaitGroup
	turn chan struct{} // to count flows

	mu      sync.Mutex // guards what follows
	spaces  []*open    // by name
	missing map[string]error
}

// open is a namespace that is being exported, and which one it is.
type open struct {
	*namespace
	id identity
}

// identity tells namespaces apart, also those that had the same name.
type identity struct{ dev, ino uint64 }

// place is where there is a namespace.
type place struct {
	name string // as a label; "": the one of this process
	path string // "": the one of this process
	id   identity
}

// Open begins to export until Close. It fails only if nothing of what is there can be read for lack of privilege,
// with an error that is [fs.ErrPermission]: everything else may come.
func Open(ctx context.Context, opts *Options) (*Exporter, error) {
	e := &Exporter{opts: *opts, turn: make(chan struct{}, 1)}
	e.opts.Named = cmp.Or(e.opts.Named, namedNamespaces)
	e.opts.Look = cmp.Or(e.opts.Look, defaultLook)
	e.opts.MaxNetNS = cmp.Or(e.opts.MaxNetNS, defaultMaxNetNS)
	if e.opts.Log == nil {
		e.opts.Log = slog.New(slog.DiscardHandler)
	}
	if len(e.opts.NetNS) == 0 {
		e.opts.NetNS = []string{""}
	}
	ctx, e.end = context.WithCancel(context.WithoutCancel(ctx))
	e.look(ctx)
	if err := e.refused(ctx); err != nil {
		e.Close()
		return nil, err
	}
	e.loop.Go(func() {
		for pause(ctx, e.opts.Look); ctx.Err() == nil; pause(ctx, e.opts.Look) {
			e.look(ctx)
		}
	})
	return e, nil
}

// refused returns an error if all namespaces need a privilege that is missing.
func (e *Exporter) refused(ctx context.Context) (first error) {
	ctx, cancel := context.WithTimeout(ctx, readPatience)
	defer cancel()
	for _, err := range e.missing {
		if !errors.Is(err, fs.ErrPermission) {
			return nil
		}
		first = err
	}
	for _, n := range e.list() {
		if _, first = n.client.Count(ctx); !errors.Is(first, fs.ErrPermission) {
			return nil
		}
	}
	return first
}

// Close ends the export.
func (e *Exporter) Close() {
	e.end()
	e.loop.Wait()
	for _, n := range e.list() {
		n.close()
	}
}

// list returns the namespaces being exported.
func (e *Exporter) list() []*open {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.spaces)
}

// look opens the namespaces that have come and closes those that have gone.
func (e *Exporter) look(ctx context.Context) {
	places, missing := e.places()
	var stay, gone []*open
	for _, n := range e.list() {
		if i := slices.IndexFunc(places, func(p place) bool { return p.name == n.name && p.id == n.id }); i >= 0 {
			stay, places = append(stay, n), slices.Delete(places, i, i+1)
		} else {
			gone = append(gone, n)
		}
	}
	for _, p := range places {
		n, err := openNamespace(ctx, p.name, p.path, &e.opts, e.turn)
		if err != nil {
			missing[p.name] = err
			continue
		}
		if p.name != "" {
			n.log.Info("namespace has come")
		}
		stay = append(stay, &open{n, p.id})
	}
	slices.SortFunc(stay, func(a, b *open) int { return strings.Compare(a.name, b.name) })
	e.mu.Lock()
	before := e.missing
	e.spaces, e.missing = stay, missing
	e.mu.Unlock()
	for name, why := range missing {
		if was := before[name]; was == nil || was.Error() != why.Error() {
			e.opts.Log.Warn("namespace is not there", "netns", name, "error", why)
		}
	}
	for _, n := range gone {
		n.close()
		n.log.Info("namespace has gone")
	}
}

// places finds the namespaces that are wanted, each once, and tells which of those asked for by name are missing.
func (e *Exporter) places() (all []place, missing map[string]error) {
	missing = make(map[string]error)
	add := func(name, path string) error {
		id, err := identify(cmp.Or(path, "/proc/self/ns/net"))
		if err != nil {
			return err
		}
		if slices.ContainsFunc(all, func(p place) bool { return p.id == id || p.name == name }) {
			return nil
		}
		if len(all) == e.opts.MaxNetNS {
			return errTooMany
		}
		all = append(all, place{name, path, id})
		return nil
	}
	for _, word := range e.opts.NetNS {
		var err error
		switch word {
		case "":
			err = add("", "")
		case All:
			if err = add("", ""); err == nil {
				err = e.addNamed(add)
			}
		default:
			var path string
			if path, err = netns.Path(word); err == nil {
				err = add(label(word), path)
			}
		}
		if err != nil {
			missing[label(word)] = err
		}
	}
	return all, missing
}

// addNamed adds the namespaces that have a name.
func (e *Exporter) addNamed(add func(name, path string) error) error {
	files, err := os.ReadDir(e.opts.Named)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, f := range files {
		// What is no namespace may be about to become one, or have been one.
		if err := add(label(f.Name()), filepath.Join(e.opts.Named, f.Name())); err == errTooMany {
			return err
		}
	}
	return nil
}

var (
	errNoNamespace = errors.New("not a network namespace")
	errTooMany     = errors.New("there are more namespaces than are exported")
)

func identify(path string) (identity, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0) // which may be a pipe
	if err != nil {
		return identity{}, err
	}
	defer f.Close()
	var on unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &on); err != nil {
		return identity{}, &fs.PathError{Op: "statfs", Path: path, Err: err}
	}
	kind, err := unix.IoctlRetInt(int(f.Fd()), unix.NS_GET_NSTYPE)
	if on.Type != unix.NSFS_MAGIC || err != nil || kind != unix.CLONE_NEWNET {
		return identity{}, errNoNamespace
	}
	var s unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &s); err != nil {
		return identity{}, &fs.PathError{Op: "stat", Path: path, Err: err}
	}
	return identity{uint64(s.Dev), s.Ino}, nil
}

// What is no namespace's.
var (
	buildInfo   = prometheus.NewDesc("spoor_build_info", "The version of spoor, and of the Go that built it.", []string{"version", "goversion"}, nil)
	bucketsDesc = prometheus.NewDesc("spoor_conntrack_buckets", "Buckets of the hash table, which all namespaces share.", nil, nil)
	namespaces  = prometheus.NewDesc("spoor_conntrack_namespaces", "Network namespaces whose tables are exported.", nil, nil)
)

// Describe describes nothing: which metrics there are depends on the kernel, and on which namespaces come.
func (e *Exporter) Describe(chan<- *prometheus.Desc) {}

// Collect sends all metrics.
func (e *Exporter) Collect(ch chan<- prometheus.Metric) {
	spaces := e.list()
	ch <- prometheus.MustNewConstMetric(buildInfo, gauge, 1, release.Version, runtime.Version())
	ch <- prometheus.MustNewConstMetric(namespaces, gauge, float64(len(spaces)))
	if n := buckets(); n > 0 {
		ch <- prometheus.MustNewConstMetric(bucketsDesc, gauge, float64(n))
	}
	ctx, cancel := context.WithTimeout(context.Background(), readPatience)
	defer cancel()
	var all sync.WaitGroup
	free := make(chan struct{}, readers)
	for _, n := range spaces {
		free <- struct{}{}
		all.Go(func() {
			if r := n.read(ctx); r != nil {
				r.send(ch)
			}
			<-free
		})
	}
	all.Wait()
	for _, name := range e.absent() {
		(&reading{netns: name, failed: true}).send(ch)
	}
}

// absent lists the namespaces that are asked for and are not there.
func (e *Exporter) absent() (names []string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for name := range e.missing {
		if !slices.ContainsFunc(e.spaces, func(n *open) bool { return n.name == name }) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// buckets is how many the hash table has; 0: that is not to be learned.
func buckets() uint64 {
	text, err := os.ReadFile("/proc/sys/net/netfilter/nf_conntrack_buckets")
	if err != nil {
		return 0
	}
	n, _ := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 32)
	return n
}

// Handler answers Prometheus, with metrics of this process and of Go besides.
func (e *Exporter) Handler() http.Handler {
	r := prometheus.NewRegistry()
	r.MustRegister(e, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return promhttp.HandlerFor(r, promhttp.HandlerOpts{
		ErrorLog: slog.NewLogLogger(e.opts.Log.Handler(), slog.LevelError), ErrorHandling: promhttp.ContinueOnError,
		MaxRequestsInFlight: scrapers, Timeout: scrapePatience, EnableOpenMetrics: true,
	})
}

// Health is how the export is.
type Health struct {
	OK      bool        `json:"ok"`
	Reasons []string    `json:"reasons"` // why it is not, each with the namespace; empty if it is
	NetNS   []NetNSFine `json:"netns"`   // those that are there
}

// NetNSFine is how the export of a namespace is.
type NetNSFine struct {
	Name string `json:"name"` // "": the one of this process
	OK   bool   `json:"ok"`
}

// Health asks every namespace.
func (e *Exporter) Health(ctx context.Context) Health {
	ctx, cancel := context.WithTimeout(ctx, readPatience)
	defer cancel()
	h := Health{Reasons: []string{}, NetNS: []NetNSFine{}}
	reason := func(name, text string) {
		if name != "" {
			text = "namespace " + name + ": " + text
		}
		h.Reasons = append(h.Reasons, text)
	}
	for _, n := range e.list() {
		problems := n.problems(ctx)
		for _, p := range problems {
			reason(n.name, p)
		}
		h.NetNS = append(h.NetNS, NetNSFine{n.name, len(problems) == 0})
	}
	e.mu.Lock()
	for name, why := range e.missing {
		reason(name, why.Error())
	}
	e.mu.Unlock()
	slices.Sort(h.Reasons)
	h.OK = len(h.Reasons) == 0
	return h
}
