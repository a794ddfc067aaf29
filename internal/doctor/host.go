package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spoor-project/spoor/conntrack"
	"github.com/spoor-project/spoor/internal/netns"
	"github.com/spoor-project/spoor/internal/nfnetlink"
	"github.com/spoor-project/spoor/internal/table"
	"github.com/spoor-project/spoor/snapshot"
)

// Host is where facts come from: this machine, in one of its network namespaces.
type Host struct {
	// NetNS is the path of the namespace; "" is the caller's.
	NetNS string
	// root holds proc, sys, dev and lib; nil is the machine's. Tests have others, and then no kernel is asked.
	root fs.FS
}

// Look collects the facts. Between its two looks it waits for interval; 0 is only one look, and no rates. Whatever cannot be learned
// is missing from the facts; an error is the context's, or that the namespace cannot be entered.
func (h *Host) Look(ctx context.Context, interval time.Duration) (*Facts, error) {
	f := &Facts{NetNS: h.NetNS}
	g := &gatherer{Host: h, ctx: ctx, facts: f, root: h.files()}
	defer g.close()
	var looked time.Time
	look := func() error {
		looked = time.Now()
		f.Now = g.sample()
		return nil
	}
	if err := h.inside(func() error {
		g.machine()
		g.sysctls()
		g.modules()
		g.dial()
		return look()
	}); err != nil {
		return nil, err
	}
	g.access()
	g.census()
	g.snapshot()
	if interval > 0 {
		first := looked
		select {
		case <-ctx.Done():
		case <-time.After(time.Until(first.Add(interval))):
		}
		f.Before = f.Now
		if err := h.inside(look); err != nil {
			return nil, err
		}
		f.Elapsed = looked.Sub(first)
	}
	f.Log = g.log() // with what was written meanwhile
	return f, ctx.Err()
}

// Apply sets a kernel variable in the namespace.
func (h *Host) Apply(s *Setting) error {
	return h.inside(func() error {
		file, err := os.OpenFile("/"+sysctlPath(s.Sysctl), os.O_WRONLY, 0)
		if err == nil {
			_, err = file.WriteString(s.Value + "\n")
			err = errors.Join(err, file.Close())
		}
		if errors.Is(err, unix.EROFS) {
			err = fmt.Errorf("%w: only the host of this container may change it", err)
		}
		return err
	})
}

// Settings reads the kernel variables of f again.
func (h *Host) Settings(f *Facts) error {
	g := &gatherer{Host: h, facts: f, root: h.files()}
	return h.inside(func() error { g.sysctls(); return nil })
}

func (h *Host) files() fs.FS {
	if h.root != nil {
		return h.root
	}
	return os.DirFS("/")
}

// inside runs do on a thread that is in the namespace: the kernel shows each thread its own /proc/sys/net and
// /proc/thread-self/net.
func (h *Host) inside(do func() error) error { return netns.DoAt(h.NetNS, do) }

// gatherer collects facts.
type gatherer struct {
	*Host
	ctx     context.Context
	root    fs.FS
	client  *conntrack.Client // nil: the kernel is not asked
	refused error             // why
	facts   *Facts
}

// read reads a file; why is for people.
func (g *gatherer) read(name string) (text, why string) {
	b, err := fs.ReadFile(g.root, name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", "there is no /" + name
	case errors.Is(err, fs.ErrPermission):
		return "", "only root may read /" + name
	case err != nil:
		return "", err.Error()
	}
	return string(b), ""
}

// parsed reads a file and makes a fact of it.
func parsed[T any](g *gatherer, name string, parse func(string) (T, bool)) Fact[T] {
	text, why := g.read(name)
	if why != "" {
		return missing[T](why)
	}
	v, ok := parse(text)
	if !ok {
		return missing[T]("/" + name + " is not understood")
	}
	return known(v)
}

// machine collects what does not depend on the tracking.
func (g *gatherer) machine() {
	f := g.facts
	f.Uptime = parsed(g, "proc/uptime", parseUptime)
	f.Memory = parsed(g, "proc/meminfo", parseMemTotal)
	f.Slab = parsed(g, "proc/slabinfo", parseSlab)
	f.Capable = parsed(g, "proc/self/status", parseCapable)
	f.Listeners = parsed(g, "proc/thread-self/net/netlink", parseListeners)
	for i := range f.Listeners.Value {
		l := &f.Listeners.Value[i]
		name, _ := g.read(fmt.Sprintf("proc/%d/comm", l.PortID))
		l.Process = strings.TrimSpace(name)
	}
}

