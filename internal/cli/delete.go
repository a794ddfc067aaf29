package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spoor-project/spoor/conntrack"
	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/render"
)

var deleteCommand = command{
	name: "delete", words: "QUERY", summary: "delete flows, after showing which",
	about: `Deletes the flows that the query selects; any selects all. Without --yes it
shows what it would do and asks. The connection you are logged in by stays.
What is deleted is written to a file first, which conntrack -R makes again.`,
	options: append([]option{
		{"limit", 'n', "N", "no more than N flows"},
		{"undo", 0, "FILE", "that file; - is none"},
	}, cautious...),
	run: func(c *call) error { return change(c, "delete", "deleted", deleteAll) },
}

// cautious are the options of what changes the table.
var cautious = []option{
	{"yes", 'y', "", "do not ask"},
	{"dry-run", 0, "", "show what would be done, and do nothing"},
	{"keep-session", 0, "HOW", "yes, no, or auto: if it is found"},
	{"quiet", 'q', "", "show no flows"},
	{"json", 0, "", "show no flows, and what was done as a JSON object"},
}

// victim is a flow that is to be changed, in little memory.
type victim struct {
	key      flow.Key
	id       uint32
	expected bool // by an expectation
}

func (v *victim) flow() flow.Flow {
	return flow.Flow{Has: flow.HasID, Orig: v.key.Tuple(), Zone: v.key.Zone, ID: v.id}
}

// preview is how many flows are shown before it is asked.
const preview = 10

// change does something with the flows that are selected: it says what, asks, and does it.
func change(c *call, verb, done string, do func(*call, *source, []victim) (changed, gone int, err error)) error {
	if len(c.words) == 0 {
		return usagef("%s what? A query selects flows; any selects all", verb)
	}
	if c.has("json") && !c.has("yes") && !c.has("dry-run") {
		return usagef("--json asks nobody: add --yes or --dry-run")
	}
	limit, err := c.number("limit", 1, 0)
	if err != nil {
		return err
	}
	own, err := c.ownSession()
	if err != nil {
		return err
	}
	s, err := c.open()
	if err != nil {
		return err
	}
	defer s.close()
	undo, err := c.undo(verb)
	if err != nil {
		return err
	}
	victims, kept, err := c.victims(s, limit, own, undo)
	if err == nil {
		err = undo.close(len(victims) > 0 && !c.has("dry-run"))
	} else {
		undo.discard()
	}
	if err != nil {
		return err
	}
	if kept > 0 {
		c.tell("%s left alone: you are logged in by it", render.Plural(kept, "flow"))
	}
	r := result{Selected: len(victims), Kept: kept, DryRun: c.has("dry-run")}
	switch {
	case r.Selected == 0:
		undo.discard()
		return c.report(&r, "no flow is selected")
	case r.DryRun:
		return c.report(&r, render.Plural(r.Selected, "flow")+" would be "+done)
	case !c.has("yes"):
		agreed, err := c.agreed(fmt.Sprintf("%s %s?", strings.ToUpper(verb[:1])+verb[1:], render.Plural(r.Selected, "flow")))
		if err != nil || !agreed {
			undo.discard()
			return err
		}
	}
	r.Done, r.Gone, err = do(c, s, victims)
	text := fmt.Sprintf("%s %s", render.Plural(r.Done, "flow"), done)
	if r.Gone > 0 {
		text += fmt.Sprintf(", %s had ended by themselves", render.Grouped(r.Gone))
	}
	if undo.kept() {
		r.Undo = undo.name
		text += "; conntrack -R " + undo.name + " makes them again"
	}
	return errors.Join(c.report(&r, text), err)
}

// result is what has become of the flows that were selected.
type result struct {
	Selected int    `json:"selected"`
	Done     int    `json:"done"`
	Gone     int    `json:"gone"` // had ended before
	Kept     int    `json:"kept"` // of the own session
	DryRun   bool   `json:"dry_run,omitempty"`
	Undo     string `json:"undo,omitempty"`
}

// report tells the result: for people to standard error, as JSON to standard output.
func (c *call) report(r *result, text string) error {
	if c.has("json") {
		return c.json(r)
	}
	c.tell("%s", text)
	return nil
}

