package conntrackcli

import (
	"strings"

	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/compat/getopt"
)

// request is a parsed command line.
type request struct {
	cmd   commandID
	table tableID

	given    optionSet
	extGiven extSet
	ext      *extension // of the last -p
	protos   int        // how many -p there were
	proto    flow.Proto // of the last -p, for help

	family flow.Family
	tmpl   template
	show   formats
	types  []flow.EventType
	buffer int

	implicitHelp bool // there was no command and no option

	labelMapPath string
	labels       *flow.LabelMap // loaded if needed; nil without
	netns        string

	warnings string // for stderr
}

// parser turns argument vectors into requests, one at a time.
type parser struct {
	request
	scan getopt.Scanner
	env  *Env

	shapes []shape // of the lines parsed so far
	oldest int     // of shapes, if there are maxShapes
}

// parse reads a command line, args[0] being the program's name. The request is
// returned even with an error: it may hold warnings.
func parse(args []string, env *Env) (*request, error) { return new(parser).parse(args, env) }

// parse is the function of that name; the request is overwritten by the next call.
func (p *parser) parse(args []string, env *Env) (*request, error) {
	p.env = env
	for i := range p.shapes {
		if s := &p.shapes[i]; s.fits(args) {
			p.begin()
			if done, err := s.apply(p, args); err != nil {
				return &p.request, err
			} else if done {
				return &p.request, p.finish()
			}
			break
		}
	}
	p.begin()
	t := scannerTables()
	p.scan.Reset(args, t.short, t.long, env.Posixly)
	seen := shape{elements: 1}
	plain := true
	for {
		at := p.scan.Index
		opt, ok := p.scan.Next()
		if !ok {
			break
		}
		if err := p.option(opt); err != nil {
			return &p.request, err
		}
		plain = plain && seen.record(p, at, opt)
	}
	if plain && seen.elements == len(args) {
		p.remember(seen)
	}
	return &p.request, p.finish()
}

// begin makes the request that of an empty command line.
func (p *parser) begin() {
	p.request = request{}
	p.tmpl.markMask = ^uint32(0)
}

// remember keeps a shape in place of the oldest.
func (p *parser) remember(s shape) {
	if len(p.shapes) < maxShapes {
		p.shapes = append(p.shapes, s)
		return
	}
	p.shapes[p.oldest] = s
	p.oldest = (p.oldest + 1) % maxShapes
}

func (p *parser) option(opt getopt.Option) error {
	switch opt.Err {
	case nil:
	case getopt.ErrMissingArg:
		return usagef("option `%s' requires an argument", opt.Word)
	default:
		return usagef("unknown option `%s'", opt.Word)
	}
	if opt.Value >= extValue {
		return p.extOption(extID(opt.Value%extValue), opt.Arg)
	}
	if row := scannerTables().commands[opt.Value]; row != nil {
		return p.command(row, opt.HasArg)
	}
	return p.generic(scannerTables().options[opt.Value], opt.Arg)
}

// word takes the next element if it can be the value of an option with an optional one.
func (p *parser) word() (string, bool) {
	if p.scan.Index >= len(p.scan.Args) {
		return "", false
	}
	w := p.scan.Args[p.scan.Index]
	if strings.HasPrefix(w, "-") || strings.HasPrefix(w, "!") {
		return "", false
	}
	p.scan.Index++
	return w, true
}

func (p *parser) command(row *command, attached bool) error {
	if p.cmd != cmdNone {
		return usagef("Invalid commands combination")
	}
	p.cmd = row.id
	if attached {
		return nil // and ignored
	}
	word, ok := p.word()
	if !ok {
		return nil
	}
	table, ok := parseTable(word)
	if !ok {
		return usagef("unknown type `%s'", word)
	}
	p.table = table
	if _, ok := row.rules[table]; ok {
		return nil
	}
	if table == tableExpect {
		return usagef("Can't do --%s on expectations", row.name)
	}
	return usagef("Can't do that command with tables `dying' and `unconfirmed'")
}

