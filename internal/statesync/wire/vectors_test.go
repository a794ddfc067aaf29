package wire_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/statesync/wire"
)

// vector is a datagram that conntrackd 1.4.9 sent, and what it says according to the tool that
// recorded it.
type vector struct {
	Name    string
	Payload string `json:"payload_hex"`
	Decoded struct{ Messages []vectorMessage }
	raw     any // Decoded as it stands
}

type vectorMessage struct {
	Type, Flags uint8
	Len         uint16
	Seq         uint32
	From, To    uint32
	Attrs       []struct {
		Attr  uint8
		Name  string
		Value any
	}
}

func (m *vectorMessage) header() wire.Header {
	return wire.Header{Type: wire.Type(m.Type), Flags: wire.Flags(m.Flags), Length: m.Len, Seq: m.Seq}
}

func (v *vector) payload(t testing.TB) []byte { return unhex(t, v.Payload) }

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// vectors returns those of testdata, and those of the folder that SPOOR_VECTORS names.
func vectors(t testing.TB) []vector {
	t.Helper()
	files, err := filepath.Glob("testdata/vectors/*.json")
	if err != nil || len(files) < 150 {
		t.Fatalf("%d vectors, %v", len(files), err)
	}
	if dir := os.Getenv("SPOOR_VECTORS"); dir != "" {
		more, err := filepath.Glob(filepath.Join(dir, "*.json"))
		if err != nil || len(more) == 0 {
			t.Fatalf("SPOOR_VECTORS: %d vectors, %v", len(more), err)
		}
		files = append(files, more...)
	}
	all := make([]vector, len(files))
	for i, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var loose struct{ Decoded any }
		if err := json.Unmarshal(text, &all[i]); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := json.Unmarshal(text, &loose); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		all[i].raw = loose.Decoded
	}
	return all
}

func TestVectorsAreDissectedAsRecorded(t *testing.T) {
	for _, v := range vectors(t) {
		text, err := json.Marshal(wire.Dissect(v.payload(t)))
		if err != nil {
			t.Fatalf("%s: %v", v.Name, err)
		}
		var got any
		if err := json.Unmarshal(text, &got); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, unsigned(v.raw)) {
			t.Errorf("%s:\ngot  %v\nwant %v", v.Name, got, v.raw)
		}
	}
}

// unsigned turns the offsets in NAT_SEQ_ADJ, which the recorder reads as unsigned, into signed ones.
func unsigned(x any) any {
	switch x := x.(type) {
	case map[string]any:
		for name, value := range x {
			n, ok := value.(float64)
			if ok && n >= 1<<31 && (name == "orig_offset_before" || name == "orig_offset_after" ||
				name == "repl_offset_before" || name == "repl_offset_after") {
				value = n - 1<<32
			}
			x[name] = unsigned(value)
		}
	case []any:
		for i := range x {
			x[i] = unsigned(x[i])
		}
	}
	return x
}

func TestVectorsSurviveDecodingAndEncoding(t *testing.T) {
	var d wire.Decoder
	for _, v := range vectors(t) {
		payload := v.payload(t)
		var again []byte
		for r := wire.Datagram(payload); r.Next(); {
			m := &r.Message
			if r.Fault != 0 {
				t.Errorf("%s: %s", v.Name, r.Fault)
			}
			switch {
			case m.Type == wire.Control:
				again = wire.AppendControl(again, m.Header, m.Range)
			case m.Type.IsFlow():
				var f wire.Flow
				if fault := d.Flow(m, &f); fault != 0 {
					t.Errorf("%s: %s", v.Name, fault)
				}
				again = f.Append(again, m.Header)
			case m.Type.IsExpect():
				var e wire.Expect
				if fault := d.Expect(m, &e); fault != 0 {
					t.Errorf("%s: %s", v.Name, fault)
				}
				again = e.Append(again, m.Header)
			}
		}
		if !bytes.Equal(again, payload) {
			t.Errorf("%s:\ngot  %x\nwant %x", v.Name, again, payload)
		}
	}
}

