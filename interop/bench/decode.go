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

// Targets of decoding an entry.
const (
	decodeNanos  = 500
	decodeAllocs = 0
)

var benchmarkLine = regexp.MustCompile(`(?m)^Benchmark(\S*Decode\S*?)(?:-\d+)?\s+\d+\s+([\d.]+) ns/op.*?\s(\d+) allocs/op`)

// decodeBenchmark runs the library's own benchmark of what it does with each entry.
func decodeBenchmark(ctx context.Context, root string, runs int) ([]row, error) {
	cmd := exec.CommandContext(ctx, "go", "test", "-run", "xxx", "-bench", "Decode", "-benchmem", "-count", strconv.Itoa(runs), "./conntrack")
	cmd.Dir = root
	out, err := cmd.CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, out)
	}
	return decodeRows(string(out)), nil
}

// decodeRows makes a row of each benchmark in the output of go test.
func decodeRows(out string) []row {
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
	if names == nil {
		r := row{What: "Decode (Go benchmark)", Entries: "1"}
		r.promise(fmt.Sprintf("< %d ns", decodeNanos), "", false)
		return []row{r}
	}
	var rows []row
	for _, name := range names {
		slices.Sort(nanos[name])
		ns := nanos[name][len(nanos[name])/2]
		r := row{What: name + " (Go benchmark)", Entries: "1"}
		r.Figures = []figure{{Who: ours, Text: fmt.Sprintf("%.0f ns, %d allocations", ns, allocs[name])}}
		r.promise(fmt.Sprintf("< %d ns", decodeNanos), fmt.Sprintf("%.0f ns", ns), ns < decodeNanos)
		r.promise(fmt.Sprintf("%d allocations", decodeAllocs), strconv.Itoa(allocs[name]), allocs[name] <= decodeAllocs)
		rows = append(rows, r)
	}
	return rows
}
