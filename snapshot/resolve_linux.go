package snapshot

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"
)

// Where the kernel describes its types, and a module its own, if connection tracking is one.
const (
	kernelTypes = "/sys/kernel/btf/vmlinux"
	moduleTypes = "/sys/kernel/btf/nf_conntrack"
)

// resolve puts the kernel's numbers of functions and types into the programs of spec, and returns the types that are needed for the rest.
func resolve(spec *ebpf.CollectionSpec) (*btf.Spec, error) {
	kernel, release, err := mapFile(kernelTypes)
	if err != nil {
		return nil, err
	}
	defer release()
	raw := [][]byte{kernel}
	switch module, err := os.ReadFile(moduleTypes); {
	case err == nil:
		raw = append(raw, module)
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	names := namesIn(spec.Types)
	found, err := findTypes(append(names, wordType), raw...)
	if err != nil {
		return nil, err
	}
	for _, p := range spec.Programs {
		if err := number(p.Instructions, found); err != nil {
			return nil, err
		}
	}
	needed, err := found.excerpt(names)
	if err != nil {
		return nil, err
	}
	return btf.LoadSpecFromReader(bytes.NewReader(needed))
}

// namesIn lists the types and functions that the program knows, some of which are the kernel's.
func namesIn(own *btf.Spec) (names []string) {
	for t := range own.All() {
		switch t.(type) {
		case *btf.Struct, *btf.Union, *btf.Enum, *btf.Typedef, *btf.Func:
			if name := t.TypeName(); name != "" && !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return names
}

// In the program, placeholder stands for the number of the type that word reads: TIMESPEC64 in bpf/kernel.h.
const (
	placeholder = 0x7a7e57ec
	wordType    = "timespec64"
)

// number puts in the numbers of the functions that are called and of the type that word reads.
func number(program asm.Instructions, found *types) error {
	timespec, err := found.number(wordType, kindStruct)
	if err != nil {
		return err
	}
	for i := range program {
		switch ins := &program[i]; {
		case ins.IsKfuncCall():
			n, err := found.number(ins.Reference(), kindFunc)
			if err != nil {
				return err
			}
			symbol := ins.Symbol()
			ins.Constant, ins.Metadata = int64(n), asm.Metadata{} // or the library looks for it in all types
			if symbol != "" {
				*ins = ins.WithSymbol(symbol)
			}
		case ins.Constant == placeholder:
			if op := ins.OpCode; op.ALUOp() != asm.Mov || op.Source() != asm.ImmSource {
				return fmt.Errorf("snapshot: the number of a type is asked for by %v", ins)
			}
			ins.Constant = int64(timespec)
		}
	}
	return nil
}

// mapFile returns what is in a file of the kernel, without copying it where that can be had.
func mapFile(name string) (b []byte, release func(), err error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.Size() > 0 {
		if b, err = unix.Mmap(int(f.Fd()), 0, int(info.Size()), unix.PROT_READ, unix.MAP_PRIVATE); err == nil {
			return b, func() { unix.Munmap(b) }, nil
		}
	}
	b, err = os.ReadFile(name)
	return b, func() {}, err
}
