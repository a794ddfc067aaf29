package guard

import (
	_ "embed"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spoor-project/spoor/filter"
)

// DefaultRules is the text of the rules that apply where nothing else is said, with comments that explain them.
//
//go:embed default.rules
var DefaultRules string

// Rules are what is looked for and what is done about it. Zero Rules look for nothing.
type Rules struct {
	Of [numKinds]*Rule // nil: it is not looked for
	// Allow are those against whom nothing is done, beside the machine's own addresses, the gateways of its routes and who is logged in, which are
	// always spared. Findings tell of all of them.
	Allow  []netip.Prefix
	Inside []netip.Prefix // networks that Upload watches; what is not inside is outside
	Brake  Brake
	Memory Limits
}

// Rule says when something is abnormal.
type Rule struct {
	Kind Kind
	// Values are those of the kind's parameters, in their order: numbers, rates a second, shares of 1, bytes, and times in seconds.
	Values []float64
	Then   []Respond
	Where  *filter.Query // flows that it looks at; zero: all
	Line   int           // where it stands; 0: nowhere
}

// Brake bounds how much is done. A zero Actions means nothing is ever done.
type Brake struct {
	Actions int           // at most so many
	Within  time.Duration // in a time as long as this
}

// Limits bound the memory of an engine, by the number of things it remembers.
type Limits struct {
	Flows    int // about 20 bytes each
	Sources  int // about 100 bytes each
	Services int // half-open ones, destinations, translations: so many of each, about 100 bytes
}

// DefaultLimits need about 200 MB when all places are taken.
var DefaultLimits = Limits{Flows: 1_000_000, Sources: 1_000_000, Services: 50_000}

// unit is what a parameter is measured in.
type unit uint8

const (
	number unit = iota
	perSecond
	share // written in percent
	span
	volume // bytes
)

// param is a parameter of a kind of rules.
type param struct {
	name  string
	unit  unit
	usual float64
	least float64 // what can be asked for
	most  float64
}

// kinds has a row for each kind: how its rules are written. To add a kind, add a row, a constant and a detect_<name>.go.
var kinds = [numKinds]struct {
	name   string
	about  string
	params []param
}{
	SYNFlood: {"syn-flood", "half-open connections to a service", []param{
		{"half-open", number, 1000, 10, 1e9}, {"within", span, 10, 1, 3600}}},
	SourceRate: {"source-rate", "new flows of a source", []param{
		{"rate", perSecond, 500, 1, 1e9}, {"within", span, 10, 1, 3600}, {"usual", number, 0, 0, 1e6}}},
	DestinationRate: {"destination-rate", "new flows to a destination", []param{
		{"rate", perSecond, 10000, 1, 1e9}, {"within", span, 10, 1, 3600}, {"usual", number, 10, 0, 1e6}}},
	PortScan: {"port-scan", "ports of one host that a source tried in vain", []param{
		{"ports", number, 20, 3, mostTargets}, {"within", span, 60, 1, 86400}}},
	HostSweep: {"host-sweep", "hosts on which a source tried the same port in vain", []param{
		{"hosts", number, 30, 3, mostTargets}, {"within", span, 60, 1, 86400}}},
	SlowScan: {"slow-scan", "targets that a source tried in vain over hours", []param{
		{"targets", number, 60, 3, mostTargets}, {"within", span, 6 * 3600, 60, 7 * 86400}}},
	Unreplied: {"unreplied", "share of a source's flows that is not answered", []param{
		{"share", share, 0.95, 0.01, 1}, {"flows", number, 300, 10, 1e9}, {"within", span, 60, 1, 86400}}},
	Hoarding: {"hoarding", "idle flows that a source keeps", []param{
		{"flows", number, 5000, 10, 1e9}, {"idle", span, 600, 1, 7 * 86400}}},
	TablePressure: {"table-pressure", "how full the table is", []param{
		{"used", share, 0.9, 0.01, 1}, {"ahead", span, 600, 0, 86400}}},
	PortExhaustion: {"port-exhaustion", "ports in use of a public address towards one service", []param{
		{"used", share, 0.85, 0.01, 1}, {"ports", number, 64512, 1, 65536}}},
	Upload: {"upload", "bytes that a source inside sends to the outside", []param{
		{"bytes", volume, 10 << 30, 1 << 10, 1 << 60}, {"within", span, 3600, 1, 7 * 86400}}},
}

