package duty

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"log/syslog"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/spoor-project/spoor/internal/guard"
)

// Text tells people: a line for a finding, with its evidence below, and a line for what became of each response. Times are local.
type Text struct {
	To   io.Writer
	line []byte
}

// shownEvidence is how many rows of evidence follow a line.
const shownEvidence = 3

// Finding writes a finding.
func (s *Text) Finding(f *guard.Finding) error {
	local := *f
	local.Since, local.Time = f.Since.Local(), f.Time.Local()
	s.line = local.Time.AppendFormat(s.line[:0], time.DateTime)
	s.line = append(append(append(s.line, ' '), local.Line()...), '\n')
	if f.Phase != guard.Ends {
		for _, e := range f.Evidence[:min(len(f.Evidence), shownEvidence)] {
			s.line = fmt.Appendf(s.line, "%27d  %s\n", e.Count, e.What)
		}
	}
	_, err := s.To.Write(s.line)
	return err
}

// Outcome writes what became of a response.
func (s *Text) Outcome(o *Outcome) error {
	s.line = o.Time.Local().AppendFormat(s.line[:0], time.DateTime)
	s.line = append(append(append(s.line, ' '), o.Line()...), '\n')
	_, err := s.To.Write(s.line)
	return err
}

// Flush hands on what has been written if To can.
func (s *Text) Flush() error { return flush(s.To) }

func flush(to io.Writer) error {
	if f, ok := to.(interface{ Flush() error }); ok {
		return f.Flush()
	}
	return nil
}

// Line is what became of an action, in a line of text.
func (o *Outcome) Line() string {
	line := o.Action.Line()
	switch {
	case o.Action.Held != "": // the line says why
	case o.Err != nil:
		line += ": failed, " + o.Err.Error()
	case o.Action.Do == guard.Delete:
		line += fmt.Sprintf(": done, %d deleted", o.Flows)
	default:
		line += ": done"
	}
	return strings.ReplaceAll(line, "\n", " ")
}

// JSON tells programs: an object a line, {"type":"finding","finding":…} or {"type":"response","time":…,"result":…,"action":…}.
type JSON struct{ To io.Writer }

func (s *JSON) write(v any) error {
	line, err := json.Marshal(v)
	if err == nil {
		_, err = s.To.Write(append(line, '\n'))
	}
	return err
}

// Finding writes a finding.
func (s *JSON) Finding(f *guard.Finding) error {
	return s.write(struct {
		Type    string         `json:"type"`
		Finding *guard.Finding `json:"finding"`
	}{"finding", f})
}

// Outcome writes what became of a response.
func (s *JSON) Outcome(o *Outcome) error {
	failure := ""
	if o.Err != nil {
		failure = o.Err.Error()
	}
	return s.write(struct {
		Type   string       `json:"type"`
		Time   string       `json:"time"`
		Result string       `json:"result"`
		Flows  int          `json:"flows,omitempty"`
		Output string       `json:"output,omitempty"`
		Error  string       `json:"error,omitempty"`
		Action guard.Action `json:"action"`
	}{"response", guard.JSONTime(o.Time), o.Result(), o.Flows, o.Output, failure, o.Action})
}

// Flush hands on what has been written if To can.
func (s *JSON) Flush() error { return flush(s.To) }

// Webhook tells a web server of findings, as JSON; what became of responses it leaves to others.
type Webhook struct {
	URL  string
	Post func(ctx context.Context, to string, f *guard.Finding) error // such as [Poster.Post]
}

// Finding sends a finding.
func (s *Webhook) Finding(f *guard.Finding) error {
	return s.Post(context.Background(), s.URL, f)
}

// Outcome does nothing.
func (s *Webhook) Outcome(*Outcome) error { return nil }

// Flush does nothing.
func (s *Webhook) Flush() error { return nil }

// priority is how urgent a line is, as syslog(3) has it.
func priority(f *guard.Finding, o *Outcome) syslog.Priority {
	switch {
	case o != nil && o.Err != nil:
		return syslog.LOG_ERR
	case o != nil:
		return syslog.LOG_NOTICE
	case f.Phase == guard.Ends:
		return syslog.LOG_INFO
	}
	return syslog.LOG_WARNING
}

// Syslog tells the system's log, as facility daemon. It connects when there is something to tell, and again when that fails.
type Syslog struct{ conn *syslog.Writer }

