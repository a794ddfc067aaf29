package render

import (
	"bytes"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spoor-project/spoor/flow"
)

var update = flag.Bool("update", false, "rewrite testdata; read the diff before committing it")

// TestGolden compares every case in every format with what was recorded. A case is a
// list of one record; the section of a format with modifiers has all of them.
func TestGolden(t *testing.T) {
	program := "socat"
	for name, f := range flowCases {
		golden(t, "flow-"+name, Flows, func(p *Printer, b []byte) []byte { return p.AppendFlow(b, &f, now) })
	}
	for name, e := range eventCases {
		golden(t, "event-"+name, Flows, func(p *Printer, b []byte) []byte { return p.AppendEvent(b, &e, program, now) })
	}
	for name, x := range expectCases {
		golden(t, name, Expects, func(p *Printer, b []byte) []byte { return p.AppendExpect(b, &x, now) })
	}
	for name, e := range expectEventCases {
		golden(t, name, Expects, func(p *Printer, b []byte) []byte { return p.AppendExpectEvent(b, &e, now) })
	}
	for name, cpus := range statsCases {
		golden(t, name, Statistics, func(p *Printer, b []byte) []byte {
			for i := range cpus {
				b = p.AppendStats(b, &cpus[i])
			}
			return b
		})
	}
	golden(t, "count", Counts, func(p *Printer, b []byte) []byte { return p.AppendCount(b, 262144) })
	golden(t, "no-flows", Flows, func(p *Printer, b []byte) []byte { return b })
	golden(t, "no-expectations", Expects, func(p *Printer, b []byte) []byte { return b })
	two := newFlow(flow.UDP, 1, 2)
	golden(t, "two-flows", Flows, func(p *Printer, b []byte) []byte {
		return p.AppendFlow(p.AppendFlow(b, &two, now), &two, now)
	})
}

// TestEveryProtocolIsRecorded fails when a protocol was added to package flow without
// a recorded case here.
func TestEveryProtocolIsRecorded(t *testing.T) {
	for _, p := range flow.Protos() {
		f, ok := flowCases[p.String()]
		if !ok || f.Orig.Proto != p {
			t.Errorf("no case %q in flowCases", p)
			continue
		}
		recorded := readSections(t, goldenFile("flow-"+p.String()))
		for _, format := range Formats() {
			if len(recorded[format.String()]) == 0 {
				t.Errorf("protocol %v is not recorded in format %v", p, format)
			}
		}
	}
}

// golden checks one case: a section for each format, with and without modifiers.
func golden(t *testing.T, name string, subject Subject, record func(*Printer, []byte) []byte) {
	t.Run(name, func(t *testing.T) {
		got := map[string]string{}
		for _, format := range Formats() {
			for suffix, style := range map[string]Style{
				"": {},
				"+": {Labels: labelMap(t), Extended: true, ID: true, KernelTime: true, Timestamp: true,
					Verb: Delete, Envelope: Bare},
			} {
				style.Format = format
				p := NewPrinter(subject, &style)
				got[format.String()+suffix] = string(p.AppendEnd(record(p, nil)))
			}
			if got[format.String()] == got[format.String()+"+"] {
				delete(got, format.String()+"+") // modifiers mean nothing here
			}
		}
		file := goldenFile(name)
		if *update {
			writeSections(t, file, got)
		}
		want := readSections(t, file)
		for _, section := range slices.Sorted(maps.Keys(got)) {
			if got[section] != want[section] {
				t.Errorf("%s, section %s:\n got %q\nwant %q", file, section, got[section], want[section])
			}
		}
		if len(want) != len(got) {
			t.Errorf("%s has sections %v, want %v", file, slices.Sorted(maps.Keys(want)), slices.Sorted(maps.Keys(got)))
		}
	})
}

func goldenFile(name string) string { return filepath.Join("testdata", name+".txtar") }

// A golden file is a txtar archive: "-- name --" lines, each followed by its text.

func writeSections(t *testing.T, file string, sections map[string]string) {
	t.Helper()
	var b bytes.Buffer
	for _, format := range Formats() {
		for _, name := range []string{format.String(), format.String() + "+"} {
			text, ok := sections[name]
			if !ok {
				continue
			}
			if text != "" && !strings.HasSuffix(text, "\n") {
				t.Errorf("%s, section %s has no newline at its end: %q", file, name, text)
			}
			b.WriteString("-- " + name + " --\n" + text)
		}
	}
	if err := os.WriteFile(file, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

func readSections(t *testing.T, file string) map[string]string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v (run with -update to record it)", err)
	}
	sections, name := map[string]string{}, ""
	for line := range strings.Lines(string(data)) {
		if title, ok := strings.CutPrefix(line, "-- "); ok && strings.HasSuffix(title, " --\n") {
			name = strings.TrimSuffix(title, " --\n")
			sections[name] = ""
			continue
		}
		sections[name] += line
	}
	return sections
}
