//go:build linux

package nstest

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// programs builds each program of the module at most once per test process.
var programs struct {
	sync.Mutex
	dir   string
	built map[string]func() (string, error)
}

// BuildCommand builds a program of this module, named relative to the module's root ("./cmd/conntrack"), and returns where it is.
// It is alone in its directory, under its own name, and may be run by every user. The directory is removed by [Main].
func BuildCommand(t testing.TB, pkg string) string {
	t.Helper()
	programs.Lock()
	build, ok := programs.built[pkg]
	if !ok {
		if programs.built == nil {
			programs.built = make(map[string]func() (string, error))
		}
		build = sync.OnceValues(func() (string, error) { return buildCommand(pkg) })
		programs.built[pkg] = build
	}
	programs.Unlock()
	file, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// builtVar names a directory of programs that have been built already, each in a directory of its own name: where
// tests run there may be no compiler.
const builtVar = "SPOOR_TEST_PROGRAMS"

func buildCommand(pkg string) (string, error) {
	if built := os.Getenv(builtVar); built != "" {
		file := filepath.Join(built, path.Base(pkg), path.Base(pkg))
		_, err := os.Stat(file)
		return file, err
	}
	root, err := moduleRoot()
	if err != nil {
		return "", err
	}
	if err := noteSources(root); err != nil {
		return "", err
	}
	name := path.Base(pkg)
	dir, err := buildDir(name)
	if err != nil {
		return "", err
	}
	file := filepath.Join(dir, name)
	cmd := exec.Command("go", "build", "-o", file, pkg)
	cmd.Dir = root
	// What is tested is what is shipped: static, without cgo.
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build %s: %w\n%s", pkg, err, out)
	}
	return file, nil
}

// noteSources looks at every source file of the module. go test remembers at which files a test looked, and takes a result from
// its cache only while these are the same; what a go build started by the test reads it does not see.
func noteSources(root string) error {
	return filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) { // an editor at work
			return nil
		}
		if err != nil {
			return err
		}
		if d.IsDir() && file != root && strings.HasPrefix(d.Name(), ".") {
			return fs.SkipDir
		}
		if ext := filepath.Ext(file); ext == ".go" || ext == ".mod" {
			if _, err := os.Stat(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
		return nil
	})
}

// buildDir makes a directory which, unlike one of [testing.T.TempDir], a process without privileges can reach.
func buildDir(name string) (string, error) {
	programs.Lock()
	defer programs.Unlock()
	if programs.dir == "" {
		dir, err := os.MkdirTemp("", "spoor-programs-")
		if err != nil {
			return "", err
		}
		programs.dir = dir
		if err := os.Chmod(dir, 0o755); err != nil {
			return "", err
		}
	}
	dir, err := os.MkdirTemp(programs.dir, name+"-")
	if err != nil {
		return "", err
	}
	return dir, os.Chmod(dir, 0o755)
}

// moduleRoot finds go.mod above the directory of the package under test, in which go test starts it.
func moduleRoot() (string, error) {
	start, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for dir := start; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		} else if !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("no go.mod above %s", start)
		}
	}
}

// Main runs the tests, removes the programs which [BuildCommand] built, and reports how many tests were skipped by this package.
// Use it as TestMain's body: os.Exit(nstest.Main(m)).
func Main(m *testing.M) int {
	code := m.Run()
	if programs.dir != "" {
		if err := os.RemoveAll(programs.dir); err != nil {
			fmt.Fprintln(os.Stderr, "nstest:", err)
		}
	}
	if n := skipped.Load(); n > 0 {
		fmt.Fprintf(os.Stderr, "nstest: %d tests skipped for missing features; %s=all makes them fail\n", n, requireVar)
	}
	if n := lacking.Load(); n > 0 {
		fmt.Fprintf(os.Stderr, "nstest: %d tests skipped for what the kernel was built without\n", n)
	}
	return code
}
