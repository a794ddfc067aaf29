//go:build linux

package snapshot

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/spoor-project/spoor/internal/nstest"
)

// TestObjectIsWhatTheSourceSays compiles the program again.
func TestObjectIsWhatTheSourceSays(t *testing.T) {
	nstest.NeedTool(t, "clang-16", "llvm-strip-16")
	again := filepath.Join(t.TempDir(), "snapshot.o")
	build := exec.Command("bpf/build")
	build.Env = append(os.Environ(), "SNAPSHOT_OBJECT="+again)
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	got, err := os.ReadFile(again)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, object) {
		t.Error("snapshot.o is not what bpf/snapshot.c compiles to: run make generate and commit it")
	}
}
