//go:build linux

package interop_test

import (
	"strings"
	"testing"
)

// TestMended has what ours deliberately does otherwise than the original, which in these cases loses data or does what nobody
// asked for. Mended cases which are among the recorded ones are in testdata/conntrack-mended.jsonl.
func TestMended(t *testing.T) {
	t.Parallel()
	their, our := theirs(t), ours(t)
	if our.foreign {
		t.Skip("only ours is mended")
	}
	// prepare makes a scene; do runs one command line of ours in it, list one of theirs, in whatever order its lines come.
	prepare := func(t *testing.T, name string) (do, list func(line string) string) {
		t.Helper()
		t.Parallel()
		s := newSandbox(t, their)
		scenes[name](t, s)
		return func(line string) string {
				t.Helper()
				return unordered(s.with(our).must(commandLines(line)[0]...))
			}, func(line string) string {
				t.Helper()
				return unordered(s.must(commandLines(line)[0]...))
			}
	}
	wantSame := func(t *testing.T, what, got, want string) {
		t.Helper()
		compare(t, []string{what}, result{stdout: want}, result{stdout: got})
	}

	for negative, positive := range map[string]string{"UNREPLIED": "SEEN_REPLY", "!ASSURED": "ASSURED", "!SEEN_REPLY": "SEEN_REPLY"} {
		t.Run("-D -u "+negative, func(t *testing.T) { // the original looks at the positive bits only, and deletes everything
			do, list := prepare(t, "rich")
			keep, lose := list("-L -u "+positive), list("-L -u "+negative)
			wantSame(t, "deleted", do("-D -u "+negative), lose)
			wantSame(t, "left", list("-L"), keep)
		})
	}
	t.Run("-L -j ADDR with a comparison", func(t *testing.T) { // the original compares with an address it overwrote
		do, list := prepare(t, "rich")
		wantSame(t, "listed", do("-L -j 6.6.6.6 -p tcp"), list("-L -g 6.6.6.6 -p tcp"))
		wantSame(t, "listed", do("-L -j 5.5.5.5 -s 1.1.2.0/24 -p udp"), list("-L -n 5.5.5.5 -p udp"))
	})
	t.Run("--label-del of a bit above 95", func(t *testing.T) { // the original deletes all labels
		do, list := prepare(t, "labels")
		if got := do("-U -s 1.1.1.1 --label-del hundred"); !strings.HasSuffix(got, " labels=zero,one\n") {
			t.Errorf("printed %q, want labels=zero,one", got)
		}
		if got := list("-L -s 1.1.1.1 -o labels"); !strings.HasSuffix(got, " labels=zero,one\n") {
			t.Errorf("left %q, want labels=zero,one", got)
		}
	})
	t.Run("-L -z with a NAT filter", func(t *testing.T) { // the original zeroes all entries, shown or not
		do, list := prepare(t, "nat")
		const other = "-L -p udp --dport 9"
		shown, before := list("-L -n"), list(other)
		wantSame(t, "listed", do("-L -z -n"), shown)
		wantSame(t, "not listed", list(other), before)
		if got := list("-L -n"); strings.Contains(got, "packets=<N>") {
			t.Errorf("listed entries still have counters:\n%s", got)
		}
	})
	t.Run("-I expect keeps the protocol", func(t *testing.T) { // the original takes the tuple's port for it
		do, list := prepare(t, "helper")
		do("-F expect")
		do("-I expect -s 127.0.0.1 -d 127.0.0.1 -p tcp --sport 40071 --dport 21 --tuple-src 127.0.0.9 --tuple-dst 127.0.0.1 " +
			"--mask-src 255.255.255.0 --mask-dst 255.255.255.255 --tuple-port-src 0 --tuple-port-dst 7777 " +
			"--mask-port-src 0 --mask-port-dst 65535 -t 100")
		wantSame(t, "listed", list("-L expect"), "<T> proto=6 src=127.0.0.9 dst=127.0.0.1 sport=0 dport=7777 mask-src=255.255.255.0 "+
			"mask-dst=255.255.255.255 sport=0 dport=65535 master-src=127.0.0.1 master-dst=127.0.0.1 sport=40071 dport=21 class=0 helper=ftp\n")
	})
}
