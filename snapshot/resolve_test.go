//go:build linux

package snapshot

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
)

// TestTypesAreTheKernelsOwn: what the program gets to know of this kernel's types is what the library says that reads all of them.
func TestTypesAreTheKernelsOwn(t *testing.T) {
	kernel, err := btf.LoadKernelSpec()
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, ebpf.ErrNotSupported) {
		t.Skip("this kernel does not describe its types:", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	module := kernel
	if _, err := os.Stat(moduleTypes); err == nil {
		if module, err = btf.LoadKernelModuleSpec("nf_conntrack"); err != nil {
			t.Fatal(err)
		}
	}
	whole := func(name string, typ any) error {
		if err := module.TypeByName(name, typ); err == nil {
			return nil
		}
		return kernel.TypeByName(name, typ)
	}
	program, err := ebpf.LoadCollectionSpecFromReader(bytes.NewReader(object))
	if err != nil {
		t.Fatal(err)
	}
	few, err := resolve(program)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{
		"task_struct", "files_struct", "fdtable", "file", "seq_file", "ct_iter_state", "nf_conn", "nf_ct_ext", "nf_conn_help", "nf_conntrack_helper", "ip_ct_tcp_state",
	} {
		var want, got *btf.Struct
		if err := whole(name, &want); err != nil {
			t.Fatal(name, err)
		}
		if err := few.TypeByName(name, &got); err != nil {
			t.Fatal(name, err)
		}
		if want, got := shape(want), shape(got); got != want {
			t.Errorf("%s\nwant\n%s", got, want)
		}
	}
	var want, got *btf.Enum
	if err := errors.Join(whole("nf_ct_ext_id", &want), few.TypeByName("nf_ct_ext_id", &got)); err != nil {
		t.Fatal(err)
	}
	if shape(want) != shape(got) {
		t.Errorf("%s\nwant\n%s", shape(got), shape(want))
	}
	n := 0
	for range few.All() {
		n++
	}
	if n > 5000 {
		t.Errorf("%d types were taken, of which the program needs a few dozen", n)
	}
	t.Logf("%d types", n)
	// Numbers of functions are those of the whole.
	for _, p := range program.Programs {
		for i := range p.Instructions {
			if ins := &p.Instructions[i]; ins.IsKfuncCall() {
				f, err := kernel.TypeByID(btf.TypeID(ins.Constant))
				if _, ok := f.(*btf.Func); !ok || err != nil {
					t.Errorf("call of %v, %v", f, err)
				}
			}
		}
	}
}
