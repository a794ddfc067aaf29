//go:build linux

package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/guard/duty"
	"github.com/spoor-project/spoor/internal/netns"
	"github.com/spoor-project/spoor/internal/render"
	"github.com/spoor-project/spoor/interop/measure"
)

// Sizes of what the guard is given.
const (
	guardEvents  = 1_000_000
	guardSources = 1_000_000
	floodPace    = 50 * time.Microsecond // between two packets
	floodLimit   = 20 * time.Second
)

// guards measures spoor guard: recordings at full speed, and how long a flood lasts.
func (a *arena) guards(ctx context.Context) error {
	honest, sources := a.file("honest.jsonl"), a.file("sources.jsonl")
	if err := writeRecording(honest, guardEvents/4, guardEvents/40, 4); err != nil {
		return err
	}
	if err := writeRecording(sources, guardSources, guardSources, 1); err != nil {
		return err
	}
	replay := func(file string) []team {
		return []team{{ours, always("/usr/bin/env", "GOMAXPROCS=1", a.plan.Front, "guard", "replay", file)}}
	}
	speed := &contest{what: "spoor guard replay, one processor", entries: measure.Grouped(guardEvents) + " events", runs: a.plan.Runs, teams: replay(honest),
		judge: func(r *row) {
			if f := r.of(ours); f != nil && f.Wall > 0 {
				rate := int(guardEvents / f.Wall.Seconds())
				r.promise("≥ 500,000 events/s", measure.Grouped(rate)+"/s", rate >= 500_000)
			}
		}}
	many := &contest{what: "spoor guard replay, one processor", entries: measure.Grouped(guardSources) + " sources", runs: a.plan.Runs, teams: replay(sources),
		judge: func(r *row) { r.promiseRSS(200e6) }}
	if err := a.holdEach(ctx, speed, many); err != nil {
		return err
	}
	return a.flood(ctx)
}

// writeRecording writes flows of that many sources, with one event for each or with all four of an honest connection.
func writeRecording(name string, flows, sources, events int) error {
	file, err := os.Create(name)
	if err != nil {
		return err
	}
	defer file.Close()
	w := bufio.NewWriterSize(file, 1<<20)
	p := render.NewPrinter(render.Flows, &render.Style{Format: render.JSONL})
	now := time.Unix(1893456000, 0)
	var b []byte
	for i := range flows {
		n := i % sources
		f := flow.Flow{Has: flow.HasReply | flow.HasStatus | flow.HasState | flow.HasTimeout | flow.HasID, ID: uint32(i), Timeout: time.Minute}
		f.Orig = flow.Tuple{Proto: flow.TCP, Src: netip.AddrFrom4([4]byte{16, byte(n >> 16), byte(n >> 8), byte(n)}), SrcPort: uint16(1024 + i/sources),
			Dst: netip.AddrFrom4([4]byte{192, 0, 2, byte(n % 100)}), DstPort: 443}
		f.Reply, _ = f.Orig.Inverse()
		b = b[:0]
		for e := range events {
			typ, status := flow.Update, flow.Confirmed|flow.SeenReply
			switch e {
			case 0:
				typ, status, f.State = flow.New, flow.Confirmed, flow.TCPSynSent
			case 1:
				f.State = flow.TCPSynRecv
			case 2:
				status |= flow.Assured
				f.State = flow.TCPEstablished
			default:
				typ, status = flow.Destroy, status|flow.Assured
			}
			f.Status = status
			b = p.AppendEvent(b, &flow.Event{Type: typ, Flow: f}, "", now)
		}
		if _, err := w.Write(b); err != nil {
			return err
		}
		now = now.Add(200 * time.Microsecond)
	}
	return w.Flush()
}

