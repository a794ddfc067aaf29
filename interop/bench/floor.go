//go:build linux

package main

import (
	"encoding/binary"
	"fmt"
	"os"
	"strconv"
	"syscall"
)

// The bare netlink protocol: linux/netlink.h, linux/netfilter/nfnetlink.h and
// linux/netfilter/nfnetlink_conntrack.h.
const (
	netlinkNetfilter = 12       // NETLINK_NETFILTER
	typeGet          = 1<<8 | 1 // NFNL_SUBSYS_CTNETLINK, IPCTNL_MSG_CT_GET
	typeGetStats     = 1<<8 | 5 // IPCTNL_MSG_CT_GET_STATS
	typeError        = 2        // NLMSG_ERROR
	typeDone         = 3        // NLMSG_DONE
	flagRequest      = 0x001    // NLM_F_REQUEST
	flagDump         = 0x300    // NLM_F_DUMP
	room             = 32 << 10 // the largest datagram of a dump
	headerLen        = 16       // struct nlmsghdr
	requestLen       = 16 + 4   // and struct nfgenmsg
	floorDump        = "dump"   // what -L is compared with
	floorCount       = "count"  // what -C is compared with
)

// runFloor asks the kernel what the other programs ask it, and looks at nothing of the
// answer but where messages begin.
func runFloor(args []string) int {
	request, flags := typeGet, flagRequest|flagDump
	if len(args) > 0 && args[0] == floorCount {
		request, flags = typeGetStats, flagRequest
	}
	n, err := exchange(request, flags)
	if err != nil {
		os.Stderr.WriteString("floor: " + err.Error() + "\n")
		return 1
	}
	os.Stderr.WriteString("floor: " + strconv.Itoa(n) + " flow entries have been shown.\n")
	return 0
}

// exchange returns how many messages the answer has.
func exchange(request, flags int) (int, error) {
	fd, err := syscall.Socket(syscall.AF_NETLINK, syscall.SOCK_RAW|syscall.SOCK_CLOEXEC, netlinkNetfilter)
	if err != nil {
		return 0, os.NewSyscallError("socket", err)
	}
	defer syscall.Close(fd)
	var msg [requestLen]byte
	binary.NativeEndian.PutUint32(msg[0:], requestLen)
	binary.NativeEndian.PutUint16(msg[4:], uint16(request))
	binary.NativeEndian.PutUint16(msg[6:], uint16(flags))
	if err := syscall.Sendto(fd, msg[:], 0, &syscall.SockaddrNetlink{Family: syscall.AF_NETLINK}); err != nil {
		return 0, os.NewSyscallError("sendto", err)
	}
	buf := make([]byte, room)
	messages := 0
	for {
		n, err := syscall.Read(fd, buf)
		if err == syscall.EINTR {
			continue
		}
		if err != nil {
			return 0, os.NewSyscallError("read", err)
		}
		for rest := buf[:n]; len(rest) >= headerLen; {
			length := int(binary.NativeEndian.Uint32(rest))
			switch binary.NativeEndian.Uint16(rest[4:]) {
			case typeDone:
				return messages, nil
			case typeError:
				return 0, fmt.Errorf("refused by the kernel")
			}
			messages++
			if flags&flagDump == 0 {
				return messages, nil
			}
			if length < headerLen || length > len(rest) {
				return 0, fmt.Errorf("message of %d bytes in %d", length, len(rest))
			}
			rest = rest[min((length+3)&^3, len(rest)):]
		}
	}
}
