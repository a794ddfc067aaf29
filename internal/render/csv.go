package render

import (
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spoor-project/spoor/flow"
)

// A column is a member of the JSON object, with the names of nested members joined
// by '_'. All records of a subject have the same columns, in the order of json.go;
// a cell is empty where JSON has no member. Each cell is appended with a comma behind
// it, and closeRow removes the last.

const (
	eventColumns    = "type,time,dropped"
	protocolColumns = "proto,protonum"
	tupleColumns    = "src,dst,sport,dport,srckey,dstkey,type,code,id,zone"
	dirColumns      = tupleColumns + ",packets,bytes,wscale,tcpflags,vtag,seqadj_pos,seqadj_before,seqadj_after"
)

var (
	flowOwnColumns = "family," + protocolColumns + ",state,timeout," +
		under("orig_", dirColumns) + "," + under("reply_", dirColumns) +
		",status,nat,mark,secmark,secctx,zone,labels,label_names,helper,use,id,start,stop,duration," +
		under("master_", protocolColumns+","+tupleColumns) +
		",dccp_role,dccp_handshake_seq,synproxy_isn,synproxy_its,synproxy_tsoff"
	flowColumns = eventColumns + "," + flowOwnColumns + ",portid,program"

	expectOwnColumns = "family," + protocolColumns + ",timeout," +
		under("tuple_", tupleColumns) + "," + under("mask_", tupleColumns) + "," +
		under("master_", protocolColumns+","+tupleColumns) +
		",zone,flags,class,helper,func,id,nat_dir," + under("nat_", tupleColumns)
	expectColumns = eventColumns + "," + expectOwnColumns + ",portid"
)

// under puts a prefix before each column.
func under(prefix, columns string) string {
	return prefix + strings.ReplaceAll(columns, ",", ","+prefix)
}

// Empty cells for the parts that a record does not have.
var (
	noEvent     = emptyCells(eventColumns)
	noFlow      = emptyCells(flowOwnColumns)
	noExpect    = emptyCells(expectOwnColumns)
	noTuple     = emptyCells(tupleColumns)
	noMaster    = emptyCells(protocolColumns + "," + tupleColumns)
	noNAT       = emptyCells("dir," + tupleColumns)
	noRequester = emptyCells("portid,program")
	noPortID    = emptyCells("portid")
)

func emptyCells(columns string) string {
	return strings.Repeat(",", 1+strings.Count(columns, ","))
}

func appendCSVFlow(b []byte, s *Style, f *flow.Flow, now time.Time) []byte {
	b = append(b, noEvent...)
	b = appendCSVFlowCells(b, s, f, now)
	return closeRow(append(b, noRequester...))
}

func appendCSVEvent(b []byte, s *Style, e *flow.Event, program string, now time.Time) []byte {
	if e.Time != 0 {
		now = e.Time.Time()
	}
	b = appendCSVEventCells(b, e.Type, e.Dropped, now)
	if e.Type == flow.Lost {
		b = append(b, noFlow...)
	} else {
		b = appendCSVFlowCells(b, s, &e.Flow, now)
	}
	if e.PortID == 0 {
		program = ""
	}
	b = appendCell(b, e.PortID != 0, uint64(e.PortID))
	return closeRow(append(appendCSVString(b, program), ','))
}

