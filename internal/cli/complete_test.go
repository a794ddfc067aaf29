//go:build linux

package cli

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spoor-project/spoor/internal/nstest"
)

// TestCompletions presses TAB in all shells.
func TestCompletions(t *testing.T) {
	dir := filepath.Dir(nstest.BuildCommand(t, "./cmd/spoor"))
	scripts := map[string]string{"bash": "spoor.bash", "zsh": "_spoor", "fish": "spoor.fish"}
	for _, shell := range nstest.Shells {
		t.Run(shell, func(t *testing.T) {
			t.Parallel()
			for _, c := range []struct{ line, want string }{
				{"spoor li", "list"},
				{"spoor help q", "query"},
				{"spoor list --so", "--sort"},
				{"spoor list --sort ti", "timeout"},
				{"spoor list --output js", "json jsonl"},
				{"spoor watch -o js", "json jsonl"},
				{"spoor list --columns src,ds", "src,dst"},
				{"spoor count --by src,dp", "src,dport"},
				{"spoor top --by se", "service"},
				{"spoor list tcp and dpo", "dport"},
				{"spoor list state syn_", "syn_recv syn_sent syn_sent2"},
				{"spoor delete not ass", "assured"},
				{"spoor update --keep-session n", "no"},
				{"spoor serve --top nat-s", "nat-src="},
				{"spoor serve --events of", "off"},
				{"spoor guard re", "replay"},
				{"spoor guard --enf", "--enforce"},
				{"spoor frobnicate ", ""},
			} {
				var got []string
				for line := range strings.Lines(nstest.Complete(t, shell, filepath.Join("../../packaging/completions", scripts[shell]), c.line, dir)) {
					word, _, _ := strings.Cut(strings.TrimSpace(line), "\t")
					if word != "" && !slices.Contains(got, word) {
						got = append(got, word)
					}
				}
				slices.Sort(got)
				if g := strings.Join(got, " "); g != c.want {
					t.Errorf("%q: %s, want %s", c.line, g, c.want)
				}
			}
		})
	}
}

// TestEveryOptionCompletes: no option is unknown to the completion, and every value that is offered is accepted.
func TestEveryOptionCompletes(t *testing.T) {
	for _, cmd := range commands() {
		offered := candidates([]string{cmd.name}, "-")
		for _, o := range cmd.all() {
			if !slices.Contains(offered, "--"+o.name) {
				t.Errorf("%s --%s is not offered", cmd.name, o.name)
			}
		}
	}
	for _, name := range optionValues(&listCommand, "columns") {
		if _, err := columnNamed(name); err != nil && name != "flows" {
			t.Errorf("column %s: %v", name, err)
		}
	}
}
