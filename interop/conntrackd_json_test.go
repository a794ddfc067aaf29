//go:build linux

package interop_test

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"
)

// jsonFacts are what a text line of a dump tells, taken from the JSON of the same entry; only the original tuple if that is all
// that text has.
func jsonFacts(t *testing.T, line string, onlyOrig bool) string {
	t.Helper()
	var f struct {
		Protonum    int
		State       string
		Orig, Reply map[string]any
		Status      []string
		Mark, Zone  *int
		Helper      string
		Age         *int
	}
	if err := json.Unmarshal([]byte(line), &f); err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	var facts []string
	tuple := func(m map[string]any) {
		for _, name := range []string{"src", "dst", "sport", "dport", "type", "code", "id", "srckey", "dstkey"} {
			if v, ok := m[name]; ok {
				if strings.HasSuffix(name, "key") {
					v = fmt.Sprintf("0x%x", int(v.(float64)))
				}
				facts = append(facts, fmt.Sprintf("%s=%v", name, v))
			}
		}
	}
	facts = append(facts, fmt.Sprint(f.Protonum), f.State)
	tuple(f.Orig)
	status := strings.Join(f.Status, " ")
	if !strings.Contains(status, "SEEN_REPLY") {
		facts = append(facts, "[UNREPLIED]")
	}
	if !onlyOrig {
		tuple(f.Reply)
	}
	if strings.Contains(status, "ASSURED") {
		facts = append(facts, "[ASSURED]")
	}
	if f.Mark != nil {
		facts = append(facts, fmt.Sprintf("mark=%d", *f.Mark))
	}
	if f.Zone != nil {
		facts = append(facts, fmt.Sprintf("zone=%d", *f.Zone))
	}
	if f.Helper != "" {
		facts = append(facts, "helper="+f.Helper)
	}
	return strings.Join(strings.Fields(strings.Join(facts, " ")), " ")
}

var (
	textOnly  = regexp.MustCompile(`^\S+ +| \[(active since|expires in) \d+s\]| use=\d+`)
	textTimer = regexp.MustCompile(`^(\S+ +\d+) \d+ `)
)

// TestConntrackdJSONHasWhatTextHas: of every cache, in every mode, also where the kernel's table stands for a cache.
func TestConntrackdJSONHasWhatTextHas(t *testing.T) {
	t.Parallel()
	our := ourDaemon(t)
	for _, s := range []setup{
		{}, {mode: "ALARM"}, {mode: "NOTRACK", timers: "DisableInternalCache on"},
		{mode: "NOTRACK", timers: "DisableInternalCache on DisableExternalCache on"},
	} {
		t.Run(s.mode+s.timers, func(t *testing.T) {
			t.Parallel()
			p := newPair(t, s, our, our)
			lines, flows := "", 0
			for _, r := range replicatedFlows {
				if r.committed == "" {
					lines += "-I " + r.make + " -t 5000\n"
					flows++
				}
			}
			p.a.load(lines)
			count := func(n *node, dump string) string {
				return fmt.Sprint(strings.Count(n.client(dump), "\n"))
			}
			settles(t, "own flows", fmt.Sprint(flows), func() string { return count(p.a, "-i") })
			external := strings.Contains(s.timers, "DisableExternalCache")
			if !external {
				settles(t, "the peer's flows", fmt.Sprint(flows), func() string { return count(p.b, "-e") })
			}
			for _, d := range []struct {
				n    *node
				dump string
			}{{p.a, "-i"}, {p.b, "-e"}} {
				var text, object strings.Builder
				for line := range strings.Lines(d.n.client(d.dump)) {
					line = textTimer.ReplaceAllString(line, "$1 ") // the timeout, of the kernel's table
					text.WriteString(strings.Join(strings.Fields(textOnly.ReplaceAllString(line, "")), " ") + "\n")
				}
				for line := range strings.Lines(d.n.client(d.dump, "--json")) {
					object.WriteString(jsonFacts(t, line, d.dump == "-e") + "\n")
				}
				if want, got := sortLines(text.String()), sortLines(object.String()); want != got || want == "" && (d.dump == "-i" || !external) {
					t.Errorf("%s: text and JSON differ:\n%s", d.dump, differing(want, got))
				}
			}
		})
	}
}
