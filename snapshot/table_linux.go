package snapshot

import (
	"bytes"
	_ "embed"
	"encoding/binary"
	"errors"
	"os"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/spoor-project/spoor/internal/netns"
)

// object is bpf/snapshot.c, compiled; make generate rebuilds it.
//
//go:embed snapshot.o
var object []byte

const (
	bufferSize = 4 << 20 // BUFFER_SIZE in bpf/snapshot.c
	maxWorkers = 8
)

// Table reads the table of one network namespace.
type Table struct {
	walk    *ebpf.Program
	buffers *ebpf.Map
	memory  []byte // of buffers
	peek    *ebpf.Program
	layout  layout
	hz      uint64
	id      *idKey // nil: not known
	idCode  func() (address uint64, err error)
	slow    atomic.Int64 // nanoseconds that slow answers have taken
	search  sync.Once    // for the generation
	found   atomic.Pointer[variables]
	names   *names   // nil: the kernel's list of flows leads to the table
	net     uint64   // if names is set: what tells the namespace
	netns   *os.File // which is there for as long as this is open
	walkers []*walker
}

// Open loads the program. It fails with [ErrUnavailable] where that is not possible.
func Open(opts *Options) (*Table, error) {
	if opts == nil {
		opts = &Options{}
	}
	if strconv.IntSize != 64 || !littleEndian() {
		return nil, unavailable("machine", errors.New("not a little-endian 64-bit machine"))
	}
	t := &Table{idCode: sync.OnceValues(func() (uint64, error) { return symbol("nf_ct_get_id") })}
	if opts.IDs {
		go t.idCode()
	}
	if err := t.open(opts); err != nil {
		t.Close()
		return nil, err
	}
	return t, nil
}

func (t *Table) open(opts *Options) error {
	n := opts.Workers
	if n <= 0 {
		n = runtime.GOMAXPROCS(0)
	}
	n = min(n, maxWorkers)
	for i := range n {
		t.walkers = append(t.walkers, &walker{table: t, fd: -1, buffer: i})
	}
	// First what fails soonest.
	if err := t.openLists(opts.NetNS); err != nil {
		return unavailable("open the kernel's list of flows", err)
	}
	if err := t.load(n); err != nil {
		return err
	}
	for i, w := range t.walkers {
		w.memory = t.memory[i*bufferSize : (i+1)*bufferSize]
	}
	first := t.walkers[0]
	if t.names != nil {
		if err := t.enter(opts.NetNS); err != nil {
			return unavailable("find the namespace", err)
		}
	}
	// Whatever is not as expected shall be known before the first flow is asked for.
	first.begin(request{})
	if err := first.locate(nil); err != nil {
		return unavailable("find the table", err)
	}
	if t.hz = ticksPerSecond(first.ask.Jiffies, first.ask.Now); t.hz == 0 {
		return unavailable("find HZ", errors.New("not to be told five minutes after the start"))
	}
	return nil
}

func (t *Table) load(buffers int) error {
	spec, err := ebpf.LoadCollectionSpecFromReader(bytes.NewReader(object))
	if err != nil {
		return unavailable("read the program", err)
	}
	spec.Maps["buffers"].MaxEntries, spec.Maps["fronts"].MaxEntries = uint32(buffers), uint32(buffers)
	opts := ebpf.CollectionOptions{Programs: ebpf.ProgramOptions{LogDisabled: true}}
	if opts.Programs.KernelTypes, err = resolve(spec); err != nil {
		return unavailable("read the kernel's types", err)
	}
	var loaded struct {
		Walk    *ebpf.Program `ebpf:"walk"`
		Layout  *ebpf.Program `ebpf:"layout"`
		Peek    *ebpf.Program `ebpf:"peek"`
		Buffers *ebpf.Map     `ebpf:"buffers"`
	}
	if err := spec.LoadAndAssign(&loaded, &opts); err != nil {
		return unavailable("load the program", err)
	}
	defer loaded.Layout.Close()
	t.walk, t.peek, t.buffers = loaded.Walk, loaded.Peek, loaded.Buffers

	if _, err := loaded.Layout.Run(&ebpf.RunOptions{Context: &t.layout, ContextOut: &t.layout}); err != nil {
		return unavailable("run the program", err)
	}
	if err := t.layout.check(); err != nil {
		return unavailable("layout", err)
	}
	t.memory, err = unix.Mmap(t.buffers.FD(), 0, buffers*bufferSize, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return unavailable("map the buffers", err)
	}
	return nil
}

// Workers is how many processors walk at once.
func (t *Table) Workers() int { return len(t.walkers) }

// Close releases what the table holds. No stream may be in use.
func (t *Table) Close() error {
	var errs []error
	if t.memory != nil {
		errs = append(errs, unix.Munmap(t.memory))
		t.memory = nil
	}
	for _, w := range t.walkers {
		if w.fd >= 0 {
			unix.Close(w.fd)
		}
	}
	if t.netns != nil {
		errs = append(errs, t.netns.Close())
		t.netns = nil
	}
	t.walkers = nil
	if t.walk != nil {
		errs = append(errs, t.walk.Close(), t.peek.Close(), t.buffers.Close())
		t.walk = nil
	}
	return errors.Join(errs...)
}

const procList = "/proc/thread-self/net/nf_conntrack"

// openLists opens the list of flows of a namespace, once for each walker. The files stay with that namespace. Where the kernel has been
// made without the list, names takes its place.
func (t *Table) openLists(path string) error {
	if t.names != nil {
		return nil
	}
	err := netns.DoAt(path, func() (err error) {
		for _, w := range t.walkers {
			if w.fd, err = unix.Open(procList, unix.O_RDONLY|unix.O_CLOEXEC, 0); err != nil {
				return err
			}
		}
		return nil
	})
	if err == unix.ENOENT {
		if n, unnamed := findNames(); unnamed == nil {
			t.names, err = n, nil
		}
	}
	return err
}

// littleEndian reports whether this machine is; the compiled program is for those.
func littleEndian() bool { return binary.NativeEndian.Uint16([]byte{1, 0}) == 1 }
