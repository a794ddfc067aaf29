package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/spoor-project/spoor/internal/guard"
	"github.com/spoor-project/spoor/internal/guard/duty"
	"github.com/spoor-project/spoor/internal/recording"
	"github.com/spoor-project/spoor/internal/render"
)

var guardCommand = command{
	name: "guard", words: "[WORD]", summary: "see floods and scans, and stop them",
	about: `Watches for what is abnormal and tells it, and what it would do about it; with
--enforce it does. Ends with Ctrl-C; SIGHUP reads the rules again. Words:
rules shows the usual rules, check [FILE] looks at some, setup shows what nft
must be told first, replay FILE judges what spoor watch -o jsonl has recorded,
blocked shows who is, undo ADDR|all lets them in again.`,
	options: []option{
		{"rules", 0, "FILE", "these, instead of /etc/spoor/guard.rules or the usual"},
		{"enforce", 0, "", "carries responses out"},
		{"json", 0, "", "a JSON object a line"},
		{"syslog", 0, "", "tells syslog, too"},
		{"journal", 0, "", "tells systemd's journal, too, with fields"},
		{"webhook", 0, "URL", "sends each finding there, too, as JSON"},
		{"audit", 0, "FILE", "what was done; /var/log/spoor/guard.jsonl if enforced"},
		{"listen", 'l', "ADDR:PORT", "figures for Prometheus; without it none"},
		{"reading", 0, "TIME", "pause between two readings of the table; 1m"},
		{"node", 0, "NAME", "name of this node; the host's"},
		{"pair", 0, "LOCAL,REMOTE", "the other node, to decide with: ADDR:PORT of both"},
		{"pair-key", 0, "FILE", "the secret that both nodes have"},
		{"for", 0, "TIME", "ends after that time"},
	},
	run: runGuard,
}

// guardWord is what may stand behind guard.
type guardWord struct {
	name    string
	words   int // that may follow
	options []string
	run     func(*call) error
}

func guardWords() []guardWord {
	return []guardWord{
		{"rules", 0, nil, guardRules},
		{"check", 1, []string{"rules"}, guardCheck},
		{"setup", 0, nil, guardSetup},
		{"replay", 1, []string{"rules", "json"}, guardReplay},
		{"blocked", 0, []string{"json"}, guardBlocked},
		{"undo", 1, []string{"audit", "node"}, guardUndo},
	}
}

// guardWordNames are for completion.
func guardWordNames() (names []string) {
	for _, w := range guardWords() {
		names = append(names, w.name)
	}
	return names
}

const usualRules = "/etc/spoor/guard.rules"

func runGuard(c *call) error {
	if len(c.words) == 0 {
		return guardWatch(c)
	}
	word := c.words[0]
	all := guardWords()
	i := slices.IndexFunc(all, func(w guardWord) bool { return w.name == word })
	if i < 0 {
		hint := ""
		for _, name := range guardWordNames() {
			if word != "" && (strings.HasPrefix(name, word) || strings.HasPrefix(word, name)) {
				hint = "; did you mean " + name + "?"
			}
		}
		return usagef("guard has no %q: choose from %s, or nothing to watch%s", word, strings.Join(guardWordNames(), ", "), hint)
	}
	c.words = c.words[1:]
	if len(c.words) > all[i].words {
		return usagef("guard %s: unexpected %q", word, c.words[all[i].words])
	}
	for name := range c.given {
		if name != "netns" && !slices.Contains(all[i].options, name) {
			return usagef("guard %s does not take --%s", word, name)
		}
	}
	return all[i].run(c)
}

// newEngine makes an engine. Nearly all of the memory is what it remembers, and stays, so the collector need not wait until there is as much again.
func (c *call) newEngine(rules *guard.Rules) *guard.Engine {
	if c.env.Getenv("GOGC") == "" {
		debug.SetGCPercent(20)
	}
	return guard.New(rules)
}

func guardRules(c *call) error {
	_, err := c.out.WriteString(guard.DefaultRules)
	return err
}

// readRules reads the rules that --rules names, or those that are usual. from is the file, "" if they are the built-in ones.
func (c *call) readRules() (rules *guard.Rules, from string, err error) {
	text, from := guard.DefaultRules, c.value("rules", "")
	if !c.has("rules") {
		if _, err := os.Stat(usualRules); !errors.Is(err, fs.ErrNotExist) {
			from = usualRules
		}
	}
	if from != "" {
		// Rules of more than that would have too many lines anyway.
		f, err := os.Open(from)
		if err != nil {
			return nil, from, err
		}
		defer f.Close()
		b, err := io.ReadAll(io.LimitReader(f, mostRules))
		if err != nil {
			return nil, from, err
		}
		if len(b) == mostRules {
			return nil, from, fmt.Errorf("%s: larger than %d bytes", from, mostRules-1)
		}
		text = string(b)
	}
	rules, err = guard.ParseRules(text)
	return rules, from, err
}

const mostRules = 4 << 20

