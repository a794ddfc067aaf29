//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/spoor-project/spoor/interop/measure"
)

// plan is what the arena is told.
type plan struct {
	settings
	Dir string // for files; removed in the end

	Self      string // this binary
	Ours      string
	Front     string // spoor
	Theirs    string
	Libraries string // program that dumps through Go libraries; "" if it cannot be built

	Growth bool // the arena lists the table and does nothing else

	root string // of the module
}

// build finds or makes the programs. The notes say what had to be left out.
func (p *plan) build(ctx context.Context) (notes []string, err error) {
	if p.Self, err = os.Executable(); err != nil {
		return nil, err
	}
	if p.Theirs, err = exec.LookPath("conntrack"); err != nil {
		return nil, fmt.Errorf("find the original to compare with: %w", err)
	}
	if p.root, err = measure.ModuleRoot(ctx); err != nil {
		return nil, err
	}
	p.Ours = filepath.Join(p.Dir, "conntrack")
	if err := measure.BuildShipped(ctx, p.root, p.Ours, "./cmd/conntrack"); err != nil {
		return nil, err
	}
	p.Front = filepath.Join(p.Dir, "spoor")
	if err := measure.BuildShipped(ctx, p.root, p.Front, "./cmd/spoor"); err != nil {
		return nil, err
	}
	libraries := filepath.Join(p.Dir, "golibs")
	if err := measure.Build(ctx, filepath.Join(p.root, "interop/bench/golibs"), libraries, "."); err != nil {
		progress("%v", err)
		return []string{"The comparison with other Go libraries was left out, as they could not be built."}, ctx.Err()
	}
	p.Libraries = libraries
	return nil, nil
}
