package filter_test

import (
	"errors"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/spoor-project/spoor/filter"
	"github.com/spoor-project/spoor/flow"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

// busy is web with counters and times.
func busy() flow.Flow {
	f := web()
	f.Has |= flow.HasOrigCounters | flow.HasReplyCounters | flow.HasStart | flow.HasUse | flow.HasHelper | flow.HasSecCtx
	f.OrigCounters, f.ReplyCounters = flow.Counters{Packets: 100, Bytes: 5_000}, flow.Counters{Packets: 200, Bytes: 11_000_000}
	f.Start = flow.Timestamp(noon.Add(-90 * time.Minute).UnixNano())
	f.Use, f.Helper, f.SecCtx = 1, "ftp", "system_u:object_r:web t"
	return f
}

// queries are in the form that String writes, with what they say of busy and ping.
var queries = []struct {
	text       string
	busy, ping bool
}{
	{"", true, true},
	{"tcp", true, false},
	{"icmpv6", false, true},
	{"ipv4", true, false},
	{"not ipv6", true, false},
	{"proto 50", false, false},
	{"proto tcp,icmpv6", true, true},
	{"proto 0-16", true, false},
	{"tcp and dport 80 and assured", true, false},
	{"tcp and dport 443 and not assured", false, false},
	{"udp or tcp and dport 80", true, false},
	{"(udp or tcp) and dport 81", false, false},
	{"not (udp or tcp)", false, true},
	{"src 192.0.2.1", true, false},
	{"src 192.0.2.0/24", true, false},
	{"src 192.0.2.0-192.0.2.2", true, false},
	{"src 10.0.0.0/8,192.0.2.1,2001:db8::/32", true, true},
	{"dst 198.51.100.0/30", true, false},
	{"reply src 10.0.0.9", true, false},
	{"reply dst 192.0.2.1 and not reply src 198.51.100.1", true, false},
	{"host 10.0.0.9", true, false},
	{"orig host 10.0.0.9", false, false},
	{"orig host 2001:db8::2", false, true},
	{"host 0.0.0.0/0", true, false},
	{"sport 40000", true, false},
	{"sport 1024-65534", true, false},
	{"dport 80,443,8000-8100", true, false},
	{"reply sport 8080", true, false},
	{"port 8080", true, false},
	{"orig port 8080", false, false},
	{"dport <= 1023", true, false},
	{"sport >= 40000", true, false},
	{"sport >= 40001", false, false},
	{"port 0", false, false},
	{"icmp-type 128", false, true},
	{"icmp-code 7 and icmp-id 4242", false, true},
	{"zone 3", true, false},
	{"zone 0", false, true},
	{"orig zone 4 and reply zone 5", true, false},
	{"state established", true, false},
	{"state syn_sent,close", false, false},
	{"unreplied", false, true},
	{"replied", true, false},
	{"expected", false, false},
	{"status dst_nat", true, false},
	{"status expected,assured", true, false},
	{"mark 0x1234", true, false},
	{"mark 0x30/0xf0", true, false},
	{"mark 0x1,0x1234", true, false},
	{"not mark 0x0", true, true},
	{"label 5", true, false},
	{"label 1,5", true, false},
	{"label 1", false, false},
	{"helper ftp", true, false},
	{"helper sip,tftp", false, false},
	{`secctx "system_u:object_r:web t"`, true, false},
	{"id 77", true, false},
	{"use <= 1", true, false},
	{"bytes > 10M", true, false},
	{"orig bytes > 10M", false, false},
	{"reply bytes 11M", true, false},
	{"packets 300", true, false},
	{"packets <= 299", false, false},
	{"timeout 2m", true, false},
	{"timeout < 30s", false, false},
	{"timeout 1m-3m", true, false},
	{"age > 1h", true, false},
	{"age >= 1h and age < 2h", true, false},
	{"age <= 90m", true, false},
	{"nat", true, false},
	{"dnat", true, false},
	{"snat", false, false},
	{"dnat to 10.0.0.0/8", true, false},
	{"nat to 10.0.0.8", false, false},
}

func TestQueries(t *testing.T) {
	busy, ping := busy(), ping()
	for _, c := range queries {
		q, err := filter.Parse(c.text)
		if err != nil {
			t.Errorf("%q: %v", c.text, err)
			continue
		}
		if got := q.String(); got != c.text {
			t.Errorf("%q is written %q", c.text, got)
		}
		if got := q.Match(&busy, noon); got != c.busy {
			t.Errorf("%q selects the busy flow: %v", c.text, got)
		}
		if got := q.Match(&ping, noon); got != c.ping {
			t.Errorf("%q selects the ping: %v", c.text, got)
		}
		if flt := q.Filter(); c.busy && !flt.Match(&busy) || c.ping && !flt.Match(&ping) {
			t.Errorf("%q: the filter leaves out what the query selects: %+v", c.text, flt)
		}
		if q.IsZero() != (c.text == "") {
			t.Errorf("%q: IsZero is %v", c.text, q.IsZero())
		}
	}
}

// TestManyWaysToSayIt: what is on the left is written as on the right.
func TestManyWaysToSayIt(t *testing.T) {
	names := filter.Names{Service: func(name string) (uint16, bool) {
		port, ok := map[string]uint16{"https": 443, "http-alt": 8080}[name]
		return port, ok
	}, Labels: labels(t)}
	for _, c := range [][2]string{
		{"  any ", ""},
		{"any and tcp", "tcp"},
		{"tcp or any", ""},
		{"TCP && Dport 443", "tcp and dport 443"},
		{"udp||!tcp", "udp or not tcp"},
		{"((tcp)) and (udp and (sctp or gre))", "tcp and udp and (sctp or gre)"},
		{"not not tcp", "tcp"},
		{"not unreplied", "replied"},
		{"not seen_reply", "unreplied"},
		{"related", "expected"},
		{"status ASSURED", "assured"},
		{"src = 10.0.0.1", "src 10.0.0.1"},
		{"src != 10.0.0.1", "not src 10.0.0.1"},
		{"src 10.1.2.3/8", "src 10.0.0.0/8"},
		{"src 10.0.0.0-10.0.0.255", "src 10.0.0.0/24"},
		{"src 10.0.0.2, 10.0.0.1,10.0.0.2", "src 10.0.0.1,10.0.0.2"},
		{"dport 443,80,81, 82-90", "dport 80-90,443"},
		{"dport https,http-alt", "dport 443,8080"},
		{"dport 0x50", "dport 80"},
		{"dport 0-65535", "dport 0-65535"},
		{"dport > 1023", "dport >= 1024"},
		{"dport < 1024", "dport <= 1023"},
		{"original bytes > 1.5MB", "orig bytes > 1500k"},
		{"bytes >= 2Gi", "bytes >= 2147483648"},
		{"bytes 10MiB", "bytes 10485760"},
		{"timeout 90", "timeout 90s"},
		{"age > 1h30m", "age > 90m"},
		{"age > 1.5d", "age > 36h"},
		{"timeout 0", "timeout 0s"},
		{"mark 5", "mark 0x5"},
		{"label web", "label 5"},
		{`helper "ftp"`, "helper ftp"},
		{`helper "and"`, `helper "and"`},
		{"proto ipv6-icmp", "icmpv6"},
		{"proto 6", "tcp"},
		{"family ipv6", "ipv6"},
		{"state ESTABLISHED,established", "state established"},
	} {
		q, err := names.Parse(c[0])
		if err != nil {
			t.Errorf("%q: %v", c[0], err)
		} else if got := q.String(); got != c[1] {
			t.Errorf("%q is written %q, want %q", c[0], got, c[1])
		}
	}
}

func labels(t *testing.T) *flow.LabelMap {
	m, err := flow.ParseLabelMap(strings.NewReader("5 web\n"))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestSyntaxErrorsSayWhereAndWhat(t *testing.T) {
	for _, c := range []struct {
		text   string
		column int
		want   string
	}{
		{"tcp and", 8, "the end: expected a condition"},
		{"tcp dport 80", 5, `"dport": expected and, or, or the end`},
		{"tcp and dprot 80", 9, `unknown condition "dprot"; did you mean dport?`},
		{"assuerd", 1, `did you mean assured?`},
		{"frobnicate 7", 1, `unknown condition "frobnicate"`},
		{"(tcp or udp", 12, "the end: expected )"},
		{"tcp)", 4, `")": expected and`},
		{"dport 99999", 7, "99999 is too large, at most 65535"},
		{"dport https", 7, `"https" is not a port`},
		{"dport 90-80", 7, "ends before it begins"},
		{"dport 80-", 10, `"" is not a port`},
		{"src 10.0.0.300", 5, `"10.0.0.300" is not an address`},
		{"src 10.0.0.1/33", 5, "is not a network"},
		{"src 10.0.0.1-::1", 5, "ends before it begins"},
		{"src fe80::1%eth0", 5, "is not an address"},
		{"src < 10.0.0.1", 5, "src can be equal or not, but not less or greater"},
		{"reply state established", 7, "state does not differ between the directions"},
		{"orig", 5, "the end: expected a field of that direction"},
		{"state frozen", 7, `no protocol has a state "frozen"`},
		{"status frozen", 8, `no status is called "frozen"`},
		{"mark 0x10/0x0f", 6, "selects nothing"},
		{"mark 5/abc", 8, `"abc" is not a number`},
		{"label web", 7, "no label"},
		{"label 128", 7, "no label"},
		{"bytes > lots", 9, `"lots" is not a number, such as`},
		{"bytes > 99999999999T", 9, "is not a number"},
		{"age > 5 parsecs", 9, "expected and, or"},
		{"age > 5x", 7, `"5x" is not a time`},
		{"dport < 0", 7, "no dport is < 0"},
		{"helper", 7, "the end: expected a value for helper"},
		{"helper and tcp", 8, `"and": expected a value`},
		{`helper "ftp`, 8, "quotes are not closed"},
		{"proto foo", 7, `no protocol is called "foo"`},
		{"family 4", 8, "the families are ipv4 and ipv6"},
		{"tcp & udp", 5, "unexpected '&'"},
		{"tcp and ü", 9, "unexpected 'ü'"},
		{"not any", 1, "selects nothing"},
		{strings.Repeat("(", 300) + "tcp", 202, "nested too deeply"},
		{strings.Repeat("not ", 300) + "tcp", 805, "nested too deeply"},
	} {
		_, err := filter.Parse(c.text)
		var syntax *filter.SyntaxError
		if !errors.As(err, &syntax) {
			t.Errorf("%q: %v", c.text, err)
			continue
		}
		if syntax.Column != c.column || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v, want column %d: … %s …", c.text, err, c.column, c.want)
		}
	}
}

// FuzzParse: what is read is written so that the same is read again.
func FuzzParse(f *testing.F) {
	for _, c := range queries {
		f.Add(c.text)
	}
	f.Add(`not (tcp or secctx "a\x00\"b") and age > 1h30m or dport >= 0x1f`)
	f.Fuzz(func(t *testing.T, text string) {
		q, err := filter.Parse(text)
		if err != nil {
			return
		}
		again, err := filter.Parse(q.String())
		if err != nil {
			t.Fatalf("%q is written %q, which is refused: %v", text, q, err)
		}
		if !reflect.DeepEqual(q, again) || again.String() != q.String() {
			t.Fatalf("%q is written %q, which is read as %q", text, q, again)
		}
		busy, ping := busy(), ping()
		for _, f := range []*flow.Flow{&busy, &ping} {
			if got := q.Match(f, noon); got != again.Match(f, noon) || got && !q.Filter().Match(f) {
				t.Fatalf("%q and %q select different flows", text, again)
			}
		}
	})
}

// TestFilterLeavesNothingOut joins conditions at random and holds them against flows made at random.
func TestFilterLeavesNothingOut(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	selected, narrowed := 0, 0
	for range 3000 {
		var parts []string
		for range 1 + rng.IntN(3) {
			part := queries[1+rng.IntN(len(queries)-1)].text
			if rng.IntN(3) == 0 {
				part = "not (" + part + ")"
			}
			parts = append(parts, "("+part+")")
		}
		q, err := filter.Parse(strings.Join(parts, []string{" and ", " and ", " or "}[rng.IntN(3)]))
		if err != nil {
			t.Fatal(err)
		}
		flt := q.Filter()
		if !flt.IsZero() {
			narrowed++
		}
		for range 20 {
			f := anyFlow(rng)
			if q.Match(&f, noon) {
				selected++
				if !flt.Match(&f) {
					t.Fatalf("%s: the filter leaves out %+v: %+v", q, f, flt)
				}
			}
		}
	}
	if selected < 1000 || narrowed < 500 {
		t.Errorf("%d flows, %d filters: this tests nothing", selected, narrowed)
	}
}

// anyFlow is one of the two flows with some things changed.
func anyFlow(rng *rand.Rand) flow.Flow {
	f := busy()
	if rng.IntN(3) == 0 {
		f = ping()
	}
	for range rng.IntN(4) {
		switch rng.IntN(10) {
		case 0:
			f.Orig.Proto = []flow.Proto{flow.UDP, flow.ICMP, flow.GRE, flow.SCTP, 50}[rng.IntN(5)]
			f.Reply.Proto = f.Orig.Proto
		case 1:
			f.Status = flow.Status(rng.Uint32N(1 << 16))
		case 2:
			f.Orig.Src = netip.AddrFrom4([4]byte{10, 0, 0, byte(rng.IntN(12))})
		case 3:
			f.Reply.Src = netip.AddrFrom4([4]byte{10, 0, 0, byte(rng.IntN(12))})
		case 4:
			f.Orig.DstPort = uint16([]int{0, 80, 81, 443, 1024, 8080}[rng.IntN(6)])
		case 5:
			f.Has &^= 1 << rng.IntN(24) &^ flow.HasStatus
		case 6:
			f.Mark, f.Zone = rng.Uint32N(3), uint16(rng.IntN(4))
		case 7:
			f.State = uint8(rng.IntN(10))
		case 8:
			f.Reply, _ = f.Orig.Inverse()
		case 9:
			f.Labels = flow.Labels{byte(rng.Uint32())}
		}
	}
	return f
}

func TestQueriesDoNotAllocate(t *testing.T) {
	q, err := filter.Parse(everything)
	if err != nil {
		t.Fatal(err)
	}
	f := busy()
	if n := testing.AllocsPerRun(100, func() {
		if !q.Match(&f, noon) {
			t.Fatal("not selected")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

const everything = "tcp and src 192.0.2.0/24,10.0.0.0/8 and dport 80,443 and assured and not mark 0x1 and bytes > 10M and age > 1h and state established and (helper ftp or nat)"

func BenchmarkQuery(b *testing.B) {
	for name, text := range map[string]string{
		"three_conditions": "tcp and dport 443 and not assured",
		"nine_conditions":  everything,
	} {
		b.Run(name, func(b *testing.B) {
			q, err := filter.Parse(text)
			if err != nil {
				b.Fatal(err)
			}
			f := busy()
			if name == "three_conditions" {
				f.Orig.DstPort, f.Status = 443, flow.Confirmed
			}
			b.ReportAllocs()
			for b.Loop() {
				if !q.Match(&f, noon) {
					b.Fatal("not selected")
				}
			}
		})
	}
}

// TestWordsAreKnown: what completions offer is accepted.
func TestWordsAreKnown(t *testing.T) {
	for _, field := range filter.Words() {
		for _, value := range filter.ValuesOf(field) {
			if _, err := filter.Parse(field + " " + value); err != nil {
				t.Error(err)
			}
		}
		var syntax *filter.SyntaxError
		if _, err := filter.Parse(field); errors.As(err, &syntax) && strings.Contains(err.Error(), "unknown") {
			t.Error(err)
		}
	}
	if len(filter.ValuesOf("state")) < 10 || filter.ValuesOf("src") != nil {
		t.Error("values of state or src")
	}
}