func parseTable(word string) (tableID, bool) {
	for _, t := range tableOrder {
		if strings.HasPrefix(tableNames[t], word) {
			return t, true
		}
	}
	return 0, false
}

// generic handles an option that is not a protocol's.
func (p *parser) generic(row *option, arg string) error {
	t := &p.tmpl
	switch row.id {
	case optSrc:
		return p.address(row, arg, &t.orig.Src, origSrc)
	case optDst:
		return p.address(row, arg, &t.orig.Dst, origDst)
	case optReplySrc:
		return p.address(row, arg, &t.reply.Src, replySrc)
	case optReplyDst:
		return p.address(row, arg, &t.reply.Dst, replyDst)
	case optTupleSrc:
		return p.address(row, arg, &t.expect.Src, 0)
	case optTupleDst:
		return p.address(row, arg, &t.expect.Dst, 0)
	case optMaskSrc:
		return p.address(row, arg, &t.srcMask, 0)
	case optMaskDst:
		return p.address(row, arg, &t.dstMask, 0)
	case optProto:
		return p.protocol(arg)
	case optFamily:
		return p.familyOption(arg)
	case optTimeout:
		t.timeout = uint32(atol(arg))
	case optBuffer:
		p.buffer = int(atol(arg))
	case optMark:
		return p.mark(row, arg)
	case optID:
		n, err := p.number(row, arg, 1<<32-1)
		t.id = uint32(n)
		return err
	case optSecMark:
		_, err := p.number(row, arg, 1<<32-1)
		return err
	case optZone:
		n, err := p.number(row, arg, 1<<16-1)
		t.zone = uint16(n)
		return err
	case optOrigZone:
		n, err := p.number(row, arg, 1<<16-1)
		t.orig.Zone, t.origZone = uint16(n), uint16(n)
		return err
	case optReplyZone:
		n, err := p.number(row, arg, 1<<16-1)
		t.reply.Zone, t.replyZone = uint16(n), uint16(n)
		return err
	case optStatus:
		if err := p.status(arg); err != nil {
			return err
		}
	case optEventMask:
		if err := p.events(arg); err != nil {
			return err
		}
	case optOutput:
		if err := p.output(arg); err != nil {
			return err
		}
	case optSrcNAT:
		return p.nat(row, &t.srcNAT)
	case optDstNAT:
		return p.nat(row, &t.dstNAT)
	case optAnyNAT:
		return p.nat(row, &t.anyNAT)
	case optLabel:
		t.labels = append(t.labels, strings.Split(arg, ",")...)
	case optLabelAdd:
		t.labelsAdd = append(t.labelsAdd, strings.Split(arg, ",")...)
		return p.labelChange(row.id)
	case optLabelDel:
		if word, ok := p.word(); ok {
			t.labelsDel = append(t.labelsDel, strings.Split(word, ",")...)
		}
		return p.labelChange(row.id)
	case optLabelMap:
		if p.given.has(optLabelMap) {
			return usagef("option `--labelmap' can only be specified once")
		}
		p.labelMapPath = arg
	case optNATRange:
		p.warnings += "WARNING: ignoring -a, deprecated option.\n"
		return nil
	case optNetNS:
		if arg == "" {
			return usagef("`' is not a network namespace")
		}
		p.netns = arg
	}
	p.given.add(row.id)
	return nil
}

