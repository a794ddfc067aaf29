//go:build linux

package nstest_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/spoor-project/spoor/internal/nstest"
)

func TestMain(m *testing.M) { os.Exit(nstest.Main(m)) }

func TestBuildCommandIsBuiltOnceAndReachableByEveryone(t *testing.T) {
	t.Parallel()
	const pkg = "./internal/nstest/testdata/hello"
	file := nstest.BuildCommand(t, pkg)
	if again := nstest.BuildCommand(t, pkg); again != file {
		t.Errorf("second build: %s, want %s", again, file)
	}
	if name := filepath.Base(file); name != "hello" {
		t.Errorf("program is called %s, want hello", name)
	}
	for path := file; filepath.Clean(path) != filepath.Clean(os.TempDir()); path = filepath.Dir(path) {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if perm := info.Mode().Perm(); perm&0o055 != 0o055 {
			t.Errorf("%s: mode %o, want readable and executable by all", path, perm)
		}
	}
	ns := nstest.New(t)
	if got := ns.MustRun(t, file); got != "hello\n" {
		t.Errorf("%s printed %q, want hello", file, got)
	}
}
