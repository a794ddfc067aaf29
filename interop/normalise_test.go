//go:build linux

package interop_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// rule replaces what differs from run to run.
type rule struct {
	re *regexp.Regexp
	by string
}

func apply(rules []rule, s string) string {
	for _, r := range rules {
		s = r.re.ReplaceAllString(s, r.by)
	}
	return s
}

const (
	stamp      = `(?:\[(?:\d+\.\d+ *|<S>)\]\t)?`
	eventType  = `(?: *\[(?:NEW|UPDATE|DESTROY)\] )?`
	family     = `(?:ipv[46] +\d+ )?`
	recordHead = stamp + eventType + family + `[a-z0-9]+ +\d+ `
)

// timeRules cover what changes while a table stays as it is.
var timeRules = []rule{
	{regexp.MustCompile(`(?m)^(` + recordHead + `)\d+ `), "${1}<T> "},
	{regexp.MustCompile(`(?m)^(-[AUD]) -t \d+`), "${1} -t <T>"},
	{regexp.MustCompile(`<timeout>\d+</timeout>`), "<timeout><T></timeout>"},
	{regexp.MustCompile(`(?m)^(` + stamp + eventType + `)\d+ proto=`), "${1}<T> proto="},
	{regexp.MustCompile(`delta-time=\d+`), "delta-time=<D>"},
	{regexp.MustCompile(`"(timeout|duration)":[0-9.]+`), `"$1":<T>`},
	{regexp.MustCompile(`(?m)^(,,,ipv\d,[^,]*,\d+,[^,]*,)\d+`), "${1}<T>"},
	{regexp.MustCompile(`(T\d\d:\d\d:[0-9.]+Z,[^,]*,)[0-9.]+`), "${1}<D>"},
	{regexp.MustCompile(`<deltatime>\d+</deltatime>`), "<deltatime><D></deltatime>"},
}

// identityRules cover what changes between two equal tables.
var identityRules = []rule{
	// The id= of an icmp tuple must survive, so the word before is part of the pattern.
	{regexp.MustCompile(`((?:use=\d+|mark=\d+(?: zone=\d+)?) )id=\d+`), "${1}id=<ID>"},
	{regexp.MustCompile(`<id>\d+</id>`), "<id><ID></id>"},
	{regexp.MustCompile(` \[USERSPACE\] portid=\d+(?: progname=\S+)?`), " [USERSPACE] portid=<P>"},
}

// counterRules cover how many packets a TCP connection happens to need; that something was counted remains.
var counterRules = []rule{
	{regexp.MustCompile(`packets=[1-9]\d* bytes=[1-9]\d*`), "packets=<N> bytes=<N>"},
	{regexp.MustCompile(`<packets>[1-9]\d*</packets><bytes>[1-9]\d*</bytes>`), "<packets><N></packets><bytes><N></bytes>"},
}

// stampRules cover the time of printing.
var stampRules = []rule{
	{regexp.MustCompile(`(?m)^\[\d+\.\d+ *\]\t`), "[<S>]\t"},
	{regexp.MustCompile(`<when>.*?</when>`), "<when/>"},
}

// eventRules cover what two readers of the same event print differently because they print it at different times.
var eventRules = []rule{
	{regexp.MustCompile(`delta-time=\d+`), "delta-time=<D>"},
	{regexp.MustCompile(`"(timeout|duration)":[0-9.]+`), `"$1":<T>`},
	{regexp.MustCompile(`(?m)^(,,,ipv\d,[^,]*,\d+,[^,]*,)\d+`), "${1}<T>"},
	{regexp.MustCompile(`(T\d\d:\d\d:[0-9.]+Z,[^,]*,)[0-9.]+`), "${1}<D>"},
	{regexp.MustCompile(`<deltatime>\d+</deltatime>`), "<deltatime><D></deltatime>"},
	// The sender's name is looked up later, and by then it may have ended.
	{regexp.MustCompile(`(\[USERSPACE\] portid=\d+) progname=\S+`), "${1}"},
	// 1.4.7 has this in XML, too.
	{regexp.MustCompile(`</flow> \[USERSPACE\] portid=\d+`), "</flow>"},
}

// versionRules make 1.4.7 speak like 1.4.9.
var versionRules = []rule{
	{regexp.MustCompile(`(?m)^conntrack v1\.4\.\d+ \(conntrack-tools\)`), "conntrack v1.4.9 (conntrack-tools)"},
	{regexp.MustCompile(`(?m)^(Command line interface .*)1\.4\.\d+$`), "${1}1.4.9"},
}

// helpRule leaves of a help text what is the same in both: everything else is in our own words.
var helpRule = []rule{
	{regexp.MustCompile(`(?s)\A[^\n]* (1\.4\.9)\n(Usage: conntrack \[commands\] \[options\]\n).*`), "${1}\n${2}"},
}

func normalise(r result, sets ...[]rule) result {
	for _, rules := range sets {
		r.stdout, r.stderr = apply(rules, r.stdout), apply(rules, r.stderr)
	}
	return r
}

// sortLines is s with its lines in order; hash tables have none.
func sortLines(s string) string {
	lines := slices.Collect(strings.Lines(s))
	slices.Sort(lines)
	return strings.Join(lines, "")
}

// explain shows two results which differ; of long outputs only the lines which not both have.
func explain(argv []string, want, got result) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%q\n", argv)
	if want.exit != got.exit {
		fmt.Fprintf(&b, "exit %d, want %d\n", got.exit, want.exit)
	}
	for _, stream := range []struct{ name, want, got string }{{"stdout", want.stdout, got.stdout}, {"stderr", want.stderr, got.stderr}} {
		if stream.want == stream.got {
			continue
		}
		fmt.Fprintf(&b, "--- %s, as it should be: %s", stream.name, missing(stream.want, stream.got))
		fmt.Fprintf(&b, "+++ %s, as it is: %s", stream.name, missing(stream.got, stream.want))
	}
	return b.String()
}

// missing shows s, or if it is long only its lines which other has not.
func missing(s, other string) string {
	const short = 8
	lines := slices.Collect(strings.Lines(s))
	if len(lines) <= short || sortLines(s) == sortLines(other) {
		return "\n" + s
	}
	left := make(map[string]int)
	for line := range strings.Lines(other) {
		left[line]++
	}
	own := slices.DeleteFunc(slices.Clone(lines), func(line string) bool {
		left[line]--
		return left[line] >= 0
	})
	return fmt.Sprintf("(%d of %d lines)\n%s", len(own), len(lines), strings.Join(own, ""))
}