// modules finds out what is loaded.
func (g *gatherer) modules() {
	f := g.facts
	f.Tracking, f.Netlink = g.module("nf_conntrack"), g.module("nf_conntrack_netlink")
	if f.Tracking.Value != "" {
		return
	}
	if _, err := fs.Stat(g.root, "proc/sys/net"); f.NoSysctls == "" {
		f.Tracking = known("built in")
	} else if err == nil {
		f.Tracking = known("") // it would have settings
	}
}

// dial opens the way to the kernel, unless there is no tracking: to ask for it would load it.
func (g *gatherer) dial() {
	if g.Host.root != nil || g.facts.Tracking.Known && g.facts.Tracking.Value == "" {
		return
	}
	g.client, g.refused = conntrack.Dial(&conntrack.Options{NetNS: g.NetNS})
	if g.client != nil {
		g.facts.Hooked = hooked(nfnetlink.Dial)
	}
}

func (g *gatherer) close() {
	if g.client != nil {
		g.client.Close()
	}
}

func sysctlPath(name string) string { return "proc/sys/" + strings.ReplaceAll(name, ".", "/") }

// sysctls reads those of net.netfilter that are numbers, and few others.
func (g *gatherer) sysctls() {
	f := g.facts
	f.Sysctls = make(map[string]Sysctl)
	dir := sysctlPath(strings.TrimSuffix(netfilter, "."))
	entries, err := fs.ReadDir(g.root, dir)
	if err != nil {
		f.NoSysctls = "there is no /" + dir
	}
	names := []string{"net.core.rmem_max"}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), "nf_conntrack_") {
			names = append(names, netfilter+e.Name())
		}
	}
	if err == nil && len(names) == 1 {
		f.NoSysctls = "nf_conntrack is not loaded, or not shown here"
	}
	for _, name := range names {
		path := sysctlPath(name)
		info, err := fs.Stat(g.root, path)
		if err != nil {
			continue
		}
		text, why := g.read(path)
		if v, err := strconv.ParseUint(strings.TrimSpace(text), 10, 64); why == "" && err == nil {
			f.Sysctls[name] = Sysctl{Value: v, Writable: info.Mode()&0o200 != 0}
		}
	}
	if v, there := f.sysctl("nf_conntrack_max"); there {
		f.Max = known(v)
	} else {
		f.Max.Why = f.noSysctl("nf_conntrack_max")
	}
}

// access finds out what the process may ask.
func (g *gatherer) access() {
	f := g.facts
	if g.client != nil {
		_, g.refused = g.client.Count(g.ctx)
	}
	switch err := g.refused; {
	case g.client == nil && err == nil:
		f.Admitted.Why = "the kernel was not asked"
	case err == nil:
		f.Admitted = known(true)
		for _, m := range []*Fact[string]{&f.Tracking, &f.Netlink} {
			if m.Value == "" {
				*m = known("built in")
			}
		}
	case errors.Is(err, conntrack.ErrPermission):
		f.Admitted = known(false)
	case errors.Is(err, conntrack.ErrNotSupported), errors.Is(err, syscall.EPROTONOSUPPORT), errors.Is(err, syscall.EINVAL):
		// The kernel loads modules that are asked for; this one it does not have.
		f.Admitted.Why = err.Error()
		f.Netlink = known("")
	default:
		f.Admitted.Why = err.Error()
	}
}

// module finds out how a module is there.
func (g *gatherer) module(name string) Fact[string] {
	loaded, noModules := g.read("proc/modules")
	if parseModules(loaded, name) {
		return known("a module")
	}
	release, _ := g.read("proc/sys/kernel/osrelease")
	builtin, noBuiltin := g.read("lib/modules/" + strings.TrimSpace(release) + "/modules.builtin")
	if parseBuiltin(builtin, name) {
		return known("built in")
	}
	if _, err := fs.Stat(g.root, "sys/module/"+name); err == nil {
		return known("built in")
	}
	if noModules != "" || noBuiltin != "" {
		return missing[string]("it cannot be seen here whether " + name + " is built in")
	}
	return known("")
}

