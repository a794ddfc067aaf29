package doctor

import (
	"errors"
	"strings"
	"syscall"
	"time"

	"github.com/spoor-project/spoor/internal/nfnetlink"
)

// include/uapi/linux/netfilter/nfnetlink_hook.h
const (
	msgHookGet          = 0 // NFNL_MSG_HOOK_GET
	attrHookNumber      = 1 // NFNLA_HOOK_HOOKNUM
	attrHookFunction    = 4 // NFNLA_HOOK_FUNCTION_NAME
	hookPrerouting      = 0 // NF_INET_PRE_ROUTING
	familyIPv4          = 2 // NFPROTO_IPV4
	familyIPv6          = 10
	trackingFunctionEnd = "_conntrack_in" // ipv4_conntrack_in, ipv6_conntrack_in
)

const hookOption = "CONFIG_NETFILTER_NETLINK_HOOK"

// hooked asks the kernel whether connection tracking is among what it calls for packets that come in.
func hooked(dial func(*nfnetlink.Options) (*nfnetlink.Conn, error)) Fact[bool] {
	conn, err := dial(nil)
	if err != nil {
		return missing[bool](err.Error())
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(5 * time.Second))
	for i, family := range []uint8{familyIPv4, familyIPv6} {
		found, err := tracks(conn, uint32(i+1), family)
		switch {
		case errors.Is(err, syscall.EPERM):
			return missing[bool]("only root may see the hooks")
		case errors.Is(err, syscall.EINVAL):
			return missing[bool]("this kernel does not tell its hooks (" + hookOption + ", Linux 5.14)")
		case err != nil:
			return missing[bool](err.Error())
		case found:
			return known(true)
		}
	}
	return known(false)
}

// tracks looks for connection tracking among the hooks of a family.
func tracks(conn *nfnetlink.Conn, seq uint32, family uint8) (found bool, err error) {
	var b nfnetlink.Builder
	b.Begin(nfnetlink.Hook, msgHookGet, nfnetlink.Dump, seq, family, 0)
	b.Uint32(attrHookNumber, hookPrerouting)
	b.End()
	if err := conn.Send(b.Bytes()); err != nil {
		return false, err
	}
	buf := make([]byte, nfnetlink.Room)
	for {
		n, err := conn.Recv(buf)
		if err != nil {
			return found, err
		}
		for rest := buf[:n]; len(rest) > 0; {
			var m nfnetlink.Message
			if m, rest, err = nfnetlink.Next(rest); err != nil {
				return found, err
			}
			if m.Seq != seq {
				continue
			}
			if end, err := m.End(); end || err != nil {
				return found, err
			}
			for a := m.Attrs(); a.Next(); {
				if a.Type == attrHookFunction && strings.HasSuffix(a.String(), trackingFunctionEnd) {
					found = true
				}
			}
		}
	}
}