// address reads the value of an option that is one, into to.
func (p *parser) address(row *option, arg string, to *addr, bit given) error {
	a, bits, hasLen, okAddr, okLen := parsePrefix(arg)
	if !okAddr {
		return usagef("Invalid IP address `%s'", arg)
	}
	if err := p.setFamily(familyOf(a)); err != nil {
		return err
	}
	prefixed := row.id == optSrc || row.id == optDst || row.id == optTupleSrc || row.id == optTupleDst
	if hasLen && !prefixed {
		return usagef("CIDR notation unavailable for `--%s'", row.name)
	}
	if !okLen {
		return usagef("Invalid netmask")
	}
	*to = a
	p.tmpl.given |= bit
	p.given.add(row.id)
	if bits < a.BitLen() {
		switch row.id {
		case optSrc, optTupleSrc:
			p.tmpl.srcMask = maskOf(a, bits)
			p.given.add(optMaskSrc)
		case optDst, optTupleDst:
			p.tmpl.dstMask = maskOf(a, bits)
			p.given.add(optMaskDst)
		}
	}
	return nil
}

// setFamily fixes the family of the command line.
func (p *parser) setFamily(f flow.Family) error {
	if p.family != flow.AnyFamily && p.family != f {
		return usagef("mismatched address family")
	}
	p.family = f
	return nil
}

func (p *parser) familyOption(arg string) error {
	p.given.add(optFamily)
	switch {
	case strings.HasPrefix(arg, "ipv4"):
		return p.setFamily(flow.IPv4)
	case strings.HasPrefix(arg, "ipv6"):
		return p.setFamily(flow.IPv6)
	}
	return usagef("`%s' unsupported protocol", arg)
}

func (p *parser) number(row *option, arg string, limit uint64) (uint64, error) {
	n, ok := parseUint(arg, limit)
	if !ok {
		return 0, failf("unexpected value '%s' with -%c option", arg, row.letter)
	}
	p.given.add(row.id)
	return n, nil
}

func (p *parser) mark(row *option, arg string) error {
	value, mask, hasMask := strings.Cut(arg, "/")
	v, ok := parseUint(value, 1<<32-1)
	m := uint64(1<<32 - 1)
	if ok && hasMask && mask != "" {
		m, ok = parseUint(mask, 1<<64-1)
	} else if hasMask {
		m = 0
	}
	if !ok {
		return failf("unexpected value '%s' with -%c option", arg, row.letter)
	}
	p.tmpl.mark, p.tmpl.markMask = uint32(v), uint32(m)
	p.given.add(row.id)
	return nil
}

func (p *parser) protocol(arg string) error {
	p.given.add(optProto)
	proto, ext, ok := parseProtocol(arg, p.env.Protocols)
	if !ok {
		return usagef("`%s' unsupported protocol", arg)
	}
	p.proto, p.ext = proto, ext
	p.tmpl.orig.Proto = proto
	p.tmpl.given |= origProto
	p.protos++
	if ext != nil {
		p.scan.Long = ext.extend(p.scan.Long, p.protos)
		if proto == flow.TCP {
			p.tmpl.tcpFlags = flow.TCPSackPerm | flow.TCPBeLiberal
		}
	}
	return nil
}

// parseProtocol reads the argument of -p. ext is nil for a protocol that has no
// options, and for one that was called by a name of /etc/protocols.
func parseProtocol(arg string, protocols func() *protocolNames) (flow.Proto, *extension, bool) {
	if proto, ok := flow.ParseProto(strings.ToLower(arg)); ok {
		return proto, extensionOf(proto), true
	}
	if n, ok := protocols().number(arg); ok {
		return flow.Proto(n), nil, true
	}
	n, ok := parseUint(arg, 255)
	return flow.Proto(n), extensionOf(flow.Proto(n)), ok
}

func (p *parser) nat(row *option, to *natAddr) error {
	p.given.add(row.id)
	word, ok := p.word()
	if !ok {
		return nil
	}
	n, err := parseNATAddr(word, row.name)
	if err != nil {
		return err
	}
	*to = n
	return p.setFamily(familyOf(n.addr))
}

func (p *parser) labelChange(id optionID) error {
	p.given.add(id)
	if p.given.has(optLabelAdd) && p.given.has(optLabelDel) {
		return failf("cannot use --label-add and --label-del at the same time")
	}
	return nil
}

