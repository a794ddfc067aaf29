package render

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/spoor-project/spoor/flow"
)

// record appends one record of arbitrary content, of a kind that data chooses.
func record(p *Printer, b []byte, s *source) []byte {
	event := s.u8()%2 == 0
	switch {
	case p.subject == Expects && event:
		e := s.expectEvent()
		return p.AppendExpectEvent(b, &e, now)
	case p.subject == Expects:
		x := s.expect()
		return p.AppendExpect(b, &x, now)
	case event:
		e := s.event()
		return p.AppendEvent(b, &e, s.str(), now)
	}
	f := s.flow()
	return p.AppendFlow(b, &f, now)
}

// FuzzPrinter states what holds for any flow and any style: nothing panics, JSON is
// JSON, CSV is CSV, and both say the same.
func FuzzPrinter(f *testing.F) {
	r := rand.NewChaCha8([32]byte{1})
	for n := range 40 {
		seed := make([]byte, n*20)
		r.Read(seed)
		f.Add(seed)
	}
	labels := labelMap(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, subject := range []Subject{Flows, Expects} {
			out := map[Format]string{}
			for _, format := range Formats() {
				s := &source{data}
				p := NewPrinter(subject, s.style(format, labels))
				b := []byte("kept")
				for range 2 {
					b = record(p, b, s)
				}
				b = p.AppendEnd(b)
				rest, ok := bytes.CutPrefix(b, []byte("kept"))
				if !ok {
					t.Fatalf("%v overwrote the caller's buffer: %q", format, b)
				}
				out[format] = string(rest)
			}
			compareFormats(t, out)
		}
	})
}

func compareFormats(t *testing.T, out map[Format]string) {
	t.Helper()
	if !json.Valid([]byte(out[JSON])) || !utf8.ValidString(out[JSON]) {
		t.Fatalf("not JSON: %s", out[JSON])
	}
	var objects, lines []any
	if err := json.Unmarshal([]byte(out[JSON]), &objects); err != nil {
		t.Fatalf("%v: %s", err, out[JSON])
	}
	for line := range strings.Lines(out[JSONL]) {
		lines = append(lines, decode(t, line))
	}
	if len(objects) != len(lines) {
		t.Errorf("JSON has %d records, JSONL %d", len(objects), len(lines))
	}
	rows, err := csv.NewReader(strings.NewReader(out[CSV])).ReadAll()
	if err != nil {
		t.Fatalf("not CSV: %v: %s", err, out[CSV])
	}
	if len(rows) != 1+len(lines) {
		t.Fatalf("CSV has %d rows, want one and %d records", len(rows), len(lines))
	}
	for i, row := range rows[1:] {
		cells := map[string]string{}
		for j, name := range rows[0] {
			if row[j] != "" {
				cells[name] = row[j]
			}
		}
		if want := flatten("", lines[i]); !maps.Equal(cells, want) {
			t.Errorf("CSV and JSON differ:\n csv %v\njson %v", cells, want)
		}
	}
}

// decode parses JSON and keeps the digits of numbers.
func decode(t *testing.T, text string) any {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return v
}

// flatten returns the columns that a JSON value stands for. Empty ones are left out.
func flatten(name string, v any) map[string]string {
	cells := map[string]string{}
	switch v := v.(type) {
	case map[string]any:
		for key, member := range v {
			if name != "" {
				key = name + "_" + key
			}
			maps.Copy(cells, flatten(key, member))
		}
	case []any:
		var elements []string
		for _, e := range v {
			elements = append(elements, fmt.Sprint(e))
		}
		cells[name] = strings.Join(elements, "|")
	case string:
		cells[name] = strings.ReplaceAll(v, "\r\n", "\n") // as encoding/csv reads it
	case json.Number:
		cells[name] = v.String()
	default:
		cells[name] = fmt.Sprintf("unexpected %T", v)
	}
	maps.DeleteFunc(cells, func(_, cell string) bool { return cell == "" })
	return cells
}