// placed are the lines of an error of rules, each with its place.
func placed(from string, err error) []string {
	if from == "" {
		from = "built-in rules"
	}
	var problems guard.Problems
	if !errors.As(err, &problems) {
		return []string{err.Error()}
	}
	var lines []string
	for _, p := range problems {
		lines = append(lines, fmt.Sprintf("%s:%d:%d: %s", from, p.Line, p.Column, p.Text))
	}
	return lines
}

// goodRules reads the rules; problems are told.
func (c *call) goodRules() (*guard.Rules, error) {
	rules, from, err := c.readRules()
	if err == nil {
		return rules, nil
	}
	lines := placed(from, err)
	for _, line := range lines[:len(lines)-1] {
		c.tell("%s", line)
	}
	return nil, errors.New(lines[len(lines)-1])
}

func guardCheck(c *call) error {
	if len(c.words) > 0 {
		if c.has("rules") {
			return usagef("guard check: one file at a time")
		}
		c.given["rules"] = []string{c.words[0]}
	}
	rules, from, err := c.readRules()
	if problems := (guard.Problems)(nil); errors.As(err, &problems) {
		for _, line := range placed(from, err) {
			c.out.WriteString(line + "\n")
		}
		return exitCode(exitFailed)
	}
	if err != nil {
		return err
	}
	_, err = c.out.WriteString(rules.String())
	return err
}

// guardReplay judges a recording.
func guardReplay(c *call) error {
	if len(c.words) == 0 {
		return usagef("guard replay: which recording? A file, or - for standard input")
	}
	rules, err := c.goodRules()
	if err != nil {
		return err
	}
	in := c.env.Stdin
	if c.words[0] != "-" {
		f, err := os.Open(c.words[0])
		if err != nil {
			return err
		}
		defer f.Close()
		in = f
	}
	engine := c.newEngine(rules)
	brakes := guard.NewBrakes(rules, guard.BrakeOptions{})
	var sink duty.Sink = &duty.Text{To: c.out}
	if c.has("json") {
		sink = &duty.JSON{To: c.out}
	}
	found := func(now time.Time, f *guard.Finding) {
		err = errors.Join(err, sink.Finding(f))
		for _, a := range brakes.Decide(now, f) {
			err = errors.Join(err, sink.Outcome(&duty.Outcome{Action: a, Time: now}))
		}
		brakes.Announcements()
	}
	told := 0
	sum, failed := duty.Replay(recording.NewReader(&interruptible{c.ctx, in}), engine, found, func(err error) {
		if told++; told <= mostBadLines {
			c.tell("%s: %v", c.words[0], err)
		}
	})
	if told > mostBadLines {
		c.tell("%d more lines of %s could not be read", told-mostBadLines, c.words[0])
	}
	if err = errors.Join(err, failed); err != nil {
		return err
	}
	if sum.Bad > 0 && sum.Events+sum.Present == 0 {
		return fmt.Errorf("%s is no recording of spoor watch -o jsonl", c.words[0])
	}
	return c.replayed(&sum, engine.Figures())
}

// mostBadLines is how many lines that cannot be read are told of.
const mostBadLines = 5

// interruptible is a reader that ends when ctx does.
type interruptible struct {
	ctx context.Context
	io.Reader
}

func (r *interruptible) Read(b []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.Reader.Read(b)
}

// replayed writes what a replay has gone through.
func (c *call) replayed(sum *duty.Replayed, figures guard.Figures) error {
	span, rate := sum.To.Sub(sum.From), 0.0
	if s := sum.Took.Seconds(); s > 0 {
		rate = float64(sum.Events+sum.Present) / s
	}
	if c.has("json") {
		kinds := make(map[string]uint64)
		for k, n := range figures.Found {
			if n > 0 {
				kinds[guard.Kind(k).String()] = n
			}
		}
		type object = map[string]any
		o := object{"events": sum.Events, "present": sum.Present, "lost": sum.Lost, "bad_lines": sum.Bad, "seconds": span.Seconds(),
			"took": sum.Took.Seconds(), "events_per_second": rate, "findings": kinds, "evicted": figures.Evicted}
		if !sum.From.IsZero() {
			o["from"], o["to"] = sum.From.UTC().Format(time.RFC3339Nano), sum.To.UTC().Format(time.RFC3339Nano)
		}
		return c.json(object{"type": "summary", "summary": o})
	}
	var kinds []string
	for k, n := range figures.Found {
		if n > 0 {
			kinds = append(kinds, fmt.Sprintf("%d %s", n, guard.Kind(k)))
		}
	}
	if kinds == nil {
		kinds = []string{"nothing"}
	}
	fmt.Fprintf(c.out, "%s events and %s flows of before in %s, judged in %s (%s/s)\nfound: %s\n", render.Grouped(sum.Events), render.Grouped(sum.Present),
		render.AppendSpan(nil, span), sum.Took.Round(time.Millisecond), render.AppendShort(nil, uint64(rate)), strings.Join(kinds, ", "))
	if sum.Lost > 0 {
		fmt.Fprintf(c.out, "the recording lacks %s\n", render.Plural(sum.Lost, "event"))
	}
	if figures.Evicted > 0 {
		fmt.Fprintf(c.out, "memory was full: %s places were given to others\n", render.Grouped(figures.Evicted))
	}
	return nil
}
