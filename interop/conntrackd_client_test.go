//go:build linux

package interop_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestConntrackdClients asks our daemon and theirs with our client and theirs. What they print must have the same form, whoever
// asks whom; theirs asking theirs shows it.
func TestConntrackdClients(t *testing.T) {
	t.Parallel()
	their, our := theirDaemon(t), ourDaemon(t)
	expects := "ExpectationSync on"
	for name, s := range map[string]setup{
		"FTFW":                      {options: expects},
		"FTFW without expectations": {channel: "Multicast"},
		"FTFW external disabled":    {timers: "DisableExternalCache on", options: expects},
		"ALARM":                     {mode: "ALARM", options: expects, channel: "TCP"},
		"NOTRACK":                   {mode: "NOTRACK", options: expects, v6: true},
		"NOTRACK internal disabled": {mode: "NOTRACK", timers: "DisableInternalCache on"},
		"NOTRACK both disabled":     {mode: "NOTRACK", timers: "DisableInternalCache on DisableExternalCache on"},
		"two channels": {channels: `
			UDP { IPv4_address 10.0.0.%[1]d IPv4_Destination_Address 10.0.0.%[2]d Port 3780 Interface eth0 }
			UDP Default { IPv6_address fd00::%[1]d IPv6_Destination_Address fd00::%[2]d Port 3781 Interface eth0 }
		`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			asking := askingRequests
			if name == "FTFW" {
				asking += oddRequests
			}
			testClients(t, asking, newPair(t, s, our, their), newPair(t, s, their, their))
		})
	}
}

// Requests that change nothing, and requests that do, in the order in which they are made.
const (
	askingRequests = `
		-s
		-s {network|cache|runtime|link|multicast|rsqueue|process|queue|ct|expect}
		-s -x
		{-i|-e}
		{-i|-e} {ct|expect}
		{-i|-e} -x
		{-i|-e} {ct|expect} -x
		-i -s
		-s -i
	`
	// Only in one mode.
	oddRequests = `
		-s {n|c|r|m|l|rs|p|q|ct|e|""}
		{-i|-e} {c|e|""}
		xi
		-internal
	`
	bulkRequests = `
		-B
		-n
		-k -B
	`
	changingRequests = `
		-R
		-R {ct|expect}
		-c
		-c {ct|expect}
		-t
		-f {internal|external|i|e}
		-f
		-F {ct|expect}
		-F
	`
)

func testClients(t *testing.T, asking string, p, reference *pair) {
	for _, n := range []*node{p.a, p.b, reference.a, reference.b} {
		lines := ""
		for i, r := range replicatedFlows {
			if i%2 == 0 == (n.name == "a") && r.committed == "" { // each side has its own flows
				lines += fmt.Sprintf("-I %s -t 5000\n", r.make)
			}
		}
		n.load(lines)
	}
	nodes, clients := []*node{reference.a, p.a}, []tool{reference.a.tool, p.a.tool}
	for _, requests := range []string{asking, bulkRequests, changingRequests, "-s\n-s cache\n-i\n-i -x\n"} {
		rest(t, nodes)
		for _, argv := range commandLines(requests) {
			argv = slices.Replace(slices.Clone(argv), 0, 1, "conntrackd", "-C", "conf")
			var want result
			for i, n := range nodes {
				for j, client := range clients {
					got := normaliseAnswer(n.with(client).run(job{argv: argv}))
					if i == 0 && j == 0 {
						want = got
					} else if got != want {
						t.Errorf("%s client asks %s daemon: %s", owner[j], owner[i], explain(argv, want, got))
					}
				}
			}
		}
	}
	// Either client stops either daemon.
	for i, n := range nodes {
		if r := n.with(clients[1-i]).run(job{argv: []string{"conntrackd", "-C", "conf", "-k"}}); r != (result{}) {
			t.Errorf("-k: %v", r)
		}
		n.gone(n.running)
	}
}

var owner = []string{"their", "our"}

// rest waits until the caches do not change any more. The original without an internal cache keeps what it has to tell for up
// to a second.
func rest(t *testing.T, nodes []*node) {
	t.Helper()
	const quiet = 1300 * time.Millisecond
	last, since, changed := "?", time.Now(), ""
	settles(t, "caches at rest", "", func() string {
		now := ""
		for _, n := range nodes {
			now += sortLines(timeless(n.internal() + n.external()))
		}
		if now != last {
			changed = differing(last, now)
			last, since = now, time.Now()
		}
		if time.Since(since) < quiet {
			return changed
		}
		return ""
	})
}

var (
	dumpLine    = regexp.MustCompile(`^(?:<flow>|[a-z0-9]+ +\d+ .*src=|proto=)`)
	dumpTimeout = regexp.MustCompile(`^(\S+ +\d+) \d+ `)
	queueLine   = regexp.MustCompile(`^(?:resent queue \(len=\d+\)|control -> seq:\d+ flags:\d+|object -> seq:\d+)\n$`)
	// Numbers keep their width: where columns are right aligned this covers the blanks before.
	columns     = regexp.MustCompile(`([\t(/:= ]|^)( *\d+)\b`)
	clientRules = []rule{
		{regexp.MustCompile(`\b(?:dis)?connected\b`), "<STATE>"}, // of a TCP channel, where the original waits for something to say
		{regexp.MustCompile(`v1\.4\.\d+`), "v<VERSION>"},
		{regexp.MustCompile(`\[\w+ \w+ +\d+ [\d:]+ \d+\] \(pid=\d+\)`), "[<WHEN>] (pid=<PID>)"},
	}
)

// normaliseAnswer leaves the form of an answer: dumps are in no order, and other numbers are not the same twice.
func normaliseAnswer(r result) result {
	r.stdout, r.stderr = apply(clientRules, r.stdout), apply(clientRules, r.stderr)
	switch {
	case strings.HasPrefix(r.stdout, "Connection tracking"): // the usage
	case dumpLine.MatchString(r.stdout):
		r.stdout = sortLines(timeless(apply(identityRules, apply(ageRules, r.stdout))))
	case strings.HasPrefix(r.stdout, "resent queue"):
		// What waits at the moment, mostly nothing; an empty queue is not shown.
		for line := range strings.Lines(r.stdout) {
			if !queueLine.MatchString(line) {
				return r
			}
		}
		r.stdout = ""
	default:
		r.stdout = columns.ReplaceAllStringFunc(r.stdout, func(s string) string { return s[:1] + strings.Repeat("#", len(s)-1) })
	}
	return r
}

// timeless is a dump without timeouts.
func timeless(s string) string {
	var b strings.Builder
	for line := range strings.Lines(s) {
		b.WriteString(dumpTimeout.ReplaceAllString(line, "$1 <T> "))
	}
	return b.String()
}