// TestEveryColumnHasAMember fails for a column that no record fills.
func TestEveryColumnHasAMember(t *testing.T) {
	labels := labelMap(t)
	for _, subject := range []Subject{Flows, Expects} {
		filled := map[string]bool{}
		r := rand.NewChaCha8([32]byte{2})
		for range 3000 {
			data := make([]byte, 600)
			r.Read(data)
			p := NewPrinter(subject, &Style{Format: JSONL, Labels: labels})
			for name := range flatten("", decode(t, string(record(p, nil, &source{data})))) {
				filled[name] = true
			}
		}
		header, _, _ := strings.Cut(string(NewPrinter(subject, &Style{Format: CSV}).AppendEnd(nil)), "\n")
		for _, name := range strings.Split(header, ",") {
			if !filled[name] {
				t.Errorf("no record has member %q", name)
			}
			delete(filled, name)
		}
		if len(filled) != 0 {
			t.Errorf("members without a column: %v", slices.Sorted(maps.Keys(filled)))
		}
	}
}

// TestEveryMemberIsDocumented compares docs/output.md with the columns, and its
// examples with what was recorded.
func TestEveryMemberIsDocumented(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "output.md"))
	if err != nil {
		t.Fatal(err)
	}
	text, _, _ = bytes.Cut(text, []byte("\n## nfct\n")) // whose own test is beside it
	nested := []string{"orig_", "reply_", "master_", "tuple_", "mask_", "nat_", "dccp_", "synproxy_", "seqadj_"}
	for _, column := range strings.Split(flowColumns+","+expectColumns+",count,cpu", ",") {
		name := column
		for _, prefix := range nested {
			name = strings.TrimPrefix(name, prefix)
		}
		if !bytes.Contains(text, []byte("`"+name+"`")) && !bytes.Contains(text, []byte(`{"`+name+`":`)) {
			t.Errorf("docs/output.md does not describe %q", column)
		}
	}

	recorded := map[string]bool{}
	files, _ := filepath.Glob(filepath.Join("testdata", "*.txtar"))
	for _, file := range files {
		for line := range strings.Lines(readSections(t, file)["jsonl"]) {
			recorded[line] = true
		}
	}
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "{") && !recorded[line] {
			t.Errorf("docs/output.md shows what was never printed: %s", line)
		}
	}
}

// TestAppendingAllocatesNothing also holds for a value that lives on the caller's
// stack, as the loop variable of an iterator does.
func TestAppendingAllocatesNothing(t *testing.T) {
	labels := labelMap(t)
	f, e, x := fullFlow(), eventCases["destroy"], fullExpect()
	e.Flow.SecCtx = "\xff\n\"é,"
	cpu := statsCases["statistics"][0]
	buf := make([]byte, 0, 1<<16)
	for _, format := range Formats() {
		style := Style{Format: format, Labels: labels, Extended: true, ID: true, KernelTime: true, Timestamp: true}
		flows, expects := NewPrinter(Flows, &style), NewPrinter(Expects, &style)
		stats, counts := NewPrinter(Statistics, &style), NewPrinter(Counts, &style)
		for what, run := range map[string]func(){
			"flow":        func() { local := f; buf = flows.AppendFlow(buf[:0], &local, now) },
			"event":       func() { local := e; buf = flows.AppendEvent(buf[:0], &local, "program", now) },
			"expectation": func() { local := x; buf = expects.AppendExpect(buf[:0], &local, now) },
			"expectation event": func() {
				local := flow.ExpectEvent{Type: flow.New, Expect: x}
				buf = expects.AppendExpectEvent(buf[:0], &local, now)
			},
			"statistics": func() { local := cpu; buf = stats.AppendStats(buf[:0], &local) },
			"count":      func() { buf = counts.AppendCount(buf[:0], 5) },
		} {
			if n := testing.AllocsPerRun(100, run); n != 0 {
				t.Errorf("%v: %v allocations for each %s, want 0", format, n, what)
			}
		}
	}
}

func TestHostileNamesAreEscaped(t *testing.T) {
	f := with(newFlow(flow.UDP, 10, 20), func(f *flow.Flow) {
		f.Has = flow.HasHelper | flow.HasSecCtx
		f.Helper, f.SecCtx = "a\"b\\c,\t\x00\x7f", "\xff<é>\u2028\xc3,\n"
	})
	tests := []struct {
		format       Format
		helper, sctx string
	}{
		{JSONL, `"helper":"a\"b\\c,\u0009\u0000\u007f"`, "\"secctx\":\"\\ufffd<é>\u2028\\ufffd,\\u000a\""},
		{CSV, "\"a\"\"b\\c,\t\x00\x7f\"", "\"\ufffd<é>\u2028\ufffd,\n\""},
	}
	for _, tt := range tests {
		got := string(NewPrinter(Flows, &Style{Format: tt.format}).AppendFlow(nil, &f, now))
		if !strings.Contains(got, tt.helper) || !strings.Contains(got, tt.sctx) {
			t.Errorf("%v: got %q, want %q and %q in it", tt.format, got, tt.helper, tt.sctx)
		}
	}
}