// The recorded values, put into a flow by hand as the kernel would report it, give the recorded bytes.
func TestVectorsAreWhatWeSend(t *testing.T) {
	for _, v := range vectors(t) {
		var got []byte
		for i := range v.Decoded.Messages {
			m := &v.Decoded.Messages[i]
			h := m.header()
			switch {
			case h.Type == wire.Control:
				got = wire.AppendControl(got, wire.Header{Flags: h.Flags, Seq: h.Seq}, wire.Range{From: m.From, To: m.To})
			case h.Type.IsFlow():
				f, o := reported(t, m)
				got = wire.AppendFlow(got, h, &f, o)
			default:
				e, o := announced(t, m)
				got = wire.AppendExpect(got, h, &e, o)
			}
		}
		if want := v.payload(t); !bytes.Equal(got, want) {
			t.Errorf("%s:\ngot  %x\nwant %x", v.Name, got, want)
		}
	}
}

func number(v any) uint32 { return uint32(v.(float64)) }

func setAddrs(t *flow.Tuple, v any) {
	m := v.(map[string]any)
	t.Src, t.Dst = netip.MustParseAddr(m["src"].(string)), netip.MustParseAddr(m["dst"].(string))
}

func setPorts(t *flow.Tuple, v any) {
	m := v.(map[string]any)
	t.SrcPort, t.DstPort = uint16(number(m["sport"])), uint16(number(m["dport"]))
}

// reported returns the flow that a message tells of, and the options under which it was sent.
func reported(t *testing.T, m *vectorMessage) (flow.Flow, wire.Options) {
	var f flow.Flow
	o := wire.Options{OmitTimeout: true}
	var typ, code uint8
	var id uint16
	values := make(map[string]any)
	for _, a := range m.Attrs {
		values[a.Name] = a.Value
		switch v := a.Value; a.Name {
		case "IPV4", "IPV6":
			setAddrs(&f.Orig, v)
		case "L4PROTO":
			f.Orig.Proto = flow.Proto(number(v))
		case "PORT":
			setPorts(&f.Orig, v)
		case "ICMP_TYPE":
			typ = uint8(number(v))
		case "ICMP_CODE":
			code = uint8(number(v))
		case "ICMP_ID":
			id = uint16(number(v))
		case "STATUS":
			f.Status = flow.Status(number(v))
			f.Has |= flow.HasStatus
		case "TCP_STATE", "SCTP_STATE", "DCCP_STATE":
			f.State = uint8(number(v))
			f.Has |= flow.HasState
		case "TCP_WSCALE_ORIG":
			f.OrigWindow.Scale = uint8(number(v))
			f.Has |= flow.HasTCPWindow
			o.TCPWindowTracking = true
		case "TCP_WSCALE_REPL":
			f.ReplyWindow.Scale = uint8(number(v))
		case "SCTP_VTAG_ORIG":
			f.VTags.Orig = number(v)
			f.Has |= flow.HasVTags
		case "SCTP_VTAG_REPL":
			f.VTags.Reply = number(v)
		case "DCCP_ROLE":
			f.DCCP.Role = flow.DCCPRole(number(v))
			f.Has |= flow.HasDCCP
		case "TIMEOUT":
			f.Timeout = time.Duration(number(v)) * time.Second
			f.Has |= flow.HasTimeout
			o.OmitTimeout = false
		case "MARK":
			f.Mark = number(v)
			f.Has |= flow.HasMark
		case "MASTER_IPV4", "MASTER_IPV6":
			setAddrs(&f.Master, v)
			f.Has |= flow.HasMaster
		case "MASTER_L4PROTO":
			f.Master.Proto = flow.Proto(number(v))
		case "MASTER_PORT":
			setPorts(&f.Master, v)
		case "SNAT_IPV4", "SNAT_IPV6", "DNAT_IPV4", "DNAT_IPV6", "SPAT_PORT", "DPAT_PORT":
		case "NAT_SEQ_ADJ":
			at := func(name string) uint32 { return number(v.(map[string]any)[name]) }
			f.OrigSeqAdj = flow.SeqAdj{CorrectionPos: at("orig_correction_pos"),
				OffsetBefore: int32(at("orig_offset_before")), OffsetAfter: int32(at("orig_offset_after"))}
			f.ReplySeqAdj = flow.SeqAdj{CorrectionPos: at("repl_correction_pos"),
				OffsetBefore: int32(at("repl_offset_before")), OffsetAfter: int32(at("repl_offset_after"))}
			f.Has |= flow.HasOrigSeqAdj | flow.HasReplySeqAdj
		case "HELPER_NAME":
			f.Helper = v.(string)
			f.Has |= flow.HasHelper
		case "LABELS":
			for _, n := range v.(map[string]any)["bits"].([]any) {
				f.Labels.Set(int(number(n)))
			}
			f.Has |= flow.HasLabels
		case "SYNPROXY":
			at := func(name string) uint32 { return number(v.(map[string]any)[name]) }
			f.Synproxy = flow.Synproxy{ITS: at("its"), ISN: at("isn"), TSOff: at("tsoff")}
			f.Has |= flow.HasSynproxy
		case "ZONE":
			f.Zone = uint16(number(v))
			f.Has |= flow.HasZone
		default:
			t.Fatalf("no value for %s", a.Name)
		}
	}
	if typ != 0 || code != 0 || id != 0 {
		f.Orig.SetICMP(typ, code, id)
	}
	f.Reply, _ = f.Orig.Inverse()
	f.Has |= flow.HasReply
	for _, n := range []struct {
		name string
		addr *netip.Addr
	}{{"SNAT_IPV4", &f.Reply.Dst}, {"SNAT_IPV6", &f.Reply.Dst}, {"DNAT_IPV4", &f.Reply.Src}, {"DNAT_IPV6", &f.Reply.Src}} {
		if v, ok := values[n.name]; ok {
			*n.addr = netip.MustParseAddr(v.(string))
		}
	}
	if f.Orig.Proto.Shape() != flow.ShapeICMP {
		if v, ok := values["SPAT_PORT"]; ok {
			f.Reply.DstPort = uint16(number(v))
		}
		if v, ok := values["DPAT_PORT"]; ok {
			f.Reply.SrcPort = uint16(number(v))
		}
	}
	return f, o
}

