package snapshot

import (
	"bufio"
	"context"
	"errors"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/cilium/ebpf"

	"github.com/spoor-project/spoor/flow"
)

// errFound ends a sweep early.
var errFound = errors.New("found")

// LearnID finds out how this kernel makes identifiers, which are a hash with a secret key, so that
// the flows of t have them from then on. known are some flows of the table with their ID, as
// netlink tells it; those that come first in a dump are found soonest. The key is looked for at the
// addresses that the code of nf_ct_get_id mentions, and the right one is the one that
// yields the identifiers known. It needs /proc/kallsyms with addresses. No stream
// may be in use.
func (t *Table) LearnID(ctx context.Context, known []flow.Flow) error {
	byKey := make(map[flow.Key]uint32)
	for i := range known {
		if f := &known[i]; f.Has.Has(flow.HasID) {
			byKey[f.Key()] = f.ID
		}
	}
	code, err := t.idCode()
	if err != nil {
		return err
	}
	type sample struct {
		rec []byte
		id  uint32
	}
	var samples []sample
	// One walker begins where a dump does.
	err = read(ctx, t.walkers[:1], 0, Parts, request{}, func(w *walker, _ uint32, records []byte) error {
		var malformed error
		for f, rec := range w.records(records, &malformed) {
			if id, ok := byKey[f.Key()]; ok {
				samples = append(samples, sample{slices.Clone(rec), id})
			}
		}
		if malformed != nil {
			return malformed
		}
		if len(samples) >= min(4, len(byKey)) {
			return errFound
		}
		return nil
	})
	if err != nil && err != errFound {
		return err
	}
	if len(samples) == 0 {
		return errors.New("snapshot: none of the known flows is there any more")
	}
	text, err := t.peekAt(code)
	if err != nil {
		return err
	}
	for _, at := range mentioned(code, text, 8) {
		b, err := t.peekAt(at)
		if err != nil {
			continue
		}
		key := &idKey{le.Uint64(b), le.Uint64(b[8:])}
		if !slices.ContainsFunc(samples, func(s sample) bool { return key.of(s.rec, &t.layout) != s.id }) {
			t.id = key
			return nil
		}
	}
	return errors.New("snapshot: the key of identifiers was not found")
}

const (
	peeked   = 256
	peekSize = 8 + 8 + peeked
)

// peekAt returns 256 bytes of the kernel's memory.
func (t *Table) peekAt(address uint64) ([]byte, error) {
	p := le.AppendUint64(make([]byte, 0, peekSize), address)[:peekSize] // struct peek in bpf/snapshot.c
	if _, err := t.peek.Run(&ebpf.RunOptions{Context: p, ContextOut: p}); err != nil {
		return nil, err
	}
	if le.Uint64(p[8:]) != 0 {
		return nil, errors.New("snapshot: no such kernel memory")
	}
	return p[16:], nil
}

// mentioned lists the addresses that machine code refers to, and others, if they are aligned: on x86 relative
// to the next instruction or absolute in 32 bits, on ARM by pairs of ADRP and ADD.
func mentioned(at uint64, code []byte, alignment uint64) []uint64 {
	var all []uint64
	add := func(a uint64) {
		if a%alignment == 0 && !slices.Contains(all, a) {
			all = append(all, a)
		}
	}
	for i := 0; i+4 <= len(code); i++ {
		v := uint64(int64(int32(le.Uint32(code[i:]))))
		add(at + uint64(i) + 4 + v)
		if int64(v) < 0 {
			add(v)
		}
	}
	for i := 0; i+4 <= len(code); i += 4 {
		adrp := le.Uint32(code[i:])
		if adrp&0x9f000000 != 0x90000000 {
			continue
		}
		page := int64(int32(adrp<<8)&^0x1fff)>>11 | int64(adrp>>29&3)
		base := (at+uint64(i))&^0xfff + uint64(page<<12)
		for j := i + 4; j+4 <= len(code); j += 4 {
			if ins := le.Uint32(code[j:]); ins&0xffc00000 == 0x91000000 && ins>>5&31 == adrp&31 {
				add(base + uint64(ins>>10&0xfff))
			}
		}
	}
	return all
}

// symbol finds the address of a function of the kernel.
func symbol(name string) (uint64, error) {
	at, err := symbols(name)
	if err != nil {
		return 0, err
	}
	return at[0], nil
}

// symbols finds the addresses of functions and variables of the kernel.
func symbols(names ...string) ([]uint64, error) {
	f, err := os.Open("/proc/kallsyms")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	at, missing := make([]uint64, len(names)), len(names)
	for in := bufio.NewScanner(f); missing > 0; {
		if !in.Scan() {
			if err := in.Err(); err != nil {
				return nil, err
			}
			return nil, errors.New("snapshot: the kernel has no symbol " + names[slices.Index(at, 0)])
		}
		line := in.Text()
		for i, name := range names {
			if at[i] != 0 || !strings.Contains(line, name) {
				continue
			}
			w := strings.Fields(line)
			if len(w) < 3 || w[2] != name {
				continue
			}
			if at[i], err = strconv.ParseUint(w[0], 16, 64); err != nil || at[i] == 0 {
				return nil, errors.New("snapshot: /proc/kallsyms hides addresses (kernel.kptr_restrict)")
			}
			missing--
		}
	}
	return at, nil
}