func appendCSVFlowCells(b []byte, s *Style, f *flow.Flow, now time.Time) []byte {
	b = appendCSVProtocols(b, &f.Orig)
	if f.Has.Has(flow.HasState) {
		b = appendState(b, f.Orig.Proto, f.State)
	}
	b = append(b, ',')
	b = appendCell(b, f.Has.Has(flow.HasTimeout), seconds(f.Timeout))
	orig, reply := originalOf(f), replyOf(f)
	b = appendCSVDirection(b, &orig)
	b = appendCSVDirection(b, &reply)
	if f.Has.Has(flow.HasStatus) {
		b = appendStatus(b, false, f.Status)
	}
	b = append(b, ',')
	if t, ok := translated(f); ok {
		b = appendTranslation(b, false, t, f.Orig.Proto.Shape())
	}
	b = append(b, ',')
	b = appendCell(b, f.Has.Has(flow.HasMark), uint64(f.Mark))
	b = appendCell(b, f.Has.Has(flow.HasSecMark), uint64(f.SecMark))
	b = appendStringCell(b, f.Has.Has(flow.HasSecCtx), f.SecCtx)
	b = appendCell(b, f.Has.Has(flow.HasZone), uint64(f.Zone))
	if f.Has.Has(flow.HasLabels) {
		b = appendLabelBits(b, false, &f.Labels)
	}
	b = append(b, ',')
	if s.labelled(f) {
		b = appendLabelNames(b, false, s.Labels, &f.Labels)
	}
	b = append(b, ',')
	b = appendStringCell(b, f.Has.Has(flow.HasHelper), f.Helper)
	b = appendCell(b, f.Has.Has(flow.HasUse), uint64(f.Use))
	b = appendCell(b, f.Has.Has(flow.HasID), uint64(f.ID))
	b = appendTimeCell(b, f.Has.Has(flow.HasStart), f.Start)
	b = appendTimeCell(b, f.Has.Has(flow.HasStop), f.Stop)
	if f.Has.Has(flow.HasStart) {
		b = appendDuration(b, f, now)
	}
	b = append(b, ',')
	return appendCSVRareCells(b, f)
}

// appendCSVRareCells appends what few flows have.
func appendCSVRareCells(b []byte, f *flow.Flow) []byte {
	b = appendCSVMaster(b, f.Has.Has(flow.HasMaster), &f.Master)
	dccp := f.Has.Has(flow.HasDCCP)
	b = appendStringCell(b, dccp, f.DCCP.Role.String())
	b = appendCell(b, dccp, f.DCCP.HandshakeSeq)
	synproxy := f.Has.Has(flow.HasSynproxy)
	b = appendCell(b, synproxy, uint64(f.Synproxy.ISN))
	b = appendCell(b, synproxy, uint64(f.Synproxy.ITS))
	return appendCell(b, synproxy, uint64(f.Synproxy.TSOff))
}

func appendCSVDirection(b []byte, d *direction) []byte {
	b = appendCSVTuple(b, d.tuple)
	if d.counters != nil {
		b = appendCell(b, true, d.counters.Packets)
		b = appendCell(b, true, d.counters.Bytes)
	} else {
		b = append(b, ",,"...)
	}
	if d.window != nil {
		b = appendCell(b, true, uint64(d.window.Scale))
		b = append(appendTCPFlags(b, false, d.window.Flags), ',')
	} else {
		b = append(b, ",,"...)
	}
	if d.vtag != nil {
		b = AppendDecimal(b, uint64(*d.vtag))
	}
	b = append(b, ',')
	if d.seqAdj == nil {
		return append(b, ",,,"...)
	}
	b = appendCell(b, true, uint64(d.seqAdj.CorrectionPos))
	b = append(strconv.AppendInt(b, int64(d.seqAdj.OffsetBefore), 10), ',')
	return append(strconv.AppendInt(b, int64(d.seqAdj.OffsetAfter), 10), ',')
}

func appendCSVExpect(b []byte, x *flow.Expect) []byte {
	b = append(b, noEvent...)
	b = appendCSVExpectCells(b, x)
	return closeRow(append(b, noPortID...))
}

func appendCSVExpectEvent(b []byte, e *flow.ExpectEvent, now time.Time) []byte {
	b = appendCSVEventCells(b, e.Type, e.Dropped, now)
	if e.Type == flow.Lost {
		b = append(b, noExpect...)
	} else {
		b = appendCSVExpectCells(b, &e.Expect)
	}
	return closeRow(appendCell(b, e.PortID != 0, uint64(e.PortID)))
}