// KindInfo describes a kind of rules, for those who explain them.
type KindInfo struct {
	About string // what its findings measure
	Usual string // a rule of the kind as it is without values: "port-scan ports=20 within=1m"
}

// Kinds describes all kinds, in their order.
func Kinds() []KindInfo {
	all := make([]KindInfo, numKinds)
	for k := range kinds {
		r := Rule{Kind: Kind(k)}
		for _, p := range kinds[k].params {
			r.Values = append(r.Values, p.usual)
		}
		all[k] = KindInfo{kinds[k].about, r.threshold()}
	}
	return all
}

// mostTargets is how many targets of a source can be told apart.
const mostTargets = 512

// value is that of a parameter.
func (r *Rule) value(name string) float64 {
	i := slices.IndexFunc(kinds[r.Kind].params, func(p param) bool { return p.name == name })
	return r.Values[i]
}

// span is that of a parameter that is a time.
func (r *Rule) span(name string) time.Duration {
	return time.Duration(r.value(name) * float64(time.Second))
}

// threshold is the rule without its responses.
func (r *Rule) threshold() string {
	var b strings.Builder
	b.WriteString(r.Kind.String())
	for i, p := range kinds[r.Kind].params {
		b.WriteString(" " + p.name + "=" + p.unit.text(r.Values[i]))
	}
	return b.String()
}

// String is the rule as a line of a file.
func (r *Rule) String() string {
	var b strings.Builder
	b.WriteString(r.threshold())
	for i, t := range r.Then {
		b.WriteString([]string{" then ", ", "}[min(i, 1)] + t.String())
	}
	if !r.Where.IsZero() {
		b.WriteString(" where " + r.Where.String())
	}
	return b.String()
}

// String is the response as rules write it.
func (r *Respond) String() string {
	switch r.Do {
	case Block:
		return "block " + span.text(r.For.Seconds())
	case Run:
		words := make([]string, len(r.Command))
		for i, w := range r.Command {
			words[i] = quoted(w)
		}
		return "run " + strings.Join(words, " ")
	case Post:
		return "post " + quoted(r.URL)
	}
	return r.Do.String()
}

// String is the text that [ParseRules] reads as the same rules. Kinds that are not looked for are written as off.
func (r *Rules) String() string {
	var b strings.Builder
	for k, rule := range r.Of {
		if rule == nil {
			fmt.Fprintf(&b, "%s off\n", kinds[k].name)
		} else {
			b.WriteString(rule.String() + "\n")
		}
	}
	for _, l := range []struct {
		word string
		of   []netip.Prefix
	}{{"allow", r.Allow}, {"inside", r.Inside}} {
		for i, p := range l.of {
			b.WriteString([]string{l.word + " ", " "}[min(i, 1)] + p.String())
		}
		if len(l.of) > 0 {
			b.WriteString("\n")
		}
	}
	fmt.Fprintf(&b, "limit actions=%d within=%s\n", r.Brake.Actions, span.text(r.Brake.Within.Seconds()))
	fmt.Fprintf(&b, "memory flows=%d sources=%d services=%d\n", r.Memory.Flows, r.Memory.Sources, r.Memory.Services)
	return b.String()
}

// text writes a value so that it is read as the same.
func (u unit) text(v float64) string {
	exact := func(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }
	switch u {
	case perSecond:
		return exact(v) + "/s"
	case share:
		return strconv.FormatFloat(100*v, 'f', -1, 32) + "%"
	case span:
		for _, s := range spans {
			if v >= s.seconds && v == float64(int64(v/s.seconds))*s.seconds {
				return exact(v/s.seconds) + s.letter
			}
		}
		return exact(v) + "s"
	case volume:
		for i := len(volumes) - 1; i > 0; i-- {
			if size := float64(uint64(1) << (10 * i)); v >= size && v == float64(int64(v/size))*size {
				return exact(v/size) + volumes[i:i+1]
			}
		}
	}
	return exact(v)
}

var spans = []struct {
	letter  string
	seconds float64
}{{"d", 86400}, {"h", 3600}, {"m", 60}, {"s", 1}}

const volumes = " KMGTPE"

// quoted writes a word with quotes if it would not be read as one word otherwise.
func quoted(w string) string {
	if w == "" || strings.ContainsAny(w, " \t,#\"'\\") {
		return strconv.Quote(w)
	}
	return w
}
