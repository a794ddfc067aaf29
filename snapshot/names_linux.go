package snapshot

import (
	"errors"
	"os"
	"time"

	"github.com/spoor-project/spoor/internal/netns"
)

// names are the addresses of the kernel's variables that tell where the table is. A kernel that lists them in /proc/kallsyms
// (CONFIG_KALLSYMS_ALL) need not have /proc/net/nf_conntrack.
type names struct{ hash, size, generation uint64 }

func findNames() (*names, error) {
	at, err := symbols("nf_conntrack_hash", "nf_conntrack_htable_size", "nf_conntrack_generation")
	if err != nil {
		return nil, err
	}
	return &names{at[0], at[1], at[2]}, nil
}

// enter finds out which the namespace is, and keeps it.
func (t *Table) enter(path string) error {
	if path == "" {
		path = "/proc/thread-self/ns/net"
	}
	var err error
	if t.netns, err = os.Open(path); err != nil {
		return err
	}
	t.found.Store(&variables{at: t.names.generation, words: []int{0}})
	return netns.Do(t.netns, func() error {
		w := t.walkers[0]
		w.begin(request{})
		if err := w.call(); err != nil {
			return err
		}
		t.net = w.ask.Net
		return nil
	})
}

// resizing is longer than the kernel takes to resize a large table.
const resizing = 10 * time.Second

// look has the program look at the variables. While the kernel is resizing the table they do not belong together.
func (w *walker) look() error {
	for begun := time.Now(); time.Since(begun) < resizing; time.Sleep(time.Millisecond) {
		if w.known = w.table.generation(); !w.known.known {
			continue
		}
		w.told = time.Now()
		if err := w.call(); err != nil || w.unmoved() {
			return err
		}
	}
	return errors.New("snapshot: the table is being resized without end")
}
