package agent

import (
	"encoding/binary"
	"net/netip"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/config"
)

// A filter From Kernelspace is carried out on the event socket, by a program of the classic BPF: what does not pass
// costs no message, and does not fill the queue. The program drops only what the filter in user space would drop as well,
// which looks at the rest once more: what the program cannot find in a message, it lets pass.

// Where things are in a message, and their numbers: see nfnetlink_conntrack.h.
const (
	firstAttr = 16 + 4 // behind nlmsghdr and nfgenmsg
	subsystem = 1      // NFNL_SUBSYS_CTNETLINK
	msgDelete = 2      // IPCTNL_MSG_CT_DELETE

	ctaTupleOrig  = 1 // CTA_TUPLE_ORIG
	ctaTupleReply = 2 // CTA_TUPLE_REPLY
	ctaProtoinfo  = 4 // CTA_PROTOINFO
	ctaTupleIP    = 1 // CTA_TUPLE_IP
	ctaTupleProto = 2 // CTA_TUPLE_PROTO
	ctaProtoNum   = 1 // CTA_PROTO_NUM
	ctaIPv4Src    = 1 // CTA_IP_V4_SRC
	ctaIPv6Src    = 3 // CTA_IP_V6_SRC
	ctaInfoTCP    = 1 // CTA_PROTOINFO_TCP
	ctaTCPState   = 1 // CTA_PROTOINFO_TCP_STATE

	attrData = 4 // behind the header of an attribute

	// Ancillary loads of linux/filter.h: the attribute of type X in the message behind A, and in the attribute at A.
	findAttr   = ^uint32(0x1000) + 1 + 12 // SKF_AD_OFF + SKF_AD_NLATTR
	findNested = ^uint32(0x1000) + 1 + 16 // SKF_AD_OFF + SKF_AD_NLATTR_NEST
)

// Cells of the program's memory.
const (
	cellScratch = iota
	cellProto
)

// eventProgram returns the program of a filter. Lists of addresses that are too long for a program are left to
// user space. It is empty if there is nothing that a program can decide.
func eventProgram(c *config.Filter) []unix.SockFilter {
	if c == nil || !c.Kernelspace || c.Protocols.Policy == config.NoPolicy && c.Addresses.Policy == config.NoPolicy && c.States.Policy == config.NoPolicy {
		return nil
	}
	if prog := assemble(c); len(prog) <= unix.BPF_MAXINSNS {
		return prog
	}
	return eventProgram(withoutAddresses(c))
}

func withoutAddresses(c *config.Filter) *config.Filter {
	others := *c
	others.Addresses = config.AddressSet{}
	return &others
}

// label is a place that is jumped to.
type label int

// assembler writes a program. Conditional jumps reach 255 instructions only, so they only skip a jump that goes anywhere.
type assembler struct {
	prog   []unix.SockFilter
	jumps  map[int]label // instructions that jump there
	places []int         // of labels
}

func (a *assembler) label() label {
	a.places = append(a.places, 0)
	return label(len(a.places))
}

func (a *assembler) place(l label) { a.places[l-1] = len(a.prog) }

func (a *assembler) do(code uint16, k uint32) {
	a.prog = append(a.prog, unix.SockFilter{Code: code, K: k})
}

func (a *assembler) jump(to label) {
	a.jumps[len(a.prog)] = to
	a.do(unix.BPF_JMP|unix.BPF_JA, 0)
}

// ifEqual jumps if A is k; ifNot if it is not.
func (a *assembler) ifEqual(k uint32, to label) {
	a.prog = append(a.prog, unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 1, K: k})
	a.jump(to)
}

func (a *assembler) ifNot(k uint32, to label) {
	a.prog = append(a.prog, unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jt: 1, K: k})
	a.jump(to)
}

func (a *assembler) finish() []unix.SockFilter {
	for at, to := range a.jumps {
		a.prog[at].K = uint32(a.places[to-1] - at - 1)
	}
	return a.prog
}

// find leaves in A where an attribute is, by the types that lead to it, or jumps.
func (a *assembler) find(missing label, types ...uint32) {
	a.do(unix.BPF_LD|unix.BPF_IMM, firstAttr)
	for i, t := range types {
		how := findAttr
		if i > 0 {
			how = findNested
		}
		a.do(unix.BPF_LDX|unix.BPF_IMM, t)
		a.do(unix.BPF_LD|unix.BPF_B|unix.BPF_ABS, how)
		a.ifEqual(0, missing)
	}
}

// load reads from the data of the attribute at X.
func (a *assembler) load(size uint16, at uint32) {
	a.do(unix.BPF_LD|size|unix.BPF_IND, attrData+at)
}

// decide goes on or drops, where something is listed or not.
func (a *assembler) decide(p config.Policy, listed, drop label) {
	// Here it is not listed.
	on := a.label()
	if p == config.Accept {
		a.jump(drop)
		a.place(listed)
	} else {
		a.jump(on)
		a.place(listed)
		a.jump(drop)
	}
	a.place(on)
}

// hostByte is where byte n, counted from the lowest, of a number of the machine's order is, which has size bytes from at.
func hostByte(at, size, n uint32) uint32 {
	if binary.NativeEndian.Uint16([]byte{1, 0}) == 1 {
		return at + n
	}
	return at + size - 1 - n
}

