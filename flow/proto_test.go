package flow

import (
	"slices"
	"strconv"
	"testing"
)

func TestProtosAreAscendingAndKnown(t *testing.T) {
	want := []Proto{ICMP, TCP, UDP, DCCP, GRE, ICMPv6, SCTP, UDPLite}
	if got := Protos(); !slices.Equal(got, want) {
		t.Errorf("Protos() = %v, want %v", got, want)
	}
	for n := range 256 {
		if p := Proto(n); p.Known() != slices.Contains(want, p) {
			t.Errorf("Proto(%d).Known() = %v", n, p.Known())
		}
	}
}

func TestProtoNamesAreParsedBack(t *testing.T) {
	for _, p := range Protos() {
		if got, ok := ParseProto(p.String()); got != p || !ok {
			t.Errorf("ParseProto(%q) = %v, %v, want %v", p.String(), got, ok, p)
		}
	}
	for _, name := range []string{"", "TCP", "6", "igmp", "unknown"} {
		if p, ok := ParseProto(name); ok {
			t.Errorf("ParseProto(%q) = %v, want none", name, p)
		}
	}
}

func TestProtoWithoutTrackerIsANumber(t *testing.T) {
	for _, p := range []Proto{0, 2, 50, 255} {
		if got, want := p.String(), strconv.Itoa(int(p)); got != want {
			t.Errorf("Proto(%d).String() = %q, want %q", p, got, want)
		}
		if p.Shape() != ShapeNone || p.StateName(0) != "" {
			t.Errorf("Proto(%d) has shape %d, state %q", p, p.Shape(), p.StateName(0))
		}
		if _, ok := p.ParseState("NONE"); ok {
			t.Errorf("Proto(%d) has a state NONE", p)
		}
	}
}

func TestShapes(t *testing.T) {
	want := map[Proto]Shape{ICMP: ShapeICMP, ICMPv6: ShapeICMP, GRE: ShapeKeys,
		TCP: ShapePorts, UDP: ShapePorts, DCCP: ShapePorts, SCTP: ShapePorts, UDPLite: ShapePorts}
	for _, p := range Protos() {
		if got := p.Shape(); got != want[p] {
			t.Errorf("%v.Shape() = %d, want %d", p, got, want[p])
		}
	}
}

func TestStateNamesAreParsedBack(t *testing.T) {
	stateful := []Proto{TCP, DCCP, SCTP}
	for _, p := range Protos() {
		seen := map[string]bool{}
		for n := range 256 {
			name := p.StateName(uint8(n))
			if name == "" {
				continue
			}
			if got, ok := p.ParseState(name); int(got) != n || !ok {
				t.Errorf("%v.ParseState(%q) = %d, %v, want %d", p, name, got, ok, n)
			}
			if seen[name] {
				t.Errorf("%v has two states %q", p, name)
			}
			seen[name] = true
		}
		if got, want := len(seen), 10; slices.Contains(stateful, p) != (got == want) {
			t.Errorf("%v has %d states", p, got)
		}
		for _, name := range []string{"", "established", "LISTEN"} {
			if n, ok := p.ParseState(name); ok {
				t.Errorf("%v.ParseState(%q) = %d, want none", p, name, n)
			}
		}
	}
}

func TestStateNamesMatchTheirConstants(t *testing.T) {
	tests := []struct {
		proto Proto
		state uint8
		want  string
	}{
		{TCP, TCPSynSent, "SYN_SENT"}, {TCP, TCPEstablished, "ESTABLISHED"}, {TCP, TCPClose, "CLOSE"}, {TCP, TCPSynSent2, "SYN_SENT2"},
		{SCTP, SCTPClosed, "CLOSED"}, {SCTP, SCTPEstablished, "ESTABLISHED"}, {SCTP, SCTPHeartbeatAcked, "HEARTBEAT_ACKED"},
		{DCCP, DCCPRequest, "REQUEST"}, {DCCP, DCCPOpen, "OPEN"}, {DCCP, DCCPInvalid, "INVALID"},
	}
	for _, tt := range tests {
		if got := tt.proto.StateName(tt.state); got != tt.want {
			t.Errorf("%v.StateName(%d) = %q, want %q", tt.proto, tt.state, got, tt.want)
		}
	}
}

func TestICMPAnswersGoBothWays(t *testing.T) {
	for _, family := range []Family{IPv4, IPv6} {
		for n := range 256 {
			answer, ok := ICMPAnswer(family, uint8(n))
			if !ok {
				continue
			}
			if back, ok := ICMPAnswer(family, answer); int(back) != n || !ok {
				t.Errorf("%v: %d answers %d, but %d, %v answers that", family, answer, n, back, ok)
			}
		}
	}
}

func TestNamesOfSmallTypes(t *testing.T) {
	for got, want := range map[string]string{
		IPv4.String(): "ipv4", IPv6.String(): "ipv6", AnyFamily.String(): "unknown",
		New.String(): "NEW", Update.String(): "UPDATE", Destroy.String(): "DESTROY", Lost.String(): "LOST",
		EventType(0).String(): "NONE", DCCPClient.String(): "client", DCCPServer.String(): "server",
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
