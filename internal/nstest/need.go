//go:build linux

package nstest

import (
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// requireVar names the features whose absence fails a test instead of skipping it.
const requireVar = "SPOOR_TEST_REQUIRE"

var skipped, lacking atomic.Int64

// Unavailable ends a test which cannot run because something is missing: it is skipped with the reason, or fails when
// SPOOR_TEST_REQUIRE lists one of the features or "all".
func Unavailable(t testing.TB, features []string, reason string) {
	t.Helper()
	for required := range strings.SplitSeq(os.Getenv(requireVar), ",") {
		if required = strings.TrimSpace(required); required == "all" || slices.Contains(features, required) {
			t.Fatalf("%s (%s=%s forbids to skip)", reason, requireVar, required)
		}
	}
	defer func() {
		if t.Skipped() {
			skipped.Add(1)
		}
	}()
	t.Skip(reason)
}

// NeedRoot skips a test where network namespaces cannot be made; its feature is "root".
func NeedRoot(t testing.TB) {
	t.Helper()
	if err := canUnshare(); err != nil {
		Unavailable(t, []string{"root"}, "cannot make a network namespace: "+err.Error()+" (needs CAP_SYS_ADMIN)")
	}
}

// canUnshare tries instead of looking at the user id: root of a container may lack the capability.
var canUnshare = sync.OnceValue(func() error {
	file, err := newNamespace()
	if err == nil {
		file.Close()
	}
	return err
})

// KernelLacks ends a test of what the running kernel was built without: it is skipped, whatever SPOOR_TEST_REQUIRE says, since no
// installation can help. It fails if the variable lists the option itself, or if the kernel tells (/proc/config.gz) that it was
// built with it.
func KernelLacks(t testing.TB, option, reason string) {
	t.Helper()
	for required := range strings.SplitSeq(os.Getenv(requireVar), ",") {
		if strings.TrimSpace(required) == option {
			t.Fatalf("%s (%s=%s forbids to skip)", reason, requireVar, option)
		}
	}
	if packed, err := os.Open("/proc/config.gz"); err == nil {
		defer packed.Close()
		unpacked, err := gzip.NewReader(packed)
		if err != nil {
			t.Fatal(err)
		}
		config, err := io.ReadAll(unpacked)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(config, []byte("\n"+option+"=y\n")) {
			t.Fatalf("the kernel was built with %s, and yet: %s", option, reason)
		}
	}
	defer func() {
		if t.Skipped() {
			lacking.Add(1)
		}
	}()
	t.Skipf("the kernel lacks %s: %s", option, reason)
}

// NeedTool skips a test where one of the programs is not installed; its features are "tools" and the program's name.
func NeedTool(t testing.TB, names ...string) {
	t.Helper()
	for _, name := range names {
		if _, err := LookTool(name); err != nil {
			Unavailable(t, []string{"tools", name}, "program not installed: "+name)
		}
	}
}

// LookTool finds a program like [exec.LookPath], also in the administrator's directories, which an ordinary user's PATH lacks.
func LookTool(name string) (string, error) {
	path, err := exec.LookPath(name)
	if err == nil || strings.Contains(name, "/") {
		return path, err
	}
	for _, dir := range []string{"/usr/local/sbin", "/usr/sbin", "/sbin"} {
		if path, err := exec.LookPath(dir + "/" + name); err == nil {
			return path, nil
		}
	}
	return "", err
}
