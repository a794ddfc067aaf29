package metrics

import (
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/spoor-project/spoor/internal/guard"
)

// TestGuardExpositionIsAsRecorded: names, types and labels are an interface.
func TestGuardExpositionIsAsRecorded(t *testing.T) {
	s := GuardState{
		Figures: guard.Figures{Events: 1000, Skipped: 20, Lost: 3, Readings: 4, Evicted: 5, Flows: 600, Sources: 70, Services: 8, Destinations: 9, Sampling: 4},
		Ongoing: map[guard.Kind]int{guard.PortScan: 2},
		Actions: map[GuardAction]uint64{{guard.Block, "done"}: 3, {guard.Post, "failed"}: 1},
		Lag:     250 * time.Millisecond,
	}
	s.Figures.Found[guard.PortScan] = 12
	text := exposition(t, guardCollector{func() GuardState { return s }})
	got := regexp.MustCompile(`(?m)^spoor_build_info.*\n`).ReplaceAllString(text, "")
	const name = "testdata/guard.txt"
	if *update {
		if err := os.WriteFile(name, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s\nrecorded:\n%s", got, want)
	}
	for _, line := range []string{
		`spoor_guard_findings_total{kind="port-scan"} 12`, `spoor_guard_findings_total{kind="upload"} 0`, `spoor_guard_ongoing{kind="port-scan"} 2`,
		`spoor_guard_actions_total{response="block",result="done"} 3`, `spoor_guard_actions_total{response="run",result="held"} 0`, `spoor_guard_lag_seconds 0.25`,
	} {
		if !strings.Contains(got, "\n"+line+"\n") {
			t.Errorf("no %s", line)
		}
	}
}

// TestGuardThatHasSeenNothing: every series is there from the beginning, and nothing is sampled.
func TestGuardThatHasSeenNothing(t *testing.T) {
	text := exposition(t, guardCollector{func() GuardState { return GuardState{} }})
	for _, row := range guardRows {
		if !strings.Contains(text, "\n"+row.name) {
			t.Errorf("no %s", row.name)
		}
	}
	if !strings.Contains(text, "\nspoor_guard_sampling 1\n") {
		t.Error(text)
	}
}
