package cli

import (
	"os"
	"slices"
	"strings"

	"github.com/spoor-project/spoor/filter"
	"github.com/spoor-project/spoor/internal/doctor"
	"github.com/spoor-project/spoor/internal/metrics"
	"github.com/spoor-project/spoor/internal/render"
	"github.com/spoor-project/spoor/internal/tui"
)

// completeWord is the hidden command that the completions of the shells call, with the words of the line behind it. It prints
// what the last one may become. The scripts know nothing themselves, so that they never grow old.
const completeWord = "__complete"

func (c *call) complete(words []string) error {
	if len(words) == 0 {
		return nil
	}
	last := words[len(words)-1]
	for _, candidate := range candidates(words[:len(words)-1], last) {
		if strings.HasPrefix(candidate, last) {
			c.out.WriteString(candidate + "\n")
		}
	}
	return nil
}

// candidates are what may stand behind the words before.
func candidates(before []string, last string) []string {
	var verbs []string
	for _, cmd := range commands() {
		verbs = append(verbs, cmd.name)
	}
	if len(before) == 0 {
		return append(verbs, "help", "version")
	}
	if before[0] == "help" {
		return append(verbs, "query")
	}
	i := slices.IndexFunc(commands(), func(cmd *command) bool { return cmd.name == before[0] })
	if i < 0 {
		return nil
	}
	cmd := commands()[i]
	if strings.HasPrefix(last, "-") {
		var names []string
		for _, o := range cmd.all() {
			names = append(names, "--"+o.name)
		}
		return names
	}
	previous := before[len(before)-1]
	for _, o := range cmd.all() {
		if o.value != "" && (previous == "--"+o.name || o.letter != 0 && previous == "-"+string(o.letter)) {
			return listed(optionValues(cmd, o.name), last)
		}
	}
	if cmd.name == "guard" && len(before) == 1 {
		return guardWordNames()
	}
	if !strings.Contains(cmd.words, "QUERY") {
		return nil
	}
	if values := filter.ValuesOf(previous); values != nil {
		return listed(values, last)
	}
	return filter.Words()
}

// optionValues are the values of an option that have names.
func optionValues(cmd *command, name string) []string {
	switch cmd.name + " " + name {
	case "top by":
		return tui.GroupingNames()
	case "top sort":
		return tui.SortNames()
	case "watch output":
		return []string{"text", "json", "jsonl"}
	}
	switch name {
	case "columns", "sort":
		return append(strings.Split(columnNames(), ","), "flows")
	case "by":
		return tallyFields()
	case "output":
		all := []string{"table"}
		for _, f := range render.Formats() {
			all = append(all, f.String())
		}
		return all
	case "check":
		return doctor.Names()
	case "keep-session":
		return []string{"yes", "no", "auto"}
	case "top":
		if cmd.name == "serve" {
			var all []string
			for _, f := range tallyFields() {
				all = append(all, f+"=")
			}
			return all
		}
	case "events":
		return []string{"on", "off"}
	case "log-format":
		return []string{"text", "json"}
	case "netns":
		entries, _ := os.ReadDir("/run/netns")
		var all []string
		for _, e := range entries {
			all = append(all, e.Name())
		}
		if cmd.name == "serve" {
			all = append(all, metrics.All)
		}
		return all
	}
	return nil
}

// listed puts what has been written of a list before each value.
func listed(values []string, last string) []string {
	begun := last[:strings.LastIndexByte(last, ',')+1]
	all := make([]string, len(values))
	for i, v := range values {
		all[i] = begun + v
	}
	return all
}
