//go:build linux

package metrics

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/spoor-project/spoor/internal/nstest"
)

const packaging = "../../packaging/"

func slurp(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(packaging + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// dashboard is what the tests look at of a dashboard of Grafana.
type dashboard struct {
	Panels []struct {
		ID      int
		Type    string
		Title   string
		GridPos struct{ X, Y, W, H int }
		Targets []struct{ Expr string }
	}
	Templating struct {
		List []struct{ Name, Definition string }
	}
}

func readDashboard(t *testing.T) (d dashboard) {
	t.Helper()
	if err := json.Unmarshal([]byte(slurp(t, "grafana/conntrack.json")), &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// TestWhatIsAskedForExists: no dashboard or rule asks for a metric that nobody exports.
func TestWhatIsAskedForExists(t *testing.T) {
	known := map[string]bool{"up": true, "process_resident_memory_bytes": true, "process_cpu_seconds_total": true,
		"spoor_build_info": true, "spoor_conntrack_buckets": true, "spoor_conntrack_namespaces": true}
	for _, s := range rows {
		known[s.name] = true
	}
	for _, s := range guardRows {
		known[s.name] = true
	}
	asked := make(map[string]bool)
	metric := regexp.MustCompile(`\b(?:spoor|node|process)_[a-z_]+`)
	for _, m := range metric.FindAllString(slurp(t, "prometheus/alerts.yml")+slurp(t, "prometheus/alerts_test.yml"), -1) {
		asked[m] = true
	}
	d := readDashboard(t)
	for _, p := range d.Panels {
		for _, target := range p.Targets {
			for _, m := range metric.FindAllString(target.Expr, -1) {
				asked[m] = true
			}
		}
	}
	for _, v := range d.Templating.List {
		for _, m := range metric.FindAllString(v.Definition, -1) {
			asked[m] = true
		}
	}
	if len(asked) < 20 {
		t.Errorf("only %d metrics found", len(asked))
	}
	for m := range asked {
		if !known[m] {
			t.Errorf("%s does not exist", m)
		}
	}
}

func promtool(t *testing.T, args ...string) {
	t.Helper()
	nstest.NeedTool(t, "promtool")
	if out, err := exec.Command("promtool", args...).CombinedOutput(); err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func TestAlertRules(t *testing.T) {
	promtool(t, "check", "rules", packaging+"prometheus/alerts.yml")
	promtool(t, "check", "config", packaging+"prometheus/scrape.yml")
	promtool(t, "test", "rules", packaging+"prometheus/alerts_test.yml")
	tests := slurp(t, "prometheus/alerts_test.yml")
	for _, m := range regexp.MustCompile(`(?m)- alert: (\w+)$`).FindAllStringSubmatch(slurp(t, "prometheus/alerts.yml"), -1) {
		if !regexp.MustCompile(`alertname: ` + m[1] + `\n\s+exp_alerts:\n`).MatchString(tests) {
			t.Errorf("no test in which %s fires", m[1])
		}
		if !strings.Contains(tests, "55m, alertname: "+m[1]+", exp_alerts: []") {
			t.Errorf("no test that %s is quiet on a quiet firewall", m[1])
		}
	}
}

// TestDashboard: every expression is one that Prometheus understands, and no panel lies on another.
func TestDashboard(t *testing.T) {
	d := readDashboard(t)
	variables := strings.NewReplacer("$__rate_interval", "5m", "$__range", "6h", "$instance", ".*", "$netns", ".*", "$job", "spoor")
	rules := "groups:\n  - name: dashboard\n    rules:\n"
	ids, taken := map[int]bool{}, map[[2]int]string{}
	for _, p := range d.Panels {
		if ids[p.ID] || p.Title == "" || p.Type != "row" && len(p.Targets) == 0 {
			t.Errorf("panel %d %q: twice, or nothing in it", p.ID, p.Title)
		}
		ids[p.ID] = true
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other := taken[[2]int{x, y}]; other != "" || x >= 24 {
					t.Fatalf("%q lies on %q, or beside the page", p.Title, other)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
		for i, target := range p.Targets {
			rules += "      - record: panel_" + strconv.Itoa(p.ID) + "_" + strconv.Itoa(i) + "\n        expr: " + strconv.Quote(variables.Replace(target.Expr)) + "\n"
			if strings.Contains(variables.Replace(target.Expr), "$") {
				t.Errorf("%s: a variable that is not known", target.Expr)
			}
		}
	}
	file := filepath.Join(t.TempDir(), "dashboard.yml")
	if err := os.WriteFile(file, []byte(rules), 0o644); err != nil {
		t.Fatal(err)
	}
	promtool(t, "check", "rules", file)
}
