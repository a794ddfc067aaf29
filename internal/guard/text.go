package guard

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Line is a finding in a line of text, for people and for logs:
//
//	port-scan begins: 192.0.2.7 tried 24 ports of 10.0.0.1 in vain since 12:00:03 (limit 20 within 1m, confidence 96%)
//
// Times are in the zone that they have. The words may change between versions; programs read the JSON.
func (f *Finding) Line() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s: %s", f.Kind, f.Phase, f.what())
	if !f.Since.IsZero() {
		layout := time.TimeOnly
		if f.Since.Format(time.DateOnly) != f.Time.Format(time.DateOnly) {
			layout = time.DateTime
		}
		b.WriteString(" since " + f.Since.Format(layout))
	}
	b.WriteString(" (limit " + quantity(f.Limit, f.Unit))
	for _, word := range strings.Fields(f.Rule) {
		if within, ok := strings.CutPrefix(word, "within="); ok {
			b.WriteString(" within " + within)
			break
		}
	}
	fmt.Fprintf(&b, ", confidence %.0f%%)", 100*f.Confidence)
	return b.String()
}

// what says what is found, without when.
func (f *Finding) what() string {
	s, n := &f.Subject, quantity(f.Measured, f.Unit)
	source := "somebody"
	if s.Source.IsValid() {
		source = s.Source.String()
	}
	switch f.Kind {
	case SYNFlood:
		return n + " half-open connections to " + s.service()
	case SourceRate:
		return source + " opened " + n
	case DestinationRate:
		return n + " were opened to " + s.service()
	case PortScan:
		return source + " tried " + n + " ports of " + s.service() + " in vain"
	case HostSweep:
		return source + " tried " + s.service() + " on " + n + " hosts in vain"
	case SlowScan:
		return source + " tried " + n + " targets in vain"
	case Unreplied:
		return n + " of what " + source + " opened was not answered"
	case Hoarding:
		return source + " keeps " + n + " idle flows"
	case TablePressure:
		return "the table is " + n + " full"
	case PortExhaustion:
		if s.Destination.IsValid() {
			return n + " of the ports of " + s.Destination.String() + " are in use"
		}
	case Upload:
		return source + " sent " + n + " to the outside"
	}
	return n + " " + f.Unit
}

// service is the destination with protocol and port, as far as they are known.
func (s *Subject) service() string {
	var words []string
	if s.Destination.IsValid() {
		words = append(words, s.Destination.String())
	}
	if s.Proto != 0 {
		words = append(words, s.Proto.String())
	}
	if s.Port != 0 {
		words = append(words, strconv.Itoa(int(s.Port)))
	}
	if len(words) == 0 {
		return "anything"
	}
	return strings.Join(words, " ")
}

// quantity writes a measure with those units that belong to the number; others stand in the sentence.
func quantity(v float64, unit string) string {
	digits := 0
	if v < 10 && v != float64(int64(v)) {
		digits = 1
	}
	switch n := strconv.FormatFloat(v, 'f', digits, 64); unit {
	case "bytes":
		return inBytes(v)
	case "flows/s":
		return n + " flows/s"
	case "%":
		return n + "%"
	default:
		return n
	}
}

// inBytes writes bytes with three digits at least where there are so many: 1536M, 11.2G.
func inBytes(v float64) string {
	i := 0
	for v >= 10_240 && i < len(volumes)-1 || v >= 1024 && i == 0 {
		v /= 1024
		i++
	}
	if i == 0 {
		return strconv.FormatFloat(v, 'f', 0, 64) + " bytes"
	}
	return strings.TrimSuffix(strconv.FormatFloat(v, 'f', 1, 64), ".0") + volumes[i:i+1]
}

// Line is an action in a line of text, with what holds it:
//
//	block 192.0.2.7 for 1h (port-scan)
//	delete flows of 192.0.2.7 (port-scan): not done, allowed: gateway
func (a *Action) Line() string {
	var b strings.Builder
	offender := "nobody"
	if a.Finding.Offender.IsValid() {
		offender = a.Finding.Offender.String()
	}
	switch a.Do {
	case Block:
		fmt.Fprintf(&b, "block %s for %s", offender, span.text(a.For.Round(time.Second).Seconds()))
	case Delete:
		b.WriteString("delete flows of " + offender)
	case Run:
		b.WriteString("run " + strings.Join(a.Command, " "))
	case Post:
		b.WriteString("post to " + Host(a.URL))
	}
	b.WriteString(" (" + a.Finding.Kind.String())
	if a.Do == Run || a.Do == Post {
		if a.Finding.Offender.IsValid() {
			b.WriteString(" by " + offender)
		}
	}
	if a.By != "" {
		b.WriteString(", decided by node " + a.By)
	}
	b.WriteString(")")
	if a.Held != "" {
		b.WriteString(": not done, " + a.Held)
	}
	return b.String()
}

// Host is what may be told of a URL: scheme and host. Who is let in often depends on the rest.
func Host(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return "a URL"
	}
	return u.Scheme + "://" + u.Host
}
