package agent

import (
	"net/netip"
	"testing"

	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/config"
)

func tcpFlow(src, dst string, state uint8) flow.Flow {
	f := flow.Flow{Has: flow.HasReply | flow.HasState, State: state,
		Orig: flow.Tuple{Src: netip.MustParseAddr(src), Dst: netip.MustParseAddr(dst), SrcPort: 1, DstPort: 2, Proto: flow.TCP}}
	f.Reply, _ = f.Orig.Inverse()
	return f
}

func TestFilter(t *testing.T) {
	nets := func(p config.Policy, list ...string) (s config.AddressSet) {
		s.Policy = p
		for _, n := range list {
			s.List = append(s.List, netip.MustParsePrefix(n))
		}
		return s
	}
	udp := tcpFlow("10.0.0.1", "192.0.2.1", 0)
	udp.Orig.Proto, udp.Has = flow.UDP, flow.HasReply
	for _, c := range []struct {
		what   string
		filter *config.Filter
		flow   flow.Flow
		typ    flow.EventType
		passes bool
	}{
		{"nothing asked", nil, udp, flow.New, true},
		{"protocol listed", &config.Filter{Protocols: config.ProtocolSet{Policy: config.Accept, List: []config.Protocol{{Number: 17}}}}, udp, flow.New, true},
		{"protocol not listed", &config.Filter{Protocols: config.ProtocolSet{Policy: config.Accept, List: []config.Protocol{{Number: 6}}}}, udp, flow.New, false},
		{"protocol ignored", &config.Filter{Protocols: config.ProtocolSet{Policy: config.Ignore, List: []config.Protocol{{Number: 17}}}}, udp, flow.New, false},
		{"source ignored", &config.Filter{Addresses: nets(config.Ignore, "10.0.0.1/32")}, udp, flow.New, false},
		{"real destination ignored", &config.Filter{Addresses: nets(config.Ignore, "192.0.2.0/24")}, udp, flow.New, false},
		{"another ignored", &config.Filter{Addresses: nets(config.Ignore, "192.0.3.0/24", "127.0.0.1/32")}, udp, flow.New, true},
		{"network accepted, with host bits", &config.Filter{Addresses: nets(config.Accept, "10.0.0.77/8")}, udp, flow.New, true},
		{"only the other family accepted", &config.Filter{Addresses: nets(config.Accept, "2001:db8::/32")}, udp, flow.New, false},
		{"state accepted", states(config.Accept), tcpFlow("1.1.1.1", "2.2.2.2", flow.TCPEstablished), flow.Update, true},
		{"state not accepted", states(config.Accept), tcpFlow("1.1.1.1", "2.2.2.2", flow.TCPTimeWait), flow.Update, false},
		{"the end passes in any state", states(config.Accept), tcpFlow("1.1.1.1", "2.2.2.2", flow.TCPTimeWait), flow.Destroy, true},
		{"other protocols have no state", states(config.Accept), udp, flow.Update, true},
		{"all sets must pass", &config.Filter{Addresses: nets(config.Accept, "10.0.0.0/8"),
			Protocols: config.ProtocolSet{Policy: config.Ignore, List: []config.Protocol{{Number: 17}}}}, udp, flow.New, false},
	} {
		if got := newFilter(c.filter).passes(&c.flow, c.typ); got != c.passes {
			t.Errorf("%s: passes %v", c.what, got)
		}
	}
}

func states(p config.Policy) *config.Filter {
	return &config.Filter{States: config.StateSet{Policy: p, List: []config.TCPState{config.Established}}}
}

func TestFilterOfExpectations(t *testing.T) {
	any, some := &filter{anyHelper: true}, &filter{helpers: []string{"sip", "FTP"}}
	for name, passes := range map[string]bool{"sip-5060": true, "ftp": true, "tftp": false, "": false, "si": false} {
		x := &flow.Expect{Helper: name}
		if got := some.passesExpect(x); got != passes {
			t.Errorf("%q: passes %v", name, got)
		}
		if got := any.passesExpect(x); got != (name != "") {
			t.Errorf("%q: passes %v where all are wanted", name, got)
		}
	}
}