// victims collects what is selected, shows the first and notes all in the undo file.
func (c *call) victims(s *source, limit int, own *ownSession, undo *undoFile) (all []victim, kept int, err error) {
	t, err := c.table(s, true)
	if err != nil {
		return nil, 0, err
	}
	defer t.Close()
	show, err := columnsNamed("proto,state,src,dst,nat,bytes,age,status")
	if err != nil {
		return nil, 0, err
	}
	quiet := c.has("quiet") || c.has("json")
	l := look{now: s.now}
	var line []byte
	for f, err := range t.Flows(c.ctx, s.narrow) {
		if err != nil {
			return nil, 0, err
		}
		switch {
		case !s.query.Match(&f, s.now):
			continue
		case own.is(&f):
			kept++
			continue
		}
		if !quiet && (len(all) < preview || c.has("dry-run")) {
			if len(all) == 0 {
				c.out.Write(appendTitles(nil, show))
			}
			line = appendLine(line[:0], show, &l, &f)
			c.out.Write(line)
		}
		if err := undo.note(&f); err != nil {
			return nil, 0, err
		}
		if all = append(all, victim{f.Key(), f.ID, f.Status.Has(flow.Expected)}); limit > 0 && len(all) == limit {
			break
		}
	}
	if rest := len(all) - preview; rest > 0 && !quiet && !c.has("dry-run") {
		fmt.Fprintf(c.out, "… and %s more\n", render.Grouped(rest))
	}
	return all, kept, nil
}

// agreed asks the user.
func (c *call) agreed(question string) (bool, error) {
	if !c.env.Interactive {
		return false, usagef("nobody can be asked here: add --yes, or --dry-run to see what would be done")
	}
	c.out.Flush()
	fmt.Fprintf(c.env.Stderr, "%s [y/N] ", question)
	answer, _ := bufio.NewReader(c.env.Stdin).ReadString('\n')
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return true, nil
	}
	fmt.Fprintln(c.env.Stderr, "nothing done")
	return false, nil
}

// deleteAll deletes flows as they were seen, by their identifiers.
func deleteAll(c *call, s *source, victims []victim) (deleted, gone int, err error) {
	return inBatches(c.ctx, s, len(victims), func(b *conntrack.Batch, i int) {
		f := victims[i].flow()
		b.Delete(&f)
	})
}

// inBatches carries out n operations.
func inBatches(ctx context.Context, s *source, n int, add func(*conntrack.Batch, int)) (done, gone int, err error) {
	w, err := s.client.NewWriter()
	if err != nil {
		return 0, 0, err
	}
	defer w.Close()
	var b conntrack.Batch
	var first error
	failed := 0
	for i := 0; i < n; {
		b.Reset()
		for ; i < n && !b.Full(); i++ {
			add(&b, i)
		}
		results, err := w.Do(ctx, &b)
		if err != nil {
			return done, gone, err
		}
		for _, r := range results {
			switch {
			case r.Err == nil:
				done++
			case errors.Is(r.Err, conntrack.ErrNotFound):
				gone++
			default:
				failed++
				if first == nil {
					first = r.Err
				}
			}
		}
	}
	if failed > 0 {
		return done, gone, fmt.Errorf("%s refused: %w", render.Plural(failed, "flow"), first)
	}
	return done, gone, nil
}

// undoFile is the file from which what has been done can be made again. A nil one is nowhere.
type undoFile struct {
	name    string
	file    *os.File
	out     *bufio.Writer
	printer *render.Printer
	line    []byte
	whole   bool
}

// undo opens the file.
func (c *call) undo(verb string) (*undoFile, error) {
	if verb != "delete" || c.has("dry-run") || c.value("undo", "") == "-" {
		return nil, nil
	}
	name := c.value("undo", "")
	if name == "" {
		state := c.env.Getenv("XDG_STATE_HOME")
		if state == "" {
			state = filepath.Join(c.env.Getenv("HOME"), ".local", "state")
		}
		dir := filepath.Join(state, "spoor")
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("undo file: %w (--undo FILE names another, --undo - does without)", err)
		}
		name = filepath.Join(dir, "deleted-"+time.Now().Format("20060102-150405.000")+".save")
	}
	f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("undo file: %w (--undo FILE names another, --undo - does without)", err)
	}
	return &undoFile{name: name, file: f, out: bufio.NewWriterSize(f, 64<<10),
		printer: render.NewPrinter(render.Flows, &render.Style{Format: render.Save})}, nil
}

func (u *undoFile) note(f *flow.Flow) error {
	if u == nil {
		return nil
	}
	u.line = u.printer.AppendFlow(u.line[:0], f, time.Time{})
	if _, err := u.out.Write(u.line); err != nil {
		return fmt.Errorf("undo file: %w", err)
	}
	return nil
}

// close sees to it that everything noted is on the disk, before anything is done.
func (u *undoFile) close(keep bool) error {
	if u == nil {
		return nil
	}
	err := errors.Join(u.out.Flush(), u.file.Sync(), u.file.Close())
	if err != nil {
		os.Remove(u.name)
		return fmt.Errorf("undo file: %w", err)
	}
	if u.whole = true; !keep {
		u.discard()
	}
	return nil
}

// discard removes the file: nothing has been done.
func (u *undoFile) discard() {
	if u == nil || u.file == nil {
		return
	}
	u.file.Close()
	os.Remove(u.name)
	u.file, u.whole = nil, false
}

func (u *undoFile) kept() bool { return u != nil && u.whole }