func assemble(c *config.Filter) []unix.SockFilter {
	a := &assembler{jumps: make(map[int]label)}
	pass, drop := a.label(), a.label()
	const loadByte = unix.BPF_LD | unix.BPF_B | unix.BPF_ABS

	// One message, as long as the datagram (its lower 16 bits say), and about a connection.
	a.do(loadByte, hostByte(0, 4, 1))
	a.do(unix.BPF_ALU|unix.BPF_LSH|unix.BPF_K, 8)
	a.do(unix.BPF_ST, cellScratch)
	a.do(loadByte, hostByte(0, 4, 0))
	a.do(unix.BPF_LDX|unix.BPF_MEM, cellScratch)
	a.do(unix.BPF_ALU|unix.BPF_OR|unix.BPF_X, 0)
	a.do(unix.BPF_MISC|unix.BPF_TAX, 0)
	a.do(unix.BPF_LD|unix.BPF_W|unix.BPF_LEN, 0)
	a.do(unix.BPF_ALU|unix.BPF_AND|unix.BPF_K, 0xffff)
	a.prog = append(a.prog, unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_X, Jt: 1})
	a.jump(pass)
	a.do(loadByte, hostByte(4, 2, 1))
	a.ifNot(subsystem, pass)

	if c.Protocols.Policy != config.NoPolicy || c.States.Policy != config.NoPolicy {
		a.find(pass, ctaTupleOrig, ctaTupleProto, ctaProtoNum)
		a.do(unix.BPF_MISC|unix.BPF_TAX, 0)
		a.load(unix.BPF_B, 0)
		a.do(unix.BPF_ST, cellProto)
	}
	if c.Protocols.Policy != config.NoPolicy {
		listed := a.label()
		for _, p := range c.Protocols.List {
			a.ifEqual(uint32(p.Number), listed)
		}
		a.decide(c.Protocols.Policy, listed, drop)
	}
	if c.Addresses.Policy != config.NoPolicy {
		listed := a.label()
		a.listed(c.Addresses.List, ctaTupleOrig, listed, pass)
		a.listed(c.Addresses.List, ctaTupleReply, listed, pass)
		a.decide(c.Addresses.Policy, listed, drop)
	}
	if c.States.Policy != config.NoPolicy {
		a.do(unix.BPF_LD|unix.BPF_MEM, cellProto)
		a.ifNot(uint32(flow.TCP), pass)
		a.do(loadByte, hostByte(4, 2, 0))
		a.ifEqual(msgDelete, pass)
		a.find(pass, ctaProtoinfo, ctaInfoTCP, ctaTCPState)
		a.do(unix.BPF_MISC|unix.BPF_TAX, 0)
		a.load(unix.BPF_B, 0)
		listed := a.label()
		for _, s := range c.States.List {
			a.ifEqual(uint32(s), listed)
		}
		a.decide(c.States.Policy, listed, drop)
	}
	a.place(pass)
	a.do(unix.BPF_RET|unix.BPF_K, ^uint32(0))
	a.place(drop)
	a.do(unix.BPF_RET|unix.BPF_K, 0)
	return a.finish()
}

// listed jumps if the source of a tuple is in the list, and goes on if it is not.
func (a *assembler) listed(list []netip.Prefix, tuple uint32, listed, missing label) {
	six, on := a.label(), a.label()
	a.find(six, tuple, ctaTupleIP, ctaIPv4Src)
	a.do(unix.BPF_MISC|unix.BPF_TAX, 0)
	a.list(list, false, listed)
	a.jump(on)
	a.place(six)
	a.find(missing, tuple, ctaTupleIP, ctaIPv6Src)
	a.do(unix.BPF_MISC|unix.BPF_TAX, 0)
	a.list(list, true, listed)
	a.place(on)
}

// list compares the address at X with those of a family.
func (a *assembler) list(list []netip.Prefix, six bool, listed label) {
	for _, p := range list {
		if p.Addr().Is6() != six {
			continue
		}
		p = p.Masked()
		words, other := p.Addr().AsSlice(), a.label()
		bits := p.Bits()
		for at := 0; at < len(words) && bits > 0; at, bits = at+4, bits-32 {
			a.load(unix.BPF_W, uint32(at))
			if bits < 32 {
				a.do(unix.BPF_ALU|unix.BPF_AND|unix.BPF_K, ^uint32(0)<<(32-bits))
			}
			a.ifNot(binary.BigEndian.Uint32(words[at:]), other)
		}
		a.jump(listed)
		a.place(other)
	}
}

// attach has the kernel run a program on what comes to a socket, an empty one none.
func attach(socket syscall.RawConn, prog []unix.SockFilter) error {
	var err error
	cerr := socket.Control(func(fd uintptr) {
		if len(prog) == 0 {
			if err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_DETACH_FILTER, 0); err == unix.ENOENT {
				err = nil // there was none
			}
			return
		}
		err = unix.SetsockoptSockFprog(int(fd), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER,
			&unix.SockFprog{Len: uint16(len(prog)), Filter: &prog[0]})
	})
	if cerr != nil {
		return cerr
	}
	return os.NewSyscallError("setsockopt", err)
}
