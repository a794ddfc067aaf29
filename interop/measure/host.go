package measure

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Variables of the kernel that only the initial namespace can change, for all.
const (
	tableMax     = "/proc/sys/net/netfilter/nf_conntrack_max"
	tableBuckets = "/proc/sys/net/netfilter/nf_conntrack_buckets"
)

// EnlargeTable sees to it that the table can hold the entries, in chains as long as a
// well kept machine has. restore puts back what was changed, and is never nil.
func EnlargeTable(entries int) (restore func() error, err error) {
	type setting struct{ name, old string }
	var changed []setting
	restore = func() error {
		var errs []error
		for _, s := range changed {
			errs = append(errs, os.WriteFile(s.name, []byte(s.old), 0))
		}
		return errors.Join(errs...)
	}
	for _, want := range []struct {
		name  string
		least int
	}{
		{tableMax, 2 * entries},
		{tableBuckets, entries}, // two tuples per entry
	} {
		text, err := os.ReadFile(want.name)
		if errors.Is(err, fs.ErrNotExist) {
			return restore, fmt.Errorf("%w (is the module nf_conntrack loaded? try modprobe nf_conntrack_netlink)", err)
		} else if err != nil {
			return restore, err
		}
		old := strings.TrimSpace(string(text))
		n, err := strconv.Atoi(old)
		if err != nil {
			return restore, fmt.Errorf("%s: %w", want.name, err)
		}
		// A maximum of 0 is none.
		if n >= want.least || n == 0 && want.name == tableMax {
			continue
		}
		if err := os.WriteFile(want.name, []byte(strconv.Itoa(want.least)), 0); err != nil {
			return restore, err
		}
		changed = append(changed, setting{want.name, old})
	}
	return restore, nil
}

// WarnIfBusy tells the user of other work on the machine: medians forgive a disturbed run, not a busy machine. It looks several
// times, as some thread or other always runs for a moment.
func WarnIfBusy(say func(format string, args ...any)) {
	const looks = 10
	least := math.MaxInt
	for range looks {
		text, err := os.ReadFile("/proc/loadavg")
		if err != nil {
			return
		}
		// The fourth field is "running/all"; one of the running is this process.
		fields := strings.Fields(string(text))
		if len(fields) < 4 {
			return
		}
		running, _, _ := strings.Cut(fields[3], "/")
		n, err := strconv.Atoi(running)
		if err != nil {
			return
		}
		least = min(least, n-1)
		time.Sleep(50 * time.Millisecond)
	}
	if least > 0 {
		say("WARNING: %d other threads are running; the results will be worth little", least)
	}
}

// Machine is where the measurement was made.
type Machine struct {
	Kernel, CPU, Original, Go string
	Cores                     int
	Together                  float64 // see [Together]
}

// DescribeMachine describes it. The original tells its version in the first line of what it prints with the given option.
func DescribeMachine(ctx context.Context, original, option string) Machine {
	m := Machine{Kernel: "unknown", CPU: "unknown", Original: "unknown", Go: runtime.Version(), Cores: runtime.NumCPU(), Together: Together()}
	if text, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		m.Kernel = string(bytes.TrimSpace(text))
	}
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(text)) {
			if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
				m.CPU = strings.TrimSpace(value)
				break
			}
		}
	}
	if out, err := exec.CommandContext(ctx, original, option).Output(); err == nil {
		first, _, _ := strings.Cut(string(bytes.TrimSpace(out)), "\n")
		m.Original = first
	}
	return m
}

// Together is how many times as much all processors compute at once as one does alone. It is their number on real cores that
// nobody else uses. Threads of one core share it, and the processors of a virtual machine may be such.
func Together() float64 {
	const (
		tries = 25
		turns = 20_000_000
	)
	n := runtime.GOMAXPROCS(0)
	var ratios []float64
	for range tries {
		ratios = append(ratios, float64(n)*computing(1, turns).Seconds()/computing(n, turns).Seconds())
	}
	slices.Sort(ratios)
	return ratios[tries/2]
}

// computing is how long some threads need for as many turns each of what keeps a core's units busy and no memory.
func computing(threads, turns int) time.Duration {
	start := time.Now()
	var wg sync.WaitGroup
	results := make([]uint64, threads)
	for i := range threads {
		wg.Go(func() {
			a, b, c, d := uint64(i), uint64(1), uint64(2), uint64(3)
			for range turns {
				a, b, c, d = a*3+d, b*5+1, c^a, d+b
			}
			results[i] = a + b + c + d
		})
	}
	wg.Wait()
	runtime.KeepAlive(results)
	return time.Since(start)
}
