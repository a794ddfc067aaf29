package cli

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spoor-project/spoor/internal/doctor"
	"github.com/spoor-project/spoor/internal/render"
)

var doctorCommand = command{
	name: "doctor", summary: "explain the health of connection tracking",
	about: `Looks at the table, its settings and its statistics twice, and says what is
wrong, what it means, and the commands that mend it. The checks:
` + wrapped(doctor.Names(), 78) + `
Exit: 1 if something is bad; --nagios: 0 ok, 1 warning, 2 critical, 3 unknown.`,
	options: []option{
		{"check", 'c', "NAMES", "these checks only: --check usage,drops"},
		{"interval", 'i', "TIME", "from one look to the other: 1s; 0 looks once"},
		{"fix", 0, "", "asks, and changes the settings that are safe to change"},
		{"yes", 'y', "", "with --fix: does not ask"},
		{"verbose", 'v', "", "explains what is well, too"},
		{"nagios", 0, "", "as a plugin of Nagios: its format and exit codes"},
		{"json", 0, "", "as a JSON object"},
	},
	run: diagnose,
}

// diagnosis is what doctor has to say.
type diagnosis struct {
	Verdict doctor.Level     `json:"verdict"`
	Checks  []doctor.Verdict `json:"checks"`
	Changes []settingChange  `json:"changes,omitempty"` // by --fix
}

// settingChange is what --fix did.
type settingChange struct {
	Sysctl string `json:"sysctl"`
	From   string `json:"from"`
	To     string `json:"to"`
	Error  string `json:"error,omitempty"` // it could not
}

func diagnose(c *call) error {
	names, interval, err := c.examination()
	if err != nil {
		return err
	}
	host := &doctor.Host{}
	if host.NetNS, err = c.namespace(); err != nil {
		return err
	}
	facts, err := host.Look(c.ctx, interval)
	if err != nil {
		if c.has("nagios") {
			fmt.Fprintf(c.out, "SPOOR UNKNOWN - %s\n", nagiosText(err.Error()))
			return nagiosCode(doctor.Unknown)
		}
		return err
	}
	d := diagnosis{Checks: doctor.Examine(facts, names...)}
	d.Verdict = doctor.Worst(d.Checks)
	if c.has("nagios") {
		c.nagios(&d)
		return nagiosCode(d.Verdict)
	}
	if !c.has("json") {
		c.verdicts(d.Checks)
	}
	if c.has("fix") {
		if err := c.fix(host, facts, &d); err != nil {
			return err
		}
		if err := host.Settings(facts); err != nil {
			return err
		}
		d.Checks = doctor.Examine(facts, names...)
		d.Verdict = doctor.Worst(d.Checks)
	}
	if c.has("json") {
		if err := c.json(&d); err != nil {
			return err
		}
	} else {
		c.tell("%s", summary(d.Checks, c.has("fix")))
	}
	if d.Verdict == doctor.Bad || slices.ContainsFunc(d.Changes, func(s settingChange) bool { return s.Error != "" }) {
		return exitCode(exitFailed)
	}
	return nil
}

// examination reads the options.
func (c *call) examination() (names []string, interval time.Duration, err error) {
	if len(c.words) > 0 {
		return nil, 0, usagef("doctor takes no query: %s", strings.Join(c.words, " "))
	}
	for _, list := range c.given["check"] {
		for name := range strings.SplitSeq(list, ",") {
			if name = strings.TrimSpace(name); !slices.Contains(doctor.Names(), name) {
				return nil, 0, usagef("--check %s: there is no check %q: choose from %s", list, name, strings.Join(doctor.Names(), ","))
			}
			names = append(names, name)
		}
	}
	interval = time.Second
	if c.has("interval") {
		text := c.value("interval", "")
		seconds, err := strconv.ParseUint(text, 10, 31)
		interval = time.Duration(seconds) * time.Second
		if err != nil {
			if interval, err = time.ParseDuration(text); err != nil || interval < 0 || interval > math.MaxInt32*time.Second {
				return nil, 0, usagef("--interval %s: expected a time such as 10, 500ms or 1m", text)
			}
		}
	}
	switch {
	case c.has("yes") && !c.has("fix"):
		return nil, 0, usagef("--yes goes with --fix")
	case c.has("nagios") && (c.has("fix") || c.has("json") || c.has("verbose")):
		return nil, 0, usagef("--nagios goes with none of --fix, --json and --verbose")
	case c.has("fix") && c.has("json") && !c.has("yes"):
		return nil, 0, usagef("--json asks nobody: add --yes")
	case c.has("fix") && !c.has("yes") && !c.env.Interactive:
		return nil, 0, usagef("nobody can be asked here: add --yes; without --fix doctor only says what it would do")
	}
	return names, interval, nil
}

// Columns of the report.
const (
	levelColumn = 6
	checkColumn = 13
	reportWidth = 80
)

var levelWords = map[doctor.Level]string{doctor.Unknown: "?", doctor.OK: "ok", doctor.Warn: "WARN", doctor.Bad: "BAD"}

// verdicts writes a line for each check, and more for those that have found something.
func (c *call) verdicts(all []doctor.Verdict) {
	for _, v := range all {
		fmt.Fprintf(c.out, "%-*s%-*s", levelColumn, levelWords[v.Level], checkColumn, v.Check)
		c.paragraph(v.Found, 0)
		sick := v.Level == doctor.Warn || v.Level == doctor.Bad
		if v.Means != "" && (sick || c.has("verbose")) {
			c.paragraph(v.Means, levelColumn+checkColumn)
		}
		for _, r := range v.Remedies {
			if !sick && !c.has("verbose") {
				continue
			}
			fmt.Fprintf(c.out, "%*s%s\n", levelColumn+checkColumn, "$ ", r.Command)
			switch {
			case r.Safe && r.Note == "":
				c.paragraph("(safe: --fix does it)", levelColumn+checkColumn)
			case r.Safe:
				c.paragraph("(safe: --fix does it; "+r.Note+")", levelColumn+checkColumn)
			case r.Note != "":
				c.paragraph("("+r.Note+")", levelColumn+checkColumn)
			}
		}
	}
}

