package doctor

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/spoor-project/spoor/internal/render"
)

// Level is how well a check found things.
type Level uint8

// The levels. The zero value is Unknown.
const (
	Unknown Level = iota // it could not be looked at
	OK
	Warn // worth a look: something is wasted, hidden or near its end
	Bad  // packets, connections or events are lost, or soon will be
)

var levelNames = [...]string{"unknown", "ok", "warn", "bad"}

func (l Level) String() string { return levelNames[l] }

// MarshalText writes the name.
func (l Level) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// graver orders the levels: what is not known is graver than what is well.
func (l Level) graver(than Level) bool {
	rank := [...]int{Unknown: 1, OK: 0, Warn: 2, Bad: 3}
	return rank[l] > rank[than]
}

// Verdict is what a check says.
type Verdict struct {
	Check string `json:"check"`
	Level Level  `json:"verdict"`
	// Found is what was seen, or why nothing could be.
	Found string `json:"found"`
	// Means says why it matters; "" if there is nothing to say.
	Means    string    `json:"means,omitempty"`
	Remedies []Remedy  `json:"remedies,omitempty"`
	Measures []Measure `json:"measures,omitempty"`
}

// Remedy is one step of what mends a fault.
type Remedy struct {
	// Command is what to type.
	Command string `json:"command"`
	// Set is what [Host.Apply] can do instead; nil if only a person can.
	Set *Setting `json:"-"`
	// Safe: nothing breaks by it, so it may be done without a thought.
	Safe bool `json:"safe"`
	// Note is what to know before, for one that is not safe.
	Note string `json:"note,omitempty"`
}

// enter makes the command one for a namespace. What is the machine's, or is to be done outside, stays.
func (r *Remedy) enter(netns string) {
	switch {
	case netns == "":
	case r.Set != nil, strings.HasPrefix(r.Command, "nft "):
		r.Command = "nsenter --net=" + netns + " " + r.Command
	case strings.Contains(r.Command, "spoor "):
		r.Command += " --netns " + netns
	}
}

// Setting is a value of a kernel variable.
type Setting struct {
	Sysctl string // with dots: net.netfilter.nf_conntrack_acct
	Value  string
}

// Measure is a number that a check has looked at, with its limits.
type Measure struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
	// Unit is c for a counter that only grows, B for bytes, "" otherwise.
	Unit string `json:"unit,omitempty"`
	// Warn and Bad are from where on the check says so; 0 is none. So is Max, what cannot be exceeded.
	Warn float64 `json:"warn,omitempty"`
	Bad  float64 `json:"bad,omitempty"`
	Max  float64 `json:"max,omitempty"`
}

// check is a row of the table.
type check struct {
	name  string
	judge func(*Facts) Verdict
}

// checks is the table, in the order of the report. To add a check: write check_<name>.go, and add a row.
var checks = []check{
	{"modules", checkModules},
	{"privileges", checkPrivileges},
	{"hooks", checkHooks},
	{"usage", checkUsage},
	{"growth", checkGrowth},
	{"hash", checkHash},
	{"drops", checkDrops},
	{"inserts", checkInserts},
	{"lookups", checkLookups},
	{"log", checkLog},
	{"timeouts", checkTimeouts},
	{"zones", checkZones},
	{"memory", checkMemory},
	{"accounting", checkAccounting},
	{"timestamps", checkTimestamps},
	{"events", checkEvents},
	{"listeners", checkListeners},
	{"helpers", checkHelpers},
	{"tcp", checkTCP},
	{"snapshot", checkSnapshot},
}

// Names returns the names of all checks, in the order of the report.
func Names() (names []string) {
	for _, c := range checks {
		names = append(names, c.name)
	}
	return names
}