func (s *Syslog) write(p syslog.Priority, line string) (err error) {
	if s.conn == nil {
		if s.conn, err = syslog.New(syslog.LOG_DAEMON|syslog.LOG_NOTICE, identifier); err != nil {
			s.conn = nil
			return fmt.Errorf("syslog: %w", err)
		}
	}
	switch p {
	case syslog.LOG_ERR:
		err = s.conn.Err(line)
	case syslog.LOG_WARNING:
		err = s.conn.Warning(line)
	case syslog.LOG_INFO:
		err = s.conn.Info(line)
	default:
		err = s.conn.Notice(line)
	}
	if err != nil {
		s.conn.Close()
		s.conn = nil
		return fmt.Errorf("syslog: %w", err)
	}
	return nil
}

// identifier is the name under which the logs of the system have the lines.
const identifier = "spoor-guard"

// Finding logs a finding.
func (s *Syslog) Finding(f *guard.Finding) error { return s.write(priority(f, nil), f.Line()) }

// Outcome logs what became of a response.
func (s *Syslog) Outcome(o *Outcome) error { return s.write(priority(&o.Action.Finding, o), o.Line()) }

// Flush does nothing.
func (s *Syslog) Flush() error { return nil }

// Journal tells systemd's journal, with fields that journalctl can select by: SPOOR_KIND, SPOOR_OFFENDER and others.
type Journal struct {
	Socket string // "": that of systemd
	conn   *net.UnixConn
	record []byte
}

const journalSocket = "/run/systemd/journal/socket"

// field appends a field, as systemd's native journal protocol has it: a value of several lines has its length before it.
func (s *Journal) field(name, value string) {
	if value == "" {
		return
	}
	s.record = append(s.record, name...)
	if strings.Contains(value, "\n") {
		s.record = append(s.record, '\n')
		s.record = binary.LittleEndian.AppendUint64(s.record, uint64(len(value)))
	} else {
		s.record = append(s.record, '=')
	}
	s.record = append(append(s.record, value...), '\n')
}

func (s *Journal) write(f *guard.Finding, o *Outcome, line string) error {
	s.record = s.record[:0]
	number := func(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }
	s.field("MESSAGE", line)
	s.field("PRIORITY", strconv.Itoa(int(priority(f, o))))
	s.field("SYSLOG_IDENTIFIER", identifier)
	s.field("SPOOR_KIND", f.Kind.String())
	if f.ID != 0 {
		s.field("SPOOR_FINDING", strconv.FormatUint(f.ID, 10))
	}
	for _, a := range []struct {
		name string
		addr fmt.Stringer
		has  bool
	}{
		{"SPOOR_OFFENDER", f.Offender, f.Offender.IsValid()},
		{"SPOOR_SOURCE", f.Subject.Source, f.Subject.Source.IsValid()},
		{"SPOOR_DESTINATION", f.Subject.Destination, f.Subject.Destination.IsValid()},
	} {
		if a.has {
			s.field(a.name, a.addr.String())
		}
	}
	if f.Subject.Proto != 0 {
		s.field("SPOOR_PROTOCOL", f.Subject.Proto.String())
	}
	if f.Subject.Port != 0 {
		s.field("SPOOR_PORT", strconv.Itoa(int(f.Subject.Port)))
	}
	if f.Subject.Zone != 0 {
		s.field("SPOOR_ZONE", strconv.Itoa(int(f.Subject.Zone)))
	}
	if o == nil {
		s.field("SPOOR_PHASE", f.Phase.String())
		s.field("SPOOR_RULE", f.Rule)
		s.field("SPOOR_MEASURED", number(f.Measured))
		s.field("SPOOR_LIMIT", number(f.Limit))
		s.field("SPOOR_UNIT", f.Unit)
		s.field("SPOOR_CONFIDENCE", number(f.Confidence))
	} else {
		s.field("SPOOR_RESPONSE", o.Action.Do.String())
		s.field("SPOOR_RESULT", o.Result())
	}
	err := s.send()
	if err != nil {
		err = s.send() // it may have been started anew
	}
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	return nil
}

func (s *Journal) send() (err error) {
	if s.conn == nil {
		name := s.Socket
		if name == "" {
			name = journalSocket
		}
		if s.conn, err = net.DialUnix("unixgram", nil, &net.UnixAddr{Name: name, Net: "unixgram"}); err != nil {
			s.conn = nil
			return err
		}
	}
	s.conn.SetWriteDeadline(time.Now().Add(time.Second))
	if _, err = s.conn.Write(s.record); err != nil {
		s.conn.Close()
		s.conn = nil
	}
	return err
}

// Finding tells of a finding.
func (s *Journal) Finding(f *guard.Finding) error { return s.write(f, nil, f.Line()) }

// Outcome tells what became of a response.
func (s *Journal) Outcome(o *Outcome) error { return s.write(&o.Action.Finding, o, o.Line()) }

// Flush does nothing.
func (s *Journal) Flush() error { return nil }