// announced returns the expectation that a message tells of.
func announced(t *testing.T, m *vectorMessage) (flow.Expect, wire.Options) {
	var e flow.Expect
	o := wire.Options{OmitTimeout: true}
	for _, a := range m.Attrs {
		switch v := a.Value; a.Name {
		case "MASTER_IPV4", "MASTER_IPV6":
			setAddrs(&e.Master, v)
			e.Has |= flow.ExpectHasMaster
		case "MASTER_L4PROTO":
			e.Master.Proto = flow.Proto(number(v))
		case "MASTER_PORT":
			setPorts(&e.Master, v)
		case "EXPECT_IPV4", "EXPECT_IPV6":
			setAddrs(&e.Tuple, v)
		case "EXPECT_L4PROTO":
			e.Tuple.Proto = flow.Proto(number(v))
		case "EXPECT_PORT":
			setPorts(&e.Tuple, v)
		case "MASK_IPV4", "MASK_IPV6":
			setAddrs(&e.Mask, v)
			e.Has |= flow.ExpectHasMask
		case "MASK_L4PROTO":
			e.Mask.Proto = flow.Proto(number(v))
		case "MASK_PORT":
			setPorts(&e.Mask, v)
		case "TIMEOUT":
			e.Timeout = time.Duration(number(v)) * time.Second
			e.Has |= flow.ExpectHasTimeout
			o.OmitTimeout = false
		case "FLAGS":
			e.Flags = flow.ExpectFlags(number(v))
			e.Has |= flow.ExpectHasFlags
		case "CLASS":
			e.Class = number(v)
			e.Has |= flow.ExpectHasClass
		case "NAT_IPV4":
			setAddrs(&e.NAT, v)
			e.Has |= flow.ExpectHasNAT
		case "NAT_L4PROTO":
			e.NAT.Proto = flow.Proto(number(v))
		case "NAT_PORT":
			setPorts(&e.NAT, v)
		case "NAT_DIR":
			e.NATReply = number(v) != 0
		case "HELPER_NAME":
			e.Helper = v.(string)
			e.Has |= flow.ExpectHasHelper
		case "FN":
			e.Func = v.(string)
			e.Has |= flow.ExpectHasFunc
		default:
			t.Fatalf("no value for %s", a.Name)
		}
	}
	return e, o
}
