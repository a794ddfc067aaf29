//go:build linux

package interop_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
)

// logRules cover what differs from run to run in a log.
var logRules = append([]rule{
	{regexp.MustCompile(`taken \d+\.\d{6} seconds`), "taken <SECONDS> seconds"},
	{regexp.MustCompile(`(?m)^\w+ \w+ +\d+ [\d:]+ \d+\t`), "<WHEN>\t"},
	{regexp.MustCompile(`(\t\w+ +\d+) \d+ `), "$1 <T> "},
	{regexp.MustCompile(`(\t)\d+ proto=`), "${1}<T> proto="},
}, clientRules...)

// loggedSince is what a node has logged behind a text.
func (n *node) loggedSince(text string) string {
	_, since, _ := strings.Cut(n.must("cat", n.log), text)
	return apply(logRules, since)
}

// TestConntrackdRefusedCommits commits what the kernel will not take, and what it already has. Both programs log the same.
func TestConntrackdRefusedCommits(t *testing.T) {
	t.Parallel()
	their, our := theirDaemon(t), ourDaemon(t)
	s := setup{options: "ExpectationSync on"}
	logs := make(map[string]string)
	for _, who := range []struct {
		name    string
		passive tool
	}{{"theirs", their}, {"ours", our}} {
		p := newPair(t, s, their, who.passive)
		p.greeted()
		p.a.addAnnounced()
		p.a.must("conntrack", "-I", "-s", "1.1.1.1", "-d", "2.2.2.2", "-p", "udp", "--sport", "1", "--dport", "2", "-t", "5000")
		settles(t, "the expectation told", expectShown+"\n", p.b.externalExpects)
		settles(t, "all told", "3", func() string { return fmt.Sprint(strings.Count(p.b.external(), "\n")) })
		p.b.client("-c")
		p.b.client("-c") // all is there already
		// Without its master neither the expectation nor the related flow can be made.
		p.b.must("conntrack", "-F", "expect")
		p.b.must("conntrack", "-F")
		p.b.client("-c", "expect")
		p.b.client("-f", "external")
		p.a.must("conntrack", "-U", "-p", "tcp", "-s", "1.1.3.1", "--sport", "4100", "-m", "9")
		p.a.must("conntrack", "-U", "-p", "udp", "-s", "1.1.1.1", "-m", "9")
		settles(t, "told of two", "2", func() string { return fmt.Sprint(strings.Count(p.b.external(), "\n")) })
		p.b.client("-c", "ct")
		logs[who.name] = p.b.loggedSince("-- starting in console mode --\n")
	}
	if logs["ours"] != logs["theirs"] {
		t.Errorf("log of ours:\n%s\nof theirs:\n%s", logs["ours"], logs["theirs"])
	}
	if !strings.Contains(logs["theirs"], "commit-create: No such file or directory") {
		t.Errorf("nothing was refused:\n%s", logs["theirs"])
	}
}
