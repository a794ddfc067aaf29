package agent

import (
	"net/netip"
	"testing"
	"time"

	"github.com/spoor-project/spoor/flow"
)

func TestEntryOfAPeersFlow(t *testing.T) {
	f := tcpFlow("10.0.0.1", "198.51.100.1", flow.TCPEstablished)
	f.Has |= flow.HasStatus | flow.HasTimeout | flow.HasMark | flow.HasMaster | flow.HasHelper
	f.Reply.Dst, f.Reply.DstPort = netip.MustParseAddr("203.0.113.7"), 4000
	f.Status = flow.Expected | flow.SeenReply | flow.Assured | flow.SrcNAT | flow.SrcNATDone | flow.DstNATDone
	f.Timeout, f.Mark, f.Helper = 100*time.Second, 5, "ftp"
	f.Master = tcpFlow("10.0.0.1", "198.51.100.1", 0).Orig

	b := entries{}
	e := b.ofAge(&f, 30)
	if *e.Timeout != 70*time.Second || *e.Mark != 5 || *e.Helper != "ftp" || *e.Master != f.Master {
		t.Errorf("%+v", e)
	}
	if want, _ := f.Orig.Inverse(); e.Reply != want {
		t.Errorf("reply %+v: the translation is asked for, not written", e.Reply)
	}
	if e.SrcNAT == nil || e.SrcNAT.Addr != f.Reply.Dst || *e.SrcNAT.Port != 4000 || e.DstNAT != nil {
		t.Errorf("translations %+v, %+v", e.SrcNAT, e.DstNAT)
	}
	if *e.Status&flow.Expected != 0 || *e.Status&flow.Confirmed == 0 {
		t.Errorf("status %v", *e.Status)
	}
	if e.TCP == nil || *e.TCP.State != flow.TCPEstablished || e.TCP.Orig.Flags != flow.TCPBeLiberal || e.TCP.Reply.Mask != flow.TCPBeLiberal {
		t.Errorf("TCP %+v", e.TCP)
	}
	if !related(&f) {
		t.Error("a flow with a master is not related")
	}
	f.Has |= flow.HasTCPWindow
	f.OrigWindow.Scale = 7
	e = (&entries{windows: true, commitTimeout: time.Minute}).ofAge(&f, 30)
	if *e.Timeout != time.Minute || *e.TCP.Orig.Scale != 7 || e.TCP.Orig.Flags != flow.TCPWindowScale || e.TCP.Orig.Mask != flow.TCPWindowScale {
		t.Errorf("with windows and a commit timeout: %v, %+v", *e.Timeout, e.TCP.Orig)
	}
}

// An entry has nothing of the one before, and building one allocates nothing.
func TestEntriesFollowEachOther(t *testing.T) {
	first := tcpFlow("10.0.0.1", "198.51.100.1", flow.TCPEstablished)
	first.Has |= flow.HasStatus | flow.HasTimeout | flow.HasMark | flow.HasHelper | flow.HasTCPWindow
	first.Reply.Dst, first.Reply.DstPort = netip.MustParseAddr("203.0.113.7"), 4000
	first.Status, first.Timeout, first.Mark, first.Helper = flow.SrcNATDone|flow.Assured, time.Hour, 5, "ftp"
	second := flow.Flow{Orig: flow.Tuple{Src: netip.MustParseAddr("10.0.0.3"), Dst: netip.MustParseAddr("10.0.0.2"), Proto: flow.UDP}}
	for _, windows := range []bool{false, true} {
		b := entries{windows: windows}
		if n := testing.AllocsPerRun(100, func() { b.ofAge(&first, 0); b.ofAge(&second, 0) }); n != 0 {
			t.Errorf("%v allocations", n)
		}
		want := *(&entries{windows: windows}).ofAge(&second, 0)
		got := *b.ofAge(&second, 0)
		if *got.Timeout != *want.Timeout || *got.Status != *want.Status {
			t.Errorf("%v, %v: want %v, %v", *got.Timeout, *got.Status, *want.Timeout, *want.Status)
		}
		got.Timeout, got.Status, want.Timeout, want.Status = nil, nil, nil, nil
		if got != want {
			t.Errorf("%+v, want %+v", got, want)
		}
	}
}

func TestLifeLeft(t *testing.T) {
	f := &flow.Flow{Has: flow.HasTimeout, Timeout: 10 * time.Second}
	for silent, want := range map[int]time.Duration{0: 10 * time.Second, 9: time.Second, 10: time.Minute, 1000: time.Minute} {
		if got := lifeLeft(f, silent); got != want {
			t.Errorf("after %d s: %v, want %v", silent, got, want)
		}
	}
	if got := lifeLeft(&flow.Flow{}, 0); got != time.Minute {
		t.Errorf("without a timeout: %v", got)
	}
}

// Only TCP and UDP have a port that can be asked for.
func TestTranslationOfICMP(t *testing.T) {
	f := flow.Flow{Has: flow.HasReply | flow.HasStatus, Status: flow.SrcNATDone | flow.DstNATDone}
	f.Orig = flow.Tuple{Src: netip.MustParseAddr("10.0.0.1"), Dst: netip.MustParseAddr("10.0.0.2"), Proto: flow.ICMP}
	f.Orig.SetICMP(8, 0, 77)
	f.Reply, _ = f.Orig.Inverse()
	if src, dst := new(entries).translations(&f); src != nil || dst != nil {
		t.Errorf("%+v, %+v for a ping that is not translated", src, dst)
	}
	f.Reply.Dst = netip.MustParseAddr("203.0.113.7")
	if src, _ := new(entries).translations(&f); src == nil || src.Port != nil {
		t.Errorf("%+v for a ping that is", src)
	}
}
