//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// plan is what the arena is told.
type plan struct {
	settings
	Dir string // for files; removed in the end

	Self      string // this binary
	Ours      string
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
	out, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return nil, fmt.Errorf("go env GOMOD: %w", err)
	}
	file := string(bytes.TrimSpace(out))
	if file == "" || file == os.DevNull {
		return nil, errors.New("no go.mod here: run bench within the module")
	}
	p.root = filepath.Dir(file)

	p.Ours = filepath.Join(p.Dir, "conntrack")
	// As it is shipped: static, without symbols.
	if err := goBuild(ctx, p.root, p.Ours, "./cmd/conntrack", "-trimpath", "-ldflags", "-s -w"); err != nil {
		return nil, err
	}
	libraries := filepath.Join(p.Dir, "golibs")
	if err := goBuild(ctx, filepath.Join(p.root, "interop/bench/golibs"), libraries, "."); err != nil {
		progress("%v", err)
		return []string{"The comparison with other Go libraries was left out, as they could not be built."}, ctx.Err()
	}
	p.Libraries = libraries
	return nil, nil
}

func goBuild(ctx context.Context, dir, file, pkg string, flags ...string) error {
	args := append([]string{"build", "-o", file}, flags...)
	cmd := exec.CommandContext(ctx, "go", append(args, pkg)...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build %s in %s: %w\n%s", pkg, dir, err, strings.TrimSpace(string(out)))
	}
	return nil
}