// TestTimesSortAsText: UTC, and the same number of digits for all.
func TestTimesSortAsText(t *testing.T) {
	zone := time.FixedZone("far", 5*3600)
	times := []time.Time{time.Unix(0, 0), time.Unix(0, 1), time.Unix(1, 0), now, now.Add(time.Microsecond).In(zone)}
	var last string
	for _, at := range times {
		text := string(appendTime(nil, at))
		if text <= last {
			t.Errorf("%v is written %q, which does not sort after %q", at, text, last)
		}
		if parsed, err := time.Parse(time.RFC3339Nano, text); err != nil || !parsed.Equal(at) {
			t.Errorf("%q parses to %v, %v, want %v", text, parsed, err, at)
		}
		last = text
	}
}

func TestTextTimesAreInTheZoneOfNow(t *testing.T) {
	f := with(newFlow(flow.UDP, 1, 2), func(f *flow.Flow) { f.Has |= flow.HasStart })
	p := NewPrinter(Flows, &Style{KernelTime: true})
	got := string(p.AppendFlow(nil, &f, now.In(time.FixedZone("far", 5*3600))))
	if want := "[start=Thu Jan  1 05:00:00 1970]"; !strings.Contains(got, want) {
		t.Errorf("got %q, want %q in it", got, want)
	}
}

func TestFormatsAreParsedByName(t *testing.T) {
	for _, f := range Formats() {
		if got, ok := ParseFormat(f.String()); got != f || !ok {
			t.Errorf("ParseFormat(%q) = %v, %v", f, got, ok)
		}
	}
	if f, ok := ParseFormat("yaml"); ok {
		t.Errorf("ParseFormat(yaml) = %v", f)
	}
	if got := Format(99).String(); got != "unknown" {
		t.Errorf("Format(99) = %q", got)
	}
}

func TestPrinterWithoutStyleIsText(t *testing.T) {
	f := newFlow(flow.UDP, 1, 2)
	if got := string(NewPrinter(Flows, nil).AppendFlow(nil, &f, now)); !strings.HasPrefix(got, "udp      17 500 ") {
		t.Errorf("got %q", got)
	}
}

// BenchmarkAppendFlow/<format> prints TCP flows as the kernel dumps them. No two in a row are alike: of the same
// flow again and again a processor would foresee every branch.
func BenchmarkAppendFlow(b *testing.B) {
	four, six := make([]flow.Flow, 1024), make([]flow.Flow, 1024)
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range four {
		addr := netip.AddrFrom4([4]byte{10, byte(rng.Uint32()), byte(rng.Uint32()), byte(rng.Uint32())})
		four[i] = tcpFlow()
		four[i].Timeout = time.Duration(rng.IntN(432_000)) * time.Second
		four[i].Orig.Src, four[i].Orig.SrcPort = addr, uint16(1024+rng.IntN(64512))
		four[i].Orig.Dst, four[i].Orig.DstPort = netip.AddrFrom4([4]byte{198, 51, 100, byte(rng.Uint32())}), 443
		four[i].Reply, _ = four[i].Orig.Inverse()
		six[i] = newFlow6(flow.TCP, fmt.Sprintf("2001:db8::%x", rng.IntN(1<<16)), "2001:db8:0:1:1:1:1:1", four[i].Orig.SrcPort, 443)
	}
	for _, format := range Formats() {
		b.Run(format.String(), func(b *testing.B) { benchmark(b, format, four) })
	}
	b.Run("text-ipv6", func(b *testing.B) { benchmark(b, Text, six) })
}

func benchmark(b *testing.B, format Format, flows []flow.Flow) {
	p := NewPrinter(Flows, &Style{Format: format})
	buf := make([]byte, 0, 4096)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		buf = p.AppendFlow(buf[:0], &flows[i%len(flows)], now)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "flows/s")
}