func appendCSVExpectCells(b []byte, x *flow.Expect) []byte {
	b = appendCSVProtocols(b, &x.Tuple)
	b = appendCell(b, x.Has.Has(flow.ExpectHasTimeout), seconds(x.Timeout))
	b = appendCSVTuple(b, &x.Tuple)
	if x.Has.Has(flow.ExpectHasMask) {
		b = appendCSVTuple(b, &x.Mask)
	} else {
		b = append(b, noTuple...)
	}
	b = appendCSVMaster(b, x.Has.Has(flow.ExpectHasMaster), &x.Master)
	b = appendCell(b, x.Has.Has(flow.ExpectHasZone), uint64(x.Zone))
	if x.Has.Has(flow.ExpectHasFlags) {
		b = appendExpectFlags(b, false, x.Flags)
	}
	b = append(b, ',')
	b = appendCell(b, x.Has.Has(flow.ExpectHasClass), uint64(x.Class))
	b = appendStringCell(b, x.Has.Has(flow.ExpectHasHelper), x.Helper)
	b = appendStringCell(b, x.Has.Has(flow.ExpectHasFunc), x.Func)
	b = appendCell(b, x.Has.Has(flow.ExpectHasID), uint64(x.ID))
	if !x.Has.Has(flow.ExpectHasNAT) {
		return append(b, noNAT...)
	}
	b = appendStringCell(b, true, natDirection(x))
	return appendCSVTuple(b, &x.NAT)
}

func appendCSVEventCells(b []byte, typ flow.EventType, dropped uint64, now time.Time) []byte {
	b = append(append(b, typeName(typ)...), ',')
	b = append(appendTime(b, now), ',')
	return appendCell(b, dropped != 0, dropped)
}

func appendCSVProtocols(b []byte, t *flow.Tuple) []byte {
	if family := t.Family(); family != flow.AnyFamily {
		b = append(b, family.String()...)
	}
	return appendCSVProto(append(b, ','), t.Proto)
}

func appendCSVProto(b []byte, p flow.Proto) []byte {
	if p.Known() {
		b = append(b, p.String()...)
	}
	return appendCell(append(b, ','), true, uint64(p))
}

func appendCSVMaster(b []byte, has bool, t *flow.Tuple) []byte {
	if !has {
		return append(b, noMaster...)
	}
	return appendCSVTuple(appendCSVProto(b, t.Proto), t)
}

// appendCSVTuple appends the cells of t, empty ones if t is nil.
func appendCSVTuple(b []byte, t *flow.Tuple) []byte {
	if t == nil {
		return append(b, noTuple...)
	}
	if t.Src.IsValid() {
		b = AppendAddr(b, t.Src)
	}
	b = append(b, ',')
	if t.Dst.IsValid() {
		b = AppendAddr(b, t.Dst)
	}
	b = append(b, ',')
	shape := t.Proto.Shape()
	b = appendCell(b, shape == flow.ShapePorts, uint64(t.SrcPort))
	b = appendCell(b, shape == flow.ShapePorts, uint64(t.DstPort))
	b = appendCell(b, shape == flow.ShapeKeys, uint64(t.SrcPort))
	b = appendCell(b, shape == flow.ShapeKeys, uint64(t.DstPort))
	b = appendCell(b, shape == flow.ShapeICMP, uint64(t.ICMPType()))
	b = appendCell(b, shape == flow.ShapeICMP, uint64(t.ICMPCode()))
	b = appendCell(b, shape == flow.ShapeICMP, uint64(t.ICMPID()))
	return appendCell(b, t.Zone != 0, uint64(t.Zone))
}

// appendCell appends a number if there is one, and a comma in any case.
func appendCell(b []byte, has bool, n uint64) []byte {
	if has {
		b = AppendDecimal(b, n)
	}
	return append(b, ',')
}

func appendStringCell(b []byte, has bool, s string) []byte {
	if has {
		b = appendCSVString(b, s)
	}
	return append(b, ',')
}

func appendTimeCell(b []byte, has bool, ts flow.Timestamp) []byte {
	if has {
		b = appendTime(b, ts.Time())
	}
	return append(b, ',')
}

// closeRow removes the comma behind the last cell.
func closeRow(b []byte) []byte { return b[:len(b)-1] }

// appendCSVString appends s, in quotes if RFC 4180 asks for them. What is not UTF-8
// becomes U+FFFD.
func appendCSVString(b []byte, s string) []byte {
	quoted := strings.ContainsAny(s, ",\"\r\n")
	if quoted {
		b = append(b, '"')
	}
	for _, r := range s {
		if r == '"' {
			b = append(b, '"')
		}
		b = utf8.AppendRune(b, r)
	}
	if quoted {
		b = append(b, '"')
	}
	return b
}