// Examine judges the facts by the named checks, or by all if none is named. Names that no check has are passed over.
func Examine(f *Facts, names ...string) (all []Verdict) {
	wanted := func(name string) bool {
		for _, n := range names {
			if n == name {
				return true
			}
		}
		return len(names) == 0
	}
	for _, c := range checks {
		if wanted(c.name) {
			v := c.judge(f)
			v.Check = c.name
			for i := range v.Remedies {
				v.Remedies[i].enter(f.NetNS)
			}
			all = append(all, v)
		}
	}
	return all
}

// Worst is the gravest level among verdicts: Bad, Warn, Unknown, OK. Of none it is OK.
func Worst(all []Verdict) Level {
	worst := OK
	for _, v := range all {
		if v.Level.graver(worst) {
			worst = v.Level
		}
	}
	return worst
}

func ok(format string, args ...any) Verdict {
	return Verdict{Level: OK, Found: fmt.Sprintf(format, args...)}
}

func warn(format string, args ...any) Verdict {
	return Verdict{Level: Warn, Found: fmt.Sprintf(format, args...)}
}

func bad(format string, args ...any) Verdict {
	return Verdict{Level: Bad, Found: fmt.Sprintf(format, args...)}
}

// unknown is the verdict for a fact that is missing.
func unknown(why string) Verdict {
	if why == "" {
		why = "was not looked at"
	}
	return Verdict{Found: why}
}

// means adds why it matters.
func (v Verdict) means(format string, args ...any) Verdict {
	v.Means = fmt.Sprintf(format, args...)
	return v
}

// mend adds remedies.
func (v Verdict) mend(r ...Remedy) Verdict {
	v.Remedies = append(v.Remedies, r...)
	return v
}

// measure adds measures.
func (v Verdict) measure(m ...Measure) Verdict {
	v.Measures = append(v.Measures, m...)
	return v
}

// set is the remedy of a sysctl, which is not safe if the kernel does not let this namespace change it.
func (f *Facts) set(name string, value uint64, safe bool, note string) Remedy {
	text := strconv.FormatUint(value, 10)
	r := Remedy{Command: "sysctl -w " + name + "=" + text, Safe: safe, Note: note}
	if s, there := f.Sysctls[name]; there && !s.Writable {
		r.Safe = false
		r.Note = "outside: this namespace may not change it"
		return r
	}
	r.Set = &Setting{name, text}
	return r
}

// run is the remedy of a command that only a person gives.
func run(command, note string) Remedy { return Remedy{Command: command, Note: note} }

// percent is a share in percent, 0 of nothing.
func percent(part, whole uint64) float64 {
	if whole == 0 {
		return 0
	}
	return 100 * float64(part) / float64(whole)
}

// size is a number of bytes as people say it.
func size(n uint64) string {
	v, unit := float64(n), 0
	for v >= 1024 && unit < 6 {
		v /= 1024
		unit++
	}
	if unit == 0 {
		return render.Plural(n, "byte")
	}
	return strings.TrimSuffix(strconv.FormatFloat(v, 'f', 1, 64), ".0") + " " + string(" KMGTPE"[unit]) + "iB"
}

// seconds is a time in words, in its two largest units.
func seconds(s uint64) string {
	type unit struct {
		name string
		in   uint64
	}
	units := [...]unit{{"d", 86400}, {"h", 3600}, {"m", 60}, {"s", 1}}
	for i, u := range units {
		if s >= u.in {
			text := fmt.Sprintf("%d%s", s/u.in, u.name)
			if rest := s % u.in; i+1 < len(units) && rest/units[i+1].in > 0 {
				text += fmt.Sprintf(" %d%s", rest/units[i+1].in, units[i+1].name)
			}
			return text
		}
	}
	return "0s"
}

// rate writes a number per second.
func rate(perSecond float64) string {
	if math.Abs(perSecond) < 10 {
		return strings.TrimSuffix(strconv.FormatFloat(perSecond, 'f', 1, 64), ".0") + "/s"
	}
	if perSecond < 0 {
		return "-" + render.Grouped(uint64(math.Round(-perSecond))) + "/s"
	}
	return render.Grouped(uint64(math.Round(perSecond))) + "/s"
}
