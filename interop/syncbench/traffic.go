//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"runtime"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// order is what the traffic part is told: to open so many flows, at most.
type order struct {
	Kind  kind
	Flows int
	Rate  int  // flows that begin in a second
	Trace bool // tell when each flow began
}

// stepGap is the time between two packets of a flow: more than either daemon waits to have more to send.
const stepGap = 25 * time.Millisecond

// patience is how many times as long as it should take the traffic part may take.
const patience = 4

func (o *order) duration() time.Duration {
	return time.Duration(o.Flows)*time.Second/time.Duration(o.Rate) + time.Duration(len(steps[o.Kind])-1)*stepGap
}

// limit is when the traffic ends in any case.
func (o *order) limit() time.Duration { return patience*o.duration() + 2*time.Second }

// sending is what came of it.
type sending struct {
	Flows   int // begun
	Packets int
	Took    time.Duration // from the first flow's first packet to the last one's
	Trace   []mark        `json:",omitempty"`
}

// rate is how many flows really began in a second.
func (s *sending) rate() float64 { return float64(s.Flows) / s.Took.Seconds() }

// mark is how many flows there were at a time of the monotonic clock.
type mark struct {
	At    time.Duration
	Count int
}

// batchSize is how many packets one system call sends. They go through the router one after the other before the call
// returns, in a quarter of a millisecond or so.
const batchSize = 64

// tick is how often the traffic part wakes up.
const tick = 500 * time.Microsecond

// runTraffic sends what is ordered and writes what came of it to stdout.
func runTraffic(args []string) int {
	runtime.GOMAXPROCS(1)
	o := &order{}
	if len(args) != 1 || json.Unmarshal([]byte(args[0]), o) != nil {
		fmt.Fprintf(os.Stderr, "syncbench: %s: wants an order\n", partTraffic)
		return 1
	}
	s, err := o.carryOut()
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(s)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "syncbench: traffic:", err)
		return 1
	}
	return 0
}

// hurry gives this thread precedence over the daemons: what a router does with packets, it does in interrupts, and no
// daemon keeps them waiting.
func hurry() error {
	if unix.SchedSetAttr(0, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_FIFO, Priority: 1}, 0) == nil {
		return nil
	}
	// Some containers may not.
	return os.NewSyscallError("setpriority", unix.Setpriority(unix.PRIO_PROCESS, 0, -20))
}

func (o *order) carryOut() (*sending, error) {
	if err := hurry(); err != nil {
		return nil, err
	}
	out, err := openSender(sourceDevice)
	if err != nil {
		return nil, err
	}
	all := steps[o.Kind]
	written := make([]*frames, len(all))
	for k := range all {
		written[k] = newFrames(o.Kind, all[k], out.mac, inMAC)
	}
	s := &sending{}
	sent := make([]int, len(all)) // flows whose packet of each step was sent
	begun := now()
	for sent[len(all)-1] < o.Flows {
		at := now() - begun
		if at > o.limit() {
			break
		}
		for k, f := range written {
			due := o.due(at, k)
			for sent[k] < due {
				n := min(due-sent[k], batchSize)
				if o.Trace && k == 0 {
					s.Trace = append(s.Trace, mark{now(), sent[k] + n})
				}
				for i := range n {
					out.put(i, f, sent[k]+i)
				}
				if err := out.send(n); err != nil {
					return nil, err
				}
				sent[k] += n
				s.Packets += n
				if k == 0 {
					s.Flows, s.Took = sent[0], now()-begun
				}
			}
		}
		if rest := tick - (now()-begun)%tick; o.due(now()-begun, 0) == sent[0] {
			sleep(rest)
		}
	}
	return s, nil
}

// due is how many flows should have sent the packet of a step by then.
func (o *order) due(at time.Duration, k int) int {
	at -= time.Duration(k) * stepGap
	if at < 0 {
		return 0
	}
	// The first is due at once.
	return min(o.Flows, 1+int(at*time.Duration(o.Rate)/time.Second))
}

// now is the monotonic clock, which is the same in all processes.
func now() time.Duration {
	var t unix.Timespec
	unix.ClockGettime(unix.CLOCK_MONOTONIC, &t)
	return time.Duration(t.Nano())
}

func sleep(d time.Duration) {
	t := unix.NsecToTimespec(int64(d))
	unix.Nanosleep(&t, nil)
}

// sender sends frames through a device.
type sender struct {
	fd       int
	mac      mac
	messages [batchSize]unix.Mmsghdr
	pieces   [batchSize]unix.Iovec
	room     [batchSize][frameRoom]byte
}

func openSender(device string) (*sender, error) {
	dev, err := net.InterfaceByName(device)
	if err != nil {
		return nil, err
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	// Nothing is to be received: no protocol.
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Ifindex: dev.Index}); err != nil {
		return nil, os.NewSyscallError("bind", err)
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_QDISC_BYPASS, 1); err != nil {
		return nil, os.NewSyscallError("setsockopt PACKET_QDISC_BYPASS", err)
	}
	s := &sender{fd: fd, mac: mac(dev.HardwareAddr)}
	for i := range s.messages {
		s.messages[i].Hdr.Iov = &s.pieces[i]
		s.messages[i].Hdr.SetIovlen(1)
	}
	return s, nil
}

// put makes frame i of the batch.
func (s *sender) put(i int, f *frames, flow int) {
	b := f.write(s.room[i][:], flow)
	s.pieces[i].Base = unsafe.SliceData(b)
	s.pieces[i].SetLen(len(b))
}

// send sends the first n frames of the batch.
func (s *sender) send(n int) error {
	for first := 0; first < n; {
		done, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, uintptr(s.fd), uintptr(unsafe.Pointer(&s.messages[first])), uintptr(n-first), 0, 0, 0)
		switch errno {
		case 0:
			first += int(done)
		case unix.EINTR, unix.ENOBUFS, unix.EAGAIN:
		default:
			return os.NewSyscallError("sendmmsg", errno)
		}
	}
	return nil
}
