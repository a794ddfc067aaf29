package guard

import (
	"encoding/json"
	"math"
	"net/netip"
	"time"
)

// jsonTime is how times are written: RFC 3339 in UTC, with milliseconds.
const jsonTime = "2006-01-02T15:04:05.000Z07:00"

// JSONTime is a time as findings have it in JSON; "" for a zero one.
func JSONTime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(jsonTime)
}

// MarshalJSON writes a finding as an object with stable names. What is zero is left out, but for id, phase and kind:
//
//	id          number    the same for all phases
//	phase       string    begins, continues, ends
//	kind        string    port-scan, …
//	subject     object    source, destination (addresses), proto (tcp, …), port, zone (numbers)
//	offender    string    address
//	since, time string    RFC 3339, UTC, milliseconds
//	measured    number    in unit
//	limit       number    in unit
//	unit        string
//	confidence  number    from 0 to 1
//	rule        string    as in the file, without responses
//	evidence    array     of objects: what (string), count (number)
func (f Finding) MarshalJSON() ([]byte, error) {
	type evidence struct {
		What  string `json:"what"`
		Count uint64 `json:"count"`
	}
	type subject struct {
		Source      netip.Addr `json:"source,omitzero"`
		Destination netip.Addr `json:"destination,omitzero"`
		Proto       string     `json:"proto,omitempty"`
		Port        uint16     `json:"port,omitempty"`
		Zone        uint16     `json:"zone,omitempty"`
	}
	s := subject{f.Subject.Source, f.Subject.Destination, "", f.Subject.Port, f.Subject.Zone}
	if f.Subject.Proto != 0 {
		s.Proto = f.Subject.Proto.String()
	}
	rows := make([]evidence, len(f.Evidence))
	for i, e := range f.Evidence {
		rows[i] = evidence(e)
	}
	return json.Marshal(struct {
		ID         uint64     `json:"id"`
		Phase      string     `json:"phase"`
		Kind       string     `json:"kind"`
		Subject    subject    `json:"subject,omitzero"`
		Offender   netip.Addr `json:"offender,omitzero"`
		Since      string     `json:"since,omitempty"`
		Time       string     `json:"time,omitempty"`
		Measured   float64    `json:"measured,omitempty"`
		Limit      float64    `json:"limit,omitempty"`
		Unit       string     `json:"unit,omitempty"`
		Confidence float64    `json:"confidence,omitempty"`
		Rule       string     `json:"rule,omitempty"`
		Evidence   []evidence `json:"evidence,omitempty"`
	}{f.ID, f.Phase.String(), f.Kind.String(), s, f.Offender, JSONTime(f.Since), JSONTime(f.Time),
		finite(f.Measured), finite(f.Limit), f.Unit, finite(math.Round(f.Confidence*1000) / 1000), f.Rule, rows})
}

// finite is v as JSON can have it.
func finite(v float64) float64 {
	switch {
	case math.IsNaN(v):
		return 0
	case math.IsInf(v, 0):
		return math.Copysign(math.MaxFloat64, v)
	}
	return v
}

// MarshalJSON writes an action as an object with stable names. What is zero is left out:
//
//	response  string   block, delete, run, post
//	offender  string   address
//	for       number   seconds; of block
//	until     string   RFC 3339, UTC, milliseconds; of block
//	command   array    of strings; of run
//	url       string   scheme and host only; of post
//	by        string   the node that decided, if it is the other
//	held      string   why it is not done
//	finding   object   the finding
func (a Action) MarshalJSON() ([]byte, error) {
	where := ""
	if a.Do == Post {
		where = Host(a.URL)
	}
	return json.Marshal(struct {
		Response string     `json:"response"`
		Offender netip.Addr `json:"offender,omitzero"`
		For      float64    `json:"for,omitempty"`
		Until    string     `json:"until,omitempty"`
		Command  []string   `json:"command,omitempty"`
		URL      string     `json:"url,omitempty"`
		By       string     `json:"by,omitempty"`
		Held     string     `json:"held,omitempty"`
		Finding  Finding    `json:"finding"`
	}{a.Do.String(), a.Finding.Offender, a.For.Seconds(), JSONTime(a.Until), a.Command, where, a.By, a.Held, a.Finding})
}
