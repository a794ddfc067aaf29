package duty

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/spoor-project/spoor/internal/guard"
)

// Outcome is what became of an action.
type Outcome struct {
	Action guard.Action
	Time   time.Time // when it was over
	Err    error     // nil: it was done, or held
	Flows  int       // Delete: how many there were
	Output string    // Run: what the command has written
}

// Result is "done", "held" or "failed".
func (o *Outcome) Result() string {
	switch {
	case o.Action.Held != "":
		return "held"
	case o.Err != nil:
		return "failed"
	}
	return "done"
}

// Audit writes down what was done, a JSON object a line, with stable names. What is empty is left out:
//
//	time      string  when it was over; RFC 3339, UTC, milliseconds
//	node      string  which node did it
//	action    string  block, delete, run, post, undo
//	result    string  done, held, failed
//	offender  string  address
//	finding   number  its id
//	kind      string  port-scan, …
//	until     string  how long a block stands
//	flows     number  how many were deleted
//	command   array   as the rule has it
//	url       string  scheme and host
//	output    string  what a command has written, 4 KiB at most
//	by        string  the node that decided, if it is the other
//	held      string  why it was not done
//	error     string  why it failed
//	undo      string  how to take it back
//
// It may be used by several goroutines. A nil Audit writes nothing.
type Audit struct {
	path, node string
	warn       func(string)

	mu     sync.Mutex
	file   *os.File // nil: to be opened
	queue  []byte   // not written yet
	lost   int      // lines that did not fit into the queue
	warned bool     // that something is wrong, which has not ended
}

// mostUnwritten bounds what is kept, in bytes, while the file cannot be written.
const mostUnwritten = 1 << 20

// OpenAudit begins to append to the file at path, which only its owner may read. If it cannot be written, warn is told once, and what there is to write is
// kept, up to 1 MiB; the next line brings the next try. warn must not use the audit.
func OpenAudit(path, node string, warn func(string)) *Audit {
	a := &Audit{path: path, node: node, warn: warn}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.flush()
	return a
}

// line is what an audit log has; see [Audit].
type line struct {
	Time     string     `json:"time"`
	Node     string     `json:"node,omitempty"`
	Action   string     `json:"action"`
	Result   string     `json:"result"`
	Offender netip.Addr `json:"offender,omitzero"`
	Finding  uint64     `json:"finding,omitempty"`
	Kind     string     `json:"kind,omitempty"`
	Until    string     `json:"until,omitempty"`
	Flows    int        `json:"flows,omitempty"`
	Command  []string   `json:"command,omitempty"`
	URL      string     `json:"url,omitempty"`
	Output   string     `json:"output,omitempty"`
	By       string     `json:"by,omitempty"`
	Held     string     `json:"held,omitempty"`
	Error    string     `json:"error,omitempty"`
	Undo     string     `json:"undo,omitempty"`
}

// Write writes what became of an action.
func (a *Audit) Write(o *Outcome) {
	if a == nil {
		return
	}
	act := &o.Action
	l := line{
		Time: guard.JSONTime(o.Time), Node: a.node, Action: act.Do.String(), Result: o.Result(), Offender: act.Finding.Offender, Finding: act.Finding.ID,
		Kind: act.Finding.Kind.String(), Until: guard.JSONTime(act.Until), Flows: o.Flows, Command: act.Command, Output: o.Output, By: act.By, Held: act.Held,
	}
	if act.Do == guard.Post {
		l.URL = guard.Host(act.URL)
	}
	if o.Err != nil {
		l.Error = o.Err.Error()
	}
	if act.Do == guard.Block && l.Result == "done" {
		l.Undo = "spoor guard undo " + l.Offender.String()
	}
	a.append(&l)
}

// undone writes that a block was taken back.
func (a *Audit) undone(now time.Time, offender netip.Addr, kind string, err error) {
	if a == nil {
		return
	}
	l := line{Time: guard.JSONTime(now), Node: a.node, Action: "undo", Result: "done", Offender: offender, Kind: kind}
	if err != nil {
		l.Result, l.Error = "failed", err.Error()
	}
	a.append(&l)
}

func (a *Audit) append(l *line) {
	text, err := json.Marshal(l)
	if err != nil {
		a.warn(fmt.Sprintf("audit log: %v", err)) // there is nothing that could fail
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.queue)+len(text) >= mostUnwritten {
		a.lost++
	} else {
		a.queue = append(append(a.queue, text...), '\n')
	}
	a.flush()
}

// flush writes what there is to write. What was written of a line that is broken off is not written again.
func (a *Audit) flush() {
	err := a.open()
	if err == nil && len(a.queue) > 0 {
		var n int
		n, err = a.file.Write(a.queue)
		a.queue = append(a.queue[:0], a.queue[n:]...)
	}
	switch {
	case err != nil && !a.warned:
		a.warned = true
		a.warn(fmt.Sprintf("audit log: %v; what happens is kept until it can be written", err))
	case err == nil && a.warned:
		text := "audit log: it can be written again"
		if a.lost > 0 {
			text += fmt.Sprintf("; %d lines were lost", a.lost)
		}
		a.warned, a.lost = false, 0
		a.warn(text)
	}
}

func (a *Audit) open() (err error) {
	if a.file == nil {
		a.file, err = os.OpenFile(a.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	}
	return err
}

// Reopen closes the file and opens what has its name now, for those who rotate logs.
func (a *Audit) Reopen() {
	if a == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.file != nil {
		a.file.Close()
		a.file = nil
	}
	a.flush()
}

// Close closes the file, after a last try to write what could not be written.
func (a *Audit) Close() error {
	if a == nil {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.flush()
	if a.file == nil {
		return nil
	}
	err := a.file.Close()
	a.file = nil
	return err
}