// sample takes a look at what changes.
func (g *gatherer) sample() (s Sample) {
	if g.client != nil {
		if u, err := g.client.Count(g.ctx); err == nil {
			s.Entries = known(uint64(u.Entries))
			if !g.facts.Max.Known {
				g.facts.Max = known(uint64(u.Max))
			}
		}
		if stats, err := g.client.Stats(g.ctx); err == nil && len(stats) > 0 {
			s.Stats = known(stats)
		}
	}
	if !s.Entries.Known {
		s.Entries = parsed(g, sysctlPath(netfilter+"nf_conntrack_count"), func(text string) (uint64, bool) {
			n, err := strconv.ParseUint(strings.TrimSpace(text), 10, 64)
			return n, err == nil
		})
	}
	if !s.Stats.Known {
		s.Stats = parsed(g, "proc/thread-self/net/stat/nf_conntrack", parseStat)
	}
	return s
}

// census counts the entries by what they wait for.
func (g *gatherer) census() {
	f := g.facts
	if g.client == nil || !f.Admitted.Value {
		f.Census.Why = "the table cannot be read"
		return
	}
	t, err := table.Open(g.ctx, g.client, &table.Options{NetNS: g.NetNS})
	if err != nil {
		f.Census.Why = err.Error()
		return
	}
	defer t.Close()
	limits := make(map[string][2]uint64)
	for _, h := range hoards {
		if v, there := f.sysctl(h.sysctl); there {
			limits[h.sysctl] = [2]uint64{v, h.sensible}
		}
	}
	var mu sync.Mutex
	sum := newCensus()
	err = t.Chunks(g.ctx, nil, func(chunk *table.Chunk) error {
		part := newCensus()
		for flow := range chunk.Flows() {
			part.Entries++
			part.Zones[flow.Zone]++
			which := hoardOf(flow)
			limit, there := limits[which]
			if !there {
				continue
			}
			part.Waiting[which]++
			if silent := int64(limit[0]) - int64(flow.Timeout/time.Second); silent > int64(limit[1]) {
				part.Silent[which]++
			}
		}
		mu.Lock()
		defer mu.Unlock()
		sum.merge(part)
		return nil
	})
	if err != nil {
		f.Census.Why = err.Error()
		return
	}
	f.Census = known(sum)
}

func newCensus() Census {
	return Census{Zones: make(map[uint16]uint64), Silent: make(map[string]uint64), Waiting: make(map[string]uint64)}
}

func (c *Census) merge(part Census) {
	c.Entries += part.Entries
	for k, n := range part.Zones {
		c.Zones[k] += n
	}
	for k, n := range part.Silent {
		c.Silent[k] += n
	}
	for k, n := range part.Waiting {
		c.Waiting[k] += n
	}
}

// snapshot tries whether one can be had.
func (g *gatherer) snapshot() {
	f := g.facts
	if g.client == nil {
		f.Snapshot.Why = "was not tried"
		return
	}
	t, err := snapshot.Open(&snapshot.Options{NetNS: g.NetNS, Workers: 1})
	if err != nil {
		f.Snapshot = known(strings.TrimPrefix(err.Error(), snapshot.ErrUnavailable.Error()+": "))
		return
	}
	t.Close()
	f.Snapshot = known("")
}

const kernelLog = "dev/kmsg"

// log reads the kernel's log.
func (g *gatherer) log() Fact[[]LogLine] {
	understood := func(text string) ([]LogLine, bool) { return parseLog(text), true }
	if g.Host.root != nil {
		return parsed(g, kernelLog, understood)
	}
	fd, err := unix.Open("/"+kernelLog, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return missing[[]LogLine]("/" + kernelLog + " cannot be read: " + err.Error())
	}
	defer unix.Close(fd)
	var text strings.Builder
	record := make([]byte, 8192) // none is longer
	for text.Len() < 64<<20 {
		n, err := unix.Read(fd, record)
		switch {
		case err == unix.EPIPE || err == unix.EINTR: // overwritten meanwhile: what is next is older no more
			continue
		case err == unix.EAGAIN || err == nil && n == 0:
			return known(parseLog(text.String()))
		case err != nil:
			return missing[[]LogLine]("/" + kernelLog + ": " + err.Error())
		}
		text.Write(record[:n])
	}
	return known(parseLog(text.String()))
}