// paragraph writes a text in the last column. The first line has been begun unless first is larger than 0.
func (c *call) paragraph(text string, first int) {
	indent := strings.Repeat(" ", levelColumn+checkColumn)
	for i, line := range strings.Split(wrapped(strings.Fields(text), reportWidth-len(indent)), "\n") {
		if i > 0 || first > 0 {
			c.out.WriteString(indent)
		}
		c.out.WriteString(line + "\n")
	}
}

// summary counts the verdicts.
func summary(all []doctor.Verdict, fixed bool) string {
	count := make(map[doctor.Level]int)
	for _, v := range all {
		count[v.Level]++
	}
	var parts []string
	for _, l := range []doctor.Level{doctor.Bad, doctor.Warn, doctor.Unknown, doctor.OK} {
		if count[l] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", count[l], l))
		}
	}
	text := strings.Join(parts, ", ")
	if safe := len(safeSettings(all)); safe > 0 && !fixed {
		text += fmt.Sprintf("; --fix changes %s", render.Plural(safe, "setting"))
	}
	return text
}

// safeSettings are what --fix changes, each variable once.
func safeSettings(all []doctor.Verdict) (settings []doctor.Setting) {
	for _, v := range all {
		for _, r := range v.Remedies {
			if (v.Level != doctor.Warn && v.Level != doctor.Bad) || !r.Safe || r.Set == nil ||
				slices.ContainsFunc(settings, func(s doctor.Setting) bool { return s.Sysctl == r.Set.Sysctl }) {
				continue
			}
			settings = append(settings, *r.Set)
		}
	}
	return settings
}

// fix changes what is safe to change, after asking.
func (c *call) fix(host *doctor.Host, facts *doctor.Facts, d *diagnosis) error {
	settings := safeSettings(d.Checks)
	if len(settings) == 0 {
		c.tell("there is nothing that is safe to change by itself")
		return nil
	}
	was := func(s *doctor.Setting) string { return strconv.FormatUint(facts.Sysctls[s.Sysctl].Value, 10) }
	if !c.has("yes") {
		for _, s := range settings {
			c.tell("%s = %s becomes %s", s.Sysctl, was(&s), s.Value)
		}
		agreed, err := c.agreed(fmt.Sprintf("Change %s?", render.Plural(len(settings), "setting")))
		if err != nil || !agreed {
			return err
		}
	}
	done := false
	for _, s := range settings {
		change := settingChange{Sysctl: s.Sysctl, From: was(&s), To: s.Value}
		if err := host.Apply(&s); err != nil {
			change.Error = err.Error()
			c.tell("%s: %s", s.Sysctl, explained(err))
		} else {
			done = true
			c.tell("%s = %s, was %s", s.Sysctl, s.Value, change.From)
		}
		d.Changes = append(d.Changes, change)
	}
	if done {
		c.tell("that lasts until the next start: to keep it, put it into a file in /etc/sysctl.d")
	}
	return nil
}

// Exit codes of Nagios plugins.
func nagiosCode(l doctor.Level) error {
	return exitCode(map[doctor.Level]int{doctor.OK: 0, doctor.Warn: 1, doctor.Bad: 2, doctor.Unknown: 3}[l])
}

// nagiosText is a text as a plugin may print it: what is behind a bar would be numbers.
func nagiosText(text string) string {
	return strings.NewReplacer("|", "/", "\n", " ").Replace(text)
}

// nagios writes a line for a monitoring program, with the measures behind a bar, and then one for each check that found
// something.
func (c *call) nagios(d *diagnosis) {
	word := map[doctor.Level]string{doctor.OK: "OK", doctor.Warn: "WARNING", doctor.Bad: "CRITICAL", doctor.Unknown: "UNKNOWN"}
	var worst, lines, numbers []string
	for _, v := range d.Checks {
		for _, m := range v.Measures {
			numbers = append(numbers, performance(&m))
		}
		if v.Level == doctor.OK {
			continue
		}
		text := nagiosText(v.Check + ": " + v.Found)
		if v.Level == d.Verdict {
			worst = append(worst, text)
		}
		lines = append(lines, word[v.Level]+" "+text)
	}
	if len(worst) == 0 {
		worst = append(worst, render.Plural(len(d.Checks), "check")+" found nothing wrong")
	}
	fmt.Fprintf(c.out, "SPOOR %s - %s", word[d.Verdict], strings.Join(worst, "; "))
	if len(numbers) > 0 {
		c.out.WriteString(" | " + strings.Join(numbers, " "))
	}
	c.out.WriteByte('\n')
	for _, line := range lines {
		c.out.WriteString(line + "\n")
	}
}

// performance is a measure as Nagios reads it: name=value[unit];warn;critical;min;max.
func performance(m *doctor.Measure) string {
	number := func(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }
	var limits [4]string
	if m.Max > 0 {
		limits[2] = "0"
	}
	for i, v := range [...]float64{m.Warn, m.Bad, 0, m.Max} {
		if v > 0 {
			limits[i] = number(v)
		}
	}
	return strings.TrimRight(m.Name+"="+number(m.Value)+m.Unit+";"+strings.Join(limits[:], ";"), ";")
}
