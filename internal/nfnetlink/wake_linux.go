package nfnetlink

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// alarm wakes up whoever waits for a socket once, and then not before it is asked to again. The runtime's own
// poller is woken by every single message, also while nobody waits, which costs more than receiving it.
type alarm struct {
	file   *os.File // an epoll instance that the runtime's poller watches
	raw    syscall.RawConn
	socket int32
	armed  func(fd uintptr) bool
}

func newAlarm(socket int) (*alarm, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	a := &alarm{socket: int32(socket)}
	err = unix.EpollCtl(fd, unix.EPOLL_CTL_ADD, socket, &unix.EpollEvent{Events: unix.EPOLLONESHOT, Fd: a.socket})
	if err == nil {
		err = unix.SetNonblock(fd, true) // so that the runtime takes it for something to be polled
	}
	if err != nil {
		unix.Close(fd)
		return nil, os.NewSyscallError("epoll_ctl", err)
	}
	a.file = os.NewFile(uintptr(fd), "netlink alarm")
	if a.raw, err = a.file.SyscallConn(); err != nil {
		a.file.Close()
		return nil, err
	}
	a.armed = a.rung
	return a, nil
}

// wait returns when there is something to be received.
func (a *alarm) wait() error {
	var err error
	cerr := a.raw.Control(func(fd uintptr) {
		err = unix.EpollCtl(int(fd), unix.EPOLL_CTL_MOD, int(a.socket),
			&unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLONESHOT, Fd: a.socket})
	})
	if cerr != nil {
		return cerr
	}
	if err != nil {
		return os.NewSyscallError("epoll_ctl", err)
	}
	return a.raw.Read(a.armed)
}

func (a *alarm) rung(fd uintptr) bool {
	var ev [1]unix.EpollEvent
	n, err := unix.EpollWait(int(fd), ev[:], 0)
	return n > 0 || err != nil && err != unix.EINTR
}
