package conntrackcli

import (
	"encoding/binary"
	"errors"
	"io/fs"
	"math/bits"
	"net/netip"
	"os"
	"syscall"

	"github.com/spoor-project/spoor/filter"
	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/libc"
)

// addr is netip.Addr.
type addr = netip.Addr

// defaultLabelMap is where names of labels are defined.
const defaultLabelMap = "/etc/xtables/connlabel.conf"

func familyOf(a addr) flow.Family {
	if a.Is4() {
		return flow.IPv4
	}
	return flow.IPv6
}

func maskOf(a addr, bits int) addr { return filter.MaskOf(a, bits) }

// vtag reads a verification tag. The original puts it on the wire, and prints it, in
// the host's byte order.
func vtag(arg string) uint32 {
	n := uint32(atol(arg))
	if binary.NativeEndian.Uint16([]byte{1, 0}) == 1 {
		n = bits.ReverseBytes32(n)
	}
	return n
}

// finish does what comes after the last argument: defaults, the label map, and the
// checks of what goes with what.
func (p *parser) finish() error {
	if p.cmd == cmdNone && p.given == 0 && p.extGiven == 0 {
		p.cmd, p.implicitHelp = cmdHelp, true
	}
	if p.cmd == cmdNone {
		id, _ := p.given.first()
		return usagef("Illegal option `--%s' with this command", id.row().name)
	}
	if p.family == flow.AnyFamily && !p.anyFamily() {
		p.family = flow.IPv4
	}
	if err := p.loadLabels(); err != nil {
		return err
	}
	if p.given.has(optAnyNAT) && p.given.any(options(optSrcNAT, optDstNAT)) {
		return usagef("cannot specify `--src-nat' or `--dst-nat' with `--any-nat'")
	}
	return p.check()
}

// anyFamily reports whether the command works on both families if none is named.
func (p *parser) anyFamily() bool {
	switch p.cmd {
	case cmdList, cmdEvent:
		return p.table != tableExpect
	case cmdUpdate, cmdDelete, cmdGet, cmdFlush:
		return p.table != tableExpect
	}
	return false
}

// check holds the options to the rules of the command.
func (p *parser) check() error {
	law := p.cmd.row().rules[p.table]
	may := law.may
	if law.ownOutput && !p.show.ours() {
		may &^= options(optOutput)
	}
	wrong := law.must&^p.given | p.given&^(law.must|may)
	for id := range optNATRange {
		if wrong == 0 {
			break
		}
		switch {
		case law.must.has(id) && !p.given.has(id):
			return usagef("You need to supply the `--%s' option for this command", id.row().name)
		case !law.must.has(id) && !may.has(id) && p.given.has(id):
			return usagef("Illegal option `--%s' with this command", id.row().name)
		}
	}
	if law.pair {
		orig, reply := options(optSrc, optDst), options(optReplySrc, optReplyDst)
		switch {
		case p.given&orig == orig, p.given&reply == reply:
		case !p.given.any(orig) && p.given.any(reply):
			return usagef("you have to specify `--reply-src' and `--reply-dst'")
		default:
			return usagef("you have to specify `--src' and `--dst'")
		}
	}
	if p.ext != nil && p.cmd != cmdHelp {
		if err := p.ext.check(law.proto, p.extGiven); err != nil {
			return err
		}
	}
	if p.given.has(optProto) && p.ext == nil && p.given.any(options(optReplySrc, optReplyDst)) {
		// A protocol without options has nothing that could tell it for the
		// reply direction.
		p.tmpl.reply.Proto = p.tmpl.orig.Proto
		p.tmpl.given |= replyProto
	}
	return nil
}

// loadLabels reads the label map if labels are named or to be shown, and checks the
// names.
func (p *parser) loadLabels() error {
	if !p.given.any(options(optLabel, optLabelAdd, optLabelDel)) && !p.show.labels {
		return nil
	}
	path := p.labelMapPath
	if path == "" {
		path = defaultLabelMap
	}
	m, err := p.env.labelMap(path)
	if err != nil {
		var errno syscall.Errno
		errors.As(err, &errno)
		p.warnings += "nfct_labelmap_new: " + libc.Strerror(errno) + "\n"
	}
	p.labels = m
	for _, names := range [][]string{p.tmpl.labels, p.tmpl.labelsAdd, p.tmpl.labelsDel} {
		for _, name := range names {
			if _, ok := m.Bit(name); !ok {
				return usagef("unknown label '%s'", name)
			}
		}
	}
	return nil
}

// labelMap reads a label map. One without a usable line is no map; the error has
// errno 0 then, as the original reports it.
func readLabelMap(path string) (*flow.LabelMap, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	m, err := flow.ParseLabelMap(f)
	if err == nil && m.Len() == 0 {
		return nil, &fs.PathError{Op: "read", Path: path, Err: syscall.Errno(0)}
	}
	if err != nil {
		return nil, err
	}
	return m, nil
}

// labelBits returns the bits of names, and whether all of them can be stored in an
// entry.
func (r *request) labelBits(names []string) (l flow.Labels, all bool) {
	all = true
	for _, name := range names {
		bit, ok := r.labels.Bit(name)
		if !ok || bit >= flow.LabelBits {
			all = false
			continue
		}
		l.Set(bit)
	}
	return l, all
}