// extOption handles an option of a protocol. It is the last -p that gives it a
// meaning.
func (p *parser) extOption(id extID, arg string) error {
	if p.ext == nil || p.ext.option(id) == nil {
		return nil
	}
	p.extGiven.add(id)
	t, proto := &p.tmpl, p.ext.proto
	n := uint16(atol(arg))
	if proto == flow.GRE {
		n = uint16(strtoul(arg))
	}
	reply := func(port *uint16, bit given) {
		*port = n
		t.reply.Proto = proto
		t.given |= bit | replyProto
	}
	expected := func(tuple *flow.Tuple, port *uint16) {
		*port = n
		tuple.Proto = proto
	}
	switch id {
	case extSrcPort:
		t.orig.SrcPort = n
		t.given |= origSrcPort
	case extDstPort:
		t.orig.DstPort = n
		t.given |= origDstPort
	case extReplySrcPort:
		reply(&t.reply.SrcPort, replySrcPort)
	case extReplyDstPort:
		reply(&t.reply.DstPort, replyDstPort)
	case extMaskSrcPort:
		expected(&t.expectMask, &t.expectMask.SrcPort)
	case extMaskDstPort:
		expected(&t.expectMask, &t.expectMask.DstPort)
	case extTupleSrcPort:
		expected(&t.expect, &t.expect.SrcPort)
	case extTupleDstPort:
		expected(&t.expect, &t.expect.DstPort)
	case extState:
		return p.state(arg)
	case extOrigVTag:
		t.vtags.Orig = vtag(arg)
		t.given |= vtagOrig
	case extReplyVTag:
		t.vtags.Reply = vtag(arg)
		t.given |= vtagReply
	case extRole:
		return p.role(arg)
	case extICMPType:
		p.icmp(icmpType, uint8(n), t.orig.ICMPCode(), t.orig.ICMPID())
	case extICMPCode:
		p.icmp(icmpCode, t.orig.ICMPType(), uint8(n), t.orig.ICMPID())
	case extICMPID:
		p.icmp(icmpID, t.orig.ICMPType(), t.orig.ICMPCode(), n)
	}
	return nil
}

// icmp sets the fields of both directions. The answer's type follows from the
// family as known so far: if the addresses come later there is none.
func (p *parser) icmp(bit given, typ, code uint8, id uint16) {
	t := &p.tmpl
	t.given |= bit
	t.orig.SetICMP(typ, code, id)
	answer := t.reply.ICMPType()
	if bit == icmpType {
		var ok bool
		if answer, ok = flow.ICMPAnswer(p.family, typ); !ok || p.family == flow.AnyFamily {
			answer = 255
		}
	}
	t.reply.SetICMP(answer, code, id)
	if t.given.any(replySrc | replyDst) {
		t.reply.Proto = p.ext.proto
		t.given |= replyProto
	}
}

func (p *parser) state(word string) error {
	proto := p.ext.proto
	name := word
	if proto == flow.TCP && word == "LISTEN" {
		name = "SYN_SENT2"
	}
	n, ok := proto.ParseState(name)
	switch proto {
	case flow.TCP:
		if !ok {
			return usagef("unknown TCP state `%s'", word)
		}
		if n >= flow.TCPTimeWait {
			p.tmpl.tcpFlags |= flow.TCPCloseInit
		}
	case flow.SCTP:
		if !ok || n >= flow.SCTPHeartbeatSent {
			return usagef("unknown SCTP state `%s'", word)
		}
	case flow.DCCP:
		if !ok {
			return usagef("Unknown DCCP state `%s'", word)
		}
	}
	p.tmpl.state = new(n)
	return nil
}

func (p *parser) role(word string) error {
	for _, r := range []flow.DCCPRole{flow.DCCPClient, flow.DCCPServer} {
		if abbreviates(word, r.String()) {
			p.tmpl.role = new(r)
			return nil
		}
	}
	return usagef("Unknown DCCP role `%s'", word)
}
