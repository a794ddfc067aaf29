//go:build linux

package main

import (
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// benchmark is a Go benchmark of ours, and what is promised of it: less than so many nanoseconds, no allocation.
type benchmark struct {
	pattern, pkg string
	nanos        float64
}

// goBenchmarks are of what is done with each entry.
var goBenchmarks = [...]benchmark{
	{"Decode", "./conntrack", 500},
	{"Query", "./filter", 100},
}

var benchmarkLine = regexp.MustCompile(`(?m)^Benchmark(\S*?)(?:-\d+)?\s+\d+\s+([\d.]+) ns/op.*?\s(\d+) allocs/op`)

// run runs the benchmark.
func (g *benchmark) run(ctx context.Context, root string, runs int) ([]row, error) {
	cmd := exec.CommandContext(ctx, "go", "test", "-run", "xxx", "-bench", g.pattern, "-benchmem", "-count", strconv.Itoa(runs), g.pkg)
	cmd.Dir = root
	out, err := cmd.CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, out)
	}
	return g.rows(string(out)), nil
}

// rows makes a row of each benchmark in the output of go test.
func (g *benchmark) rows(out string) []row {
	var names []string
	nanos, allocs := map[string][]float64{}, map[string]int{}
	for _, m := range benchmarkLine.FindAllStringSubmatch(out, -1) {
		name := m[1]
		if nanos[name] == nil {
			names = append(names, name)
		}
		ns, _ := strconv.ParseFloat(m[2], 64)
		n, _ := strconv.Atoi(m[3])
		nanos[name] = append(nanos[name], ns)
		allocs[name] = max(allocs[name], n)
	}
	promise := fmt.Sprintf("< %.0f ns", g.nanos)
	if names == nil {
		r := row{What: g.pattern + " (Go benchmark)", Entries: "1"}
		r.promise(promise, "", false)
		return []row{r}
	}
	var rows []row
	for _, name := range names {
		slices.Sort(nanos[name])
		ns := nanos[name][len(nanos[name])/2]
		r := row{What: name + " (Go benchmark)", Entries: "1"}
		r.Figures = []figure{{Who: ours, Text: fmt.Sprintf("%.0f ns, %d allocations", ns, allocs[name])}}
		r.promise(promise, fmt.Sprintf("%.0f ns", ns), ns < g.nanos)
		r.promise("0 allocations", strconv.Itoa(allocs[name]), allocs[name] == 0)
		rows = append(rows, r)
	}
	return rows
}