// flood has one source open flows as fast as a scanner would, and waits until it is blocked.
func (a *arena) flood(ctx context.Context) error {
	r := row{What: "from a flood's first packet to the entry in the nftables set", Entries: measure.Grouped(int(time.Second/floodPace)) + "/s"}
	progress("%s (%s)", r.What, r.Entries)
	rules := a.file("rules")
	if err := os.WriteFile(rules, []byte("source-rate rate=1000/s within=1s then block 1h\n"), 0o600); err != nil {
		return err
	}
	// The attacker has a namespace of its own: nobody blocks own addresses.
	attacker := exec.CommandContext(ctx, "unshare", "--net", "sleep", "1000")
	if err := attacker.Start(); err != nil {
		return err
	}
	defer func() { attacker.Process.Kill(); attacker.Wait() }()
	pid := fmt.Sprint(attacker.Process.Pid)
	if err := measure.Pause(ctx, 200*time.Millisecond); err != nil {
		return err
	}
	script := strings.NewReplacer("PID", pid, "SPOOR", a.plan.Front).Replace(`set -e
		ip link add guard0 type veth peer name guard1 netns PID
		ip address add 10.99.0.1/24 dev guard0
		ip link set guard0 up
		nsenter -t PID -n ip address add 10.99.0.2/24 dev guard1
		nsenter -t PID -n ip link set guard1 up
		nft 'table inet tracked { chain in { type filter hook input priority 0; ct state established accept; }; }'
		SPOOR guard setup | nft -f -`)
	if out, err := exec.CommandContext(ctx, "sh", "-c", script).CombinedOutput(); err != nil {
		return fmt.Errorf("prepare the flood: %w\n%s", err, out)
	}
	defer exec.Command("sh", "-c", "ip link del guard0; nft delete table inet spoor_guard; nft delete table inet tracked").Run()
	var took []*sample
	for range a.plan.Runs {
		d, err := a.oneFlood(ctx, pid, rules)
		if err != nil {
			r.Problems = append(r.Problems, measure.Problem{Who: ours, Text: "1 of runs: " + err.Error()})
			continue
		}
		took = append(took, &sample{Wall: d})
	}
	if len(took) > 0 {
		r.Figures = []figure{summarise(ours, took)}
		r.promiseTime(2 * time.Second)
	}
	a.results.Rows = append(a.results.Rows, r)
	return nil
}

// oneFlood starts the guard, and the flood, and tells how long that was not blocked.
func (a *arena) oneFlood(ctx context.Context, pid, rules string) (time.Duration, error) {
	list, err := duty.OpenBlocklist("", "")
	if err != nil {
		return 0, err
	}
	defer list.Close()
	if _, err := list.UnblockAll(); err != nil {
		return 0, err
	}
	if err := a.empty(ctx); err != nil {
		return 0, err
	}
	s, err := stand(ctx, nil, nil, a.plan.Front, "guard", "--enforce", "--rules", rules, "--audit", a.file("audit.jsonl"))
	if err != nil {
		return 0, err
	}
	defer s.end(0)
	if err := measure.Pause(ctx, 2*time.Second); err != nil {
		return 0, err
	}
	var conn net.PacketConn
	err = netns.DoAt("/proc/"+pid+"/ns/net", func() (err error) {
		conn, err = net.ListenPacket("udp4", "10.99.0.2:0")
		return err
	})
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	blocked := make(chan time.Time, 1)
	within, cancel := context.WithTimeout(ctx, floodLimit)
	defer cancel()
	go func() {
		for within.Err() == nil {
			if all, err := list.Blocked(); err == nil && len(all) > 0 {
				blocked <- time.Now()
				return
			}
			time.Sleep(time.Millisecond)
		}
	}()
	begun := time.Now()
	for n := 0; ; n++ {
		select {
		case at := <-blocked:
			return at.Sub(begun), nil
		case <-within.Done():
			return 0, fmt.Errorf("not blocked within %v", floodLimit)
		default:
		}
		conn.WriteTo([]byte("flood"), &net.UDPAddr{IP: net.IPv4(10, 99, 0, 1), Port: n%65000 + 1})
		time.Sleep(time.Until(begun.Add(time.Duration(n) * floodPace))) // it may be late, and catch up
	}
}
