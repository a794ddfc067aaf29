//go:build linux

package interop_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
)

// TestConntrackdVerify compares two nodes by what they say themselves.
func TestConntrackdVerify(t *testing.T) {
	t.Parallel()
	their, our := theirDaemon(t), ourDaemon(t)
	const same = "in step\n"
	for _, s := range []setup{{}, {mode: "NOTRACK", channel: "TCP"}} {
		for peer, tl := range map[string]tool{"theirs": their, "ours": our} {
			t.Run(fmt.Sprintf("%v/peer %s", s, peer), func(t *testing.T) {
				t.Parallel()
				p := newPair(t, s, tl, our)
				p.greeted()
				newBustle(p.a).flows(50)
				newBustle(p.b).flows(30)
				inStep(t, "before", p.a, p.b)
				inStep(t, "before, the other way", p.b, p.a)
				verify := func(what string, want ...string) {
					t.Helper()
					want = append([]string{`^kernel and internal cache: 30 flows compared\n`}, want...)
					r := p.b.run(job{argv: []string{"conntrackd", "-C", p.b.conf, "--verify"}})
					if !regexp.MustCompile(strings.Join(want, "")+"$").MatchString(r.stdout) || (r.exit == 0) != (want[len(want)-1] == same) {
						t.Errorf("%s: %v", what, r)
					}
				}
				verifyPeer := func(what string, want string) {
					t.Helper()
					r := p.b.run(job{argv: []string{"conntrackd", "-C", p.b.conf, "--verify", "nsenter", "--net=" + p.a.ns.Path(), "conntrack", "-L", "-o", "jsonl"}})
					if !regexp.MustCompile("^"+want+"$").MatchString(r.stdout) || (r.exit == 0) != strings.HasSuffix(want, same) {
						t.Errorf("%s: %v", what, r)
					}
				}
				const comparedTables = `the other node's table and the external cache: 50 flows compared\n`
				verifyPeer("its table", comparedTables+same)
				verify("in step", `external cache and peers: 50 flows compared\n`, same)
				p.b.client("-f", "external")
				verifyPeer("its table, all forgotten", `(?:only in the other node's table: .* src=20\.0\.\d+\.\d+ dst=.*\n){50}`+comparedTables+`50 differences\n`)
				verify("forgotten here", `(?:was missing in the external cache: .* src=20\.0\.\d+\.\d+ dst=.*\n){50}`,
					`external cache and peers: 50 flows compared\n`, `50 differences\n`)
				verify("in step again", `external cache and peers: 50 flows compared\n`, same)
				// The peer has forgotten what it had told of; its kernel has not.
				p.a.client("-f", "internal")
				verify("forgotten there", `(?:only in the external cache, not told by a peer: .*\n){50}`,
					`external cache and peers: 50 flows compared\n`, `50 differences\n`)
				p.a.must("conntrack", "-D", "-s", "20.0.0.0/16")
				verifyPeer("its table, nothing there", `(?:only in the external cache: .*\n){50}the other node's table and the external cache: 0 flows compared\n50 differences\n`)
				p.a.client("-R")
				// At once after its end: a moment ago the peer was heard.
				p.a.crash()
				verify("the peer is gone", `no peer is heard: 50 flows of the external cache not compared\n`, `1 differences\n`)
			})
		}
	}
}
