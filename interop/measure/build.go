package measure

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

// ModuleRoot returns the folder of the go.mod that the user is in.
func ModuleRoot(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("go env GOMOD: %w", err)
	}
	file := string(bytes.TrimSpace(out))
	if file == "" || file == os.DevNull {
		return "", errors.New("no go.mod here: run the benchmark within the module")
	}
	return filepath.Dir(file), nil
}

// BuildShipped builds a program as it is shipped: static, without symbols.
func BuildShipped(ctx context.Context, dir, file, pkg string) error {
	return Build(ctx, dir, file, pkg, "-trimpath", "-ldflags", "-s -w")
}

// Build builds a program.
func Build(ctx context.Context, dir, file, pkg string, flags ...string) error {
	args := append([]string{"build", "-o", file}, flags...)
	cmd := exec.CommandContext(ctx, "go", append(args, pkg)...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build %s in %s: %w\n%s", pkg, dir, err, strings.TrimSpace(string(out)))
	}
	return nil
}
