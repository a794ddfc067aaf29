//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spoor-project/spoor/interop/measure"
)

// configuration is the same for both programs.
const configuration = `Sync {
	Mode FTFW { }
	UDP Default {
		IPv4_address %[2]s
		IPv4_Destination_Address %[3]s
		Port %[4]d
		Interface %[5]s
		SndSocketBuffer 8388608
		RcvSocketBuffer 8388608
	}
}
General {
	HashSize 524288
	HashLimit 4000000
	LogFile %[1]s/log
	LockFile %[1]s/lock
	UNIX { Path %[1]s/control }
	NetlinkBufferSize 16777216
	NetlinkBufferSizeMaxGrowth 67108864
}
`

// What is asked of a daemon through its socket.
const (
	askCaches  = 29
	askNetwork = 28
	askRuntime = 30
)

// Limits of waiting.
const (
	startLimit  = 10 * time.Second
	answerLimit = 20 * time.Second
	endLimit    = 20 * time.Second
)

// daemon is a running one.
type daemon struct {
	who   string
	dir   string
	cmd   *exec.Cmd
	ended chan struct{}
}

// start starts a program on a node.
func (a *arena) start(who string, node int) (*daemon, error) {
	d := &daemon{who: who, dir: filepath.Join(a.plan.Dir, fmt.Sprintf("node%d", node)), ended: make(chan struct{})}
	if err := errors.Join(os.RemoveAll(d.dir), os.Mkdir(d.dir, 0o700)); err != nil {
		return nil, err
	}
	text := fmt.Sprintf(configuration, d.dir, syncAddress(node), syncAddress(3-node), syncPort, syncDevice)
	if err := os.WriteFile(d.config(), []byte(text), 0o600); err != nil {
		return nil, err
	}
	out, err := os.Create(filepath.Join(d.dir, "output"))
	if err != nil {
		return nil, err
	}
	defer out.Close()
	d.cmd = exec.Command(a.plan.program(who), "-C", d.config())
	d.cmd.Stdout, d.cmd.Stderr = out, out
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	ns := a.net.first
	if node == 2 {
		ns = a.net.second
	}
	if err := ns.within(a.net.first, d.cmd.Start); err != nil {
		return nil, err
	}
	go func() {
		d.cmd.Wait() // the outcome is in ProcessState
		close(d.ended)
	}()
	return d, nil
}

func (d *daemon) control() string { return filepath.Join(d.dir, "control") }

func (d *daemon) config() string { return filepath.Join(d.dir, "conf") }

// stop ends it, and reports whether it had ended by itself.
func (d *daemon) stop() (alone bool) {
	select {
	case <-d.ended:
		return true
	default:
	}
	d.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-d.ended:
	case <-time.After(endLimit):
		d.kill()
	}
	return false
}

// kill ends it as a crash would.
func (d *daemon) kill() {
	d.cmd.Process.Kill()
	<-d.ended
}

// lastWords is the end of what it has printed.
func (d *daemon) lastWords() string {
	text, _ := os.ReadFile(filepath.Join(d.dir, "output"))
	return measure.LastLine(string(text))
}

// ask returns what the daemon answers.
func (d *daemon) ask(request int32) (string, error) {
	conn, err := net.DialTimeout("unix", d.control(), answerLimit)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(answerLimit))
	if err := binary.Write(conn, binary.NativeEndian, request); err != nil {
		return "", err
	}
	var b bytes.Buffer
	if _, err := io.Copy(&b, conn); err != nil {
		return "", err
	}
	return b.String(), nil
}

// askAtOnce is ask for a thread in a hurry, which waits in the kernel and not for other threads.
func (d *daemon) askAtOnce(request int32) (string, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return "", os.NewSyscallError("socket", err)
	}
	defer unix.Close(fd)
	limit := unix.NsecToTimeval(int64(answerLimit))
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit); err != nil {
		return "", os.NewSyscallError("setsockopt SO_RCVTIMEO", err)
	}
	if err := unix.Connect(fd, &unix.SockaddrUnix{Name: d.control()}); err != nil {
		return "", os.NewSyscallError("connect", err)
	}
	if _, err := unix.Write(fd, binary.NativeEndian.AppendUint32(nil, uint32(request))); err != nil {
		return "", os.NewSyscallError("write", err)
	}
	var b []byte
	for {
		b = slices.Grow(b, 2048)
		n, err := unix.Read(fd, b[len(b):cap(b)])
		switch {
		case err == unix.EINTR:
		case err != nil:
			return "", os.NewSyscallError("read", err)
		case n == 0:
			return string(b), nil
		default:
			b = b[:len(b)+n]
		}
	}
}

// caches asks for the cache statistics.
func (d *daemon) caches() (*cacheStats, error) {
	text, err := d.ask(askCaches)
	if err != nil {
		return nil, err
	}
	return parseCaches(text)
}

// status is all that a daemon tells about itself, and the kernel about it.
type status struct {
	cacheStats
	networkStats
	overruns int
	work     work
	rss      int64
}

func (d *daemon) status() (*status, error) {
	s := &status{}
	c, err := d.caches()
	if err != nil {
		return nil, err
	}
	s.cacheStats = *c
	text, err := d.ask(askNetwork)
	if err != nil {
		return nil, err
	}
	n, err := parseNetwork(text)
	if err != nil {
		return nil, err
	}
	s.networkStats = *n
	if text, err = d.ask(askRuntime); err != nil {
		return nil, err
	}
	if s.overruns, err = parseOverruns(text); err != nil {
		return nil, err
	}
	proc := fmt.Sprintf("/proc/%d/", d.cmd.Process.Pid)
	b, err := os.ReadFile(proc + "stat")
	if err != nil {
		return nil, err
	}
	if s.work, err = parseWork(string(b)); err != nil {
		return nil, err
	}
	if b, err = os.ReadFile(proc + "status"); err != nil {
		return nil, err
	}
	s.rss, err = parseRSS(string(b))
	return s, err
}

// pair is who tells and who is told.
type pair struct{ Sender, Receiver string }

func (p pair) String() string { return p.Sender + " → " + p.Receiver }

func (p pair) pure() bool { return p.Sender == p.Receiver }

// couple is a pair at work.
type couple struct{ sender, receiver *daemon }

// startCouple starts both and waits until they know each other.
func (a *arena) startCouple(ctx context.Context, p pair) (c *couple, err error) {
	c = &couple{}
	if c.receiver, err = a.start(p.Receiver, 2); err != nil {
		return nil, err
	}
	if c.sender, err = a.start(p.Sender, 1); err != nil {
		c.receiver.kill()
		return nil, err
	}
	for _, d := range []*daemon{c.receiver, c.sender} {
		err := measure.Await(ctx, startLimit, d.ended, func() bool {
			text, err := d.ask(askNetwork)
			if err != nil {
				return false
			}
			n, err := parseNetwork(text)
			return err == nil && n.received >= 2
		})
		if err != nil {
			c.stop()
			return nil, fmt.Errorf("wait for %s to hear of its peer: %w: %s", d.who, err, d.lastWords())
		}
	}
	return c, nil
}

// stop ends both, and says if one had ended by itself.
func (c *couple) stop() (wrong string) {
	for _, d := range []*daemon{c.sender, c.receiver} {
		if d.stop() {
			wrong = fmt.Sprintf("%s ended by itself, %v: %s", d.who, d.cmd.ProcessState, d.lastWords())
		}
	}
	return wrong
}
