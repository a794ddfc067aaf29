package duty

import (
	"bytes"
	"context"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/guard"
	"github.com/spoor-project/spoor/internal/nstest"
)

var pactKey = []byte("0123456789abcdef")

func decided() guard.Decision {
	return guard.Decision{
		Offender: intruder, Kind: guard.PortScan, Node: "b", Time: noon.Add(12345 * time.Nanosecond), Until: noon.Add(time.Hour),
		Subject: guard.Subject{Source: intruder, Destination: netip.MustParseAddr("2001:db8::1"), Proto: flow.TCP, Port: 22, Zone: 7},
	}
}

func sealed(t testing.TB, key []byte, d guard.Decision, sent time.Time, n byte) []byte {
	t.Helper()
	b, err := seal(key, &message{d, sent, nonce{n}})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestOnlyWhatIsNewAndOfThePactCounts(t *testing.T) {
	p := &Pact{opts: PactOptions{Key: pactKey, Node: "a", Remote: netip.MustParseAddrPort("[::ffff:10.0.0.2]:4000")}, nonces: make(map[nonce]time.Time)}
	peer := netip.MustParseAddr("10.0.0.2")
	own := decided()
	own.Node = "a"
	good := sealed(t, pactKey, decided(), noon, 1)
	changed := bytes.Replace(good, []byte(`"port":22`), []byte(`"port":23`), 1)
	garbage := []byte(`{"v":1}`)
	another := []byte(`{"v":2,"nonce":"AAAAAAAAAAAAAAAAAAAAAA==","sent":"2026-03-01T12:00:00Z","node":"b","time":"2026-03-01T12:00:00Z","kind":"port-scan"}`)
	for _, c := range []struct {
		what     string
		from     netip.Addr
		datagram []byte
		want     PactFigures
	}{
		{"good", peer, good, PactFigures{Received: 1}},
		{"again", peer, good, PactFigures{Repeated: 1}},
		{"a little late", peer, sealed(t, pactKey, decided(), noon.Add(-pactWindow), 2), PactFigures{Received: 1}},
		{"a little early", netip.MustParseAddr("::ffff:10.0.0.2"), sealed(t, pactKey, decided(), noon.Add(pactWindow), 3), PactFigures{Received: 1}},
		{"too late", peer, sealed(t, pactKey, decided(), noon.Add(-pactWindow-1), 4), PactFigures{Stale: 1}},
		{"too early", peer, sealed(t, pactKey, decided(), noon.Add(pactWindow+1), 5), PactFigures{Stale: 1}},
		{"another key", peer, sealed(t, []byte("0123456789abcdeF"), decided(), noon, 6), PactFigures{Foreign: 1}},
		{"from elsewhere", netip.MustParseAddr("10.0.0.3"), sealed(t, pactKey, decided(), noon, 7), PactFigures{Foreign: 1}},
		{"changed", peer, changed, PactFigures{Foreign: 1}},
		{"cut off", peer, good[:20], PactFigures{Foreign: 1}},
		{"nothing", peer, nil, PactFigures{Foreign: 1}},
		{"garbage", peer, append(garbage, code(pactKey, garbage)...), PactFigures{Malformed: 1}},
		{"nothing, signed", peer, code(pactKey, nil), PactFigures{Malformed: 1}},
		{"another version", peer, append(another, code(pactKey, another)...), PactFigures{Malformed: 1}},
		{"reflected", peer, sealed(t, pactKey, own, noon, 8), PactFigures{Own: 1}},
	} {
		before := p.Figures()
		d, ok := p.judge(noon, c.from, c.datagram)
		after := p.Figures()
		got := PactFigures{after.Received - before.Received, after.Foreign - before.Foreign, after.Malformed - before.Malformed,
			after.Stale - before.Stale, after.Repeated - before.Repeated, after.Own - before.Own}
		if got != c.want || ok != (c.want.Received == 1) || ok && d != decided() {
			t.Errorf("%s: %+v %v %+v", c.what, got, ok, d)
		}
	}
}

func TestNoncesAreBounded(t *testing.T) {
	p := &Pact{nonces: make(map[nonce]time.Time)}
	for i := range 2 * mostNonces {
		if got := p.isNew(noon, nonce{byte(i), byte(i >> 8)}); got != (i < mostNonces) {
			t.Fatalf("%d: %v", i, got)
		}
	}
	if !p.isNew(noon.Add(2*pactWindow+1), nonce{0, 0, 1}) || len(p.nonces) != 1 {
		t.Errorf("%d are remembered", len(p.nonces))
	}
}

func TestAKeyIsSecret(t *testing.T) {
	dir := t.TempDir()
	for name, c := range map[string]struct {
		text string
		mode os.FileMode
		want string
	}{
		"good": {"0123456789abcdef\n", 0o600, ""}, "strict": {"0123456789abcdef", 0o400, ""}, "open": {"0123456789abcdef", 0o640, "others can read it"},
		"short": {"0123456789abcde\n", 0o600, "it has 15 bytes"}, "long": {strings.Repeat("x", mostKey+5), 0o600, "bytes; expected"},
	} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(c.text), c.mode); err != nil {
			t.Fatal(err)
		}
		key, err := ReadKey(path)
		if c.want == "" && (err != nil || string(key) != "0123456789abcdef") || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %q %v", name, key, err)
		}
	}
	for path, want := range map[string]string{dir: "not a regular file", dir + "/none": "no such file"} {
		if _, err := ReadKey(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestAPactNeedsItsParts(t *testing.T) {
	ap := netip.MustParseAddrPort
	for want, o := range map[string]PactOptions{
		"addresses": {Node: "a", Key: pactKey, Local: ap("127.0.0.1:0")}, "port": {Node: "a", Key: pactKey, Local: ap("127.0.0.1:0"), Remote: ap("127.0.0.2:0")},
		"IPv6": {Node: "a", Key: pactKey, Local: ap("127.0.0.1:0"), Remote: ap("[::1]:1")}, "name": {Key: pactKey, Local: ap("127.0.0.1:0"), Remote: ap("127.0.0.2:1")},
		"key": {Node: "a", Local: ap("127.0.0.1:0"), Remote: ap("127.0.0.2:1")},
	} {
		if _, err := OpenPact(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

func TestTwoNodesTellEachOther(t *testing.T) {
	a, b := nstest.Pair(t)
	for _, family := range [][2]string{{"10.0.0.1:4000", "10.0.0.2:4000"}, {"[fd00::1]:4000", "[fd00::2]:4000"}} {
		open := func(ns *nstest.NS, node, local, remote string) *Pact {
			p, err := OpenPact(PactOptions{netip.MustParseAddrPort(local), netip.MustParseAddrPort(remote), pactKey, node, ns.Path()})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { p.Close() })
			return p
		}
		pa, pb := open(a, "a", family[0], family[1]), open(b, "b", family[1], family[0])
		heard := make(chan guard.Decision, 8)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 2)
		go func() { ended <- pa.Run(ctx, func(d guard.Decision) { heard <- d }) }()
		go func() { ended <- pb.Run(ctx, func(d guard.Decision) { heard <- d }) }()
		if err := pb.Send(decided()); err != nil {
			t.Fatal(err)
		}
		select {
		case d := <-heard:
			if d != decided() {
				t.Errorf("%+v", d)
			}
		case <-time.After(10 * time.Second):
			t.Fatal("nothing was heard")
		}
		nstest.Wait(t, "the second datagram", func() bool { return pa.Figures() == PactFigures{Received: 1, Repeated: 1} })
		nstest.Send(t, b, netip.AddrPort{}, netip.MustParseAddrPort(family[0]), "hello")
		nstest.Wait(t, "a stranger", func() bool { return pa.Figures() == PactFigures{Received: 1, Repeated: 1, Foreign: 1} })
		cancel()
		if err := <-ended; err != context.Canceled {
			t.Errorf("%v", err)
		}
		<-ended
		if len(heard) > 0 {
			t.Errorf("more: %+v", <-heard)
		}
		pa.Close()
		if err := pa.Run(t.Context(), nil); err != nil {
			t.Errorf("closed: %v", err)
		}
		if err := pa.Send(decided()); err == nil {
			t.Error("sent by a closed pact")
		}
	}
}

func TestTheOtherNodeNeedNotBeThere(t *testing.T) {
	ns := nstest.New(t)
	ns.LoopbackUp()
	p, err := OpenPact(PactOptions{netip.MustParseAddrPort("127.0.0.1:0"), netip.MustParseAddrPort("127.0.0.2:9"), pactKey, "a", ns.Path()})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	for range 5 {
		if err := p.Send(decided()); err != nil {
			t.Error(err)
		}
	}
}

// FuzzUnseal: what has the right code and is understood is sealed and read as the same; nothing else is taken for a message.
func FuzzUnseal(f *testing.F) {
	f.Add(sealed(f, pactKey, decided(), noon, 1), true)
	f.Add(sealed(f, pactKey, guard.Decision{Node: "b", Time: noon, Kind: guard.NoKind}, noon, 2), true)
	f.Add(sealed(f, pactKey, guard.Decision{Node: "b", Time: noon, Offender: netip.MustParseAddr("fe80::1%eth0")}, noon, 2), false)
	f.Add([]byte("{}"), false)
	f.Add([]byte(`{"v":1,"nonce":"AAAAAAAAAAAAAAAAAAAAAA==","sent":"9999-12-31T23:59:59-02:00","node":"b","time":"2026-03-01T12:00:00Z","kind":"x"}`), false)
	f.Add([]byte(`{"v":1,"nonce":"AAAAAAAAAAAAAAAAAAAAAA==","sent":"2026-03-01T12:00:00+02:00","node":"\ud800","time":"2026-03-01T12:00:00Z","kind":"x"}`), false)
	f.Fuzz(func(t *testing.T, b []byte, signed bool) {
		if !signed {
			b = append(bytes.Clone(b), code(pactKey, b)...)
		}
		m, err := unseal(pactKey, b)
		if err != nil {
			return
		}
		again, err := seal(pactKey, &m)
		if err != nil {
			t.Fatalf("%+v: %v", m, err)
		}
		if len(again) > mostDatagram {
			return // escapes are longer than what they stand for
		}
		if got, err := unseal(pactKey, again); err != nil || got != m {
			t.Errorf("%v\n%+v\n%+v", err, got, m)
		}
	})
}
