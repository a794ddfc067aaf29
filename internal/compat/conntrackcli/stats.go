package conntrackcli

import (
	"bufio"
	"context"
	"os"
	"strconv"
	"strings"

	"github.com/spoor-project/spoor/conntrack"
	"github.com/spoor-project/spoor/internal/render"
)

const (
	procCount = "/proc/sys/net/netfilter/nf_conntrack_count"
	procStats = "/proc/net/stat/nf_conntrack"
)

// printCount prints the number of -C.
func (x *executor) printCount(n uint64) {
	s := x.style()
	p := render.NewPrinter(render.Counts, &s)
	x.out.buf = p.AppendCount(x.out.buf, int(n))
	x.out.buf = p.AppendEnd(x.out.buf)
}

// count is -C. Who may not ask the kernel still gets the number from /proc, and the
// error.
func (x *executor) count(c *conntrack.Client) error {
	u, err := c.Count(context.Background())
	if err == nil {
		x.printCount(uint64(u.Entries))
		return nil
	}
	if x.netns != "" {
		return err // /proc is that of this namespace
	}
	text, perr := os.ReadFile(procCount)
	if perr != nil {
		return failf("Can't open %s", procCount)
	}
	n, perr := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 32)
	if perr != nil {
		return failf("Can't read %s", procCount)
	}
	x.printCount(n)
	return err
}

// stats is -S.
func (x *executor) stats(c *conntrack.Client) error {
	read, name := c.Stats, conntrack.StatName
	if x.table == tableExpect {
		read, name = c.ExpectStats, conntrack.ExpectStatName
	}
	cpus, err := read(context.Background())
	if err != nil {
		if x.netns == "" {
			if perr := x.procStats(); perr != nil {
				return perr
			}
		}
		return err
	}
	s := x.style()
	p := render.NewPrinter(render.Statistics, &s)
	for _, cpu := range cpus {
		row := render.CPUStats{CPU: cpu.CPU}
		for _, counter := range cpu.Counters {
			label := name(counter.ID)
			if label == "" {
				if x.table == tableExpect || counter.ID < 16 || counter.ID > 19 {
					continue
				}
				label = "unknown" + itoa(int(counter.ID)-15)
			}
			row.Names = append(row.Names, label)
			row.Values = append(row.Values, uint64(counter.Value))
		}
		x.out.buf = p.AppendStats(x.out.buf, &row)
	}
	x.out.buf = p.AppendEnd(x.out.buf)
	return nil
}

// procStats prints the statistics of /proc, whose numbers are hexadecimal.
func (x *executor) procStats() error {
	f, err := os.Open(procStats)
	if err != nil {
		return failf("Can't open /proc interface")
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	if !lines.Scan() {
		return failf("Can't read %s", procStats)
	}
	names := strings.Fields(lines.Text())
	s := x.style()
	p := render.NewPrinter(render.Statistics, &s)
	for cpu := 0; lines.Scan(); cpu++ {
		row := render.CPUStats{CPU: cpu}
		for i, word := range strings.Fields(lines.Text()) {
			if v, err := strconv.ParseUint(word, 16, 32); err == nil && i < len(names) {
				row.Names = append(row.Names, names[i])
				row.Values = append(row.Values, v)
			}
		}
		x.out.buf = p.AppendStats(x.out.buf, &row)
	}
	x.out.buf = p.AppendEnd(x.out.buf)
	return nil
}
