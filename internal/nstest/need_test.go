//go:build linux

package nstest_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/spoor-project/spoor/internal/nstest"
)

// verdict records how a test would have ended.
type verdict struct {
	testing.TB
	skipped, failed string
}

func (v *verdict) Helper()                          {}
func (v *verdict) Skipped() bool                    { return false } // not counted as a skip of this run
func (v *verdict) Skip(args ...any)                 { v.skipped = fmt.Sprint(args...); panic(v) }
func (v *verdict) Skipf(format string, args ...any) { v.Skip(fmt.Sprintf(format, args...)) }
func (v *verdict) Fatal(args ...any)                { v.failed = fmt.Sprint(args...); panic(v) }
func (v *verdict) Fatalf(format string, args ...any) {
	v.failed = fmt.Sprintf(format, args...)
	panic(v)
}

func judge(fn func(testing.TB)) *verdict {
	v := new(verdict)
	func() {
		defer func() {
			if r := recover(); r != nil && r != v {
				panic(r)
			}
		}()
		fn(v)
	}()
	return v
}

func TestMissingToolSkipsUnlessRequired(t *testing.T) {
	const tool = "no-such-program-anywhere"
	need := func(tb testing.TB) { nstest.NeedTool(tb, "sh", tool) }
	for _, tt := range []struct {
		require string
		fatal   bool
	}{
		{"", false},
		{"root", false},
		{"root,bpf", false},
		{"tools", true},
		{"root, tools", true},
		{tool, true},
		{"all", true},
	} {
		t.Setenv("SPOOR_TEST_REQUIRE", tt.require)
		v := judge(need)
		if (v.failed != "") != tt.fatal || (v.skipped != "") == tt.fatal {
			t.Errorf("SPOOR_TEST_REQUIRE=%q: failed %q, skipped %q; want failure: %t", tt.require, v.failed, v.skipped, tt.fatal)
		}
		if reason := v.failed + v.skipped; !strings.Contains(reason, tool) {
			t.Errorf("SPOOR_TEST_REQUIRE=%q: reason %q does not name the tool", tt.require, reason)
		}
	}
}

func TestPresentToolDoesNotSkip(t *testing.T) {
	t.Parallel()
	if v := judge(func(tb testing.TB) { nstest.NeedTool(tb, "sh") }); v.skipped != "" || v.failed != "" {
		t.Errorf("NeedTool(sh): skipped %q, failed %q", v.skipped, v.failed)
	}
}

func TestWhatTheKernelLacksSkipsUnlessItHasIt(t *testing.T) {
	t.Setenv("SPOOR_TEST_REQUIRE", "all") // does not help
	if v := judge(func(tb testing.TB) { nstest.KernelLacks(tb, "CONFIG_NO_SUCH_OPTION", "reason") }); v.failed != "" || !strings.Contains(v.skipped, "reason") {
		t.Errorf("lacking: failed %q, skipped %q", v.failed, v.skipped)
	}
	if _, err := os.Stat("/proc/config.gz"); err != nil {
		return // the kernel does not tell
	}
	if v := judge(func(tb testing.TB) { nstest.KernelLacks(tb, "CONFIG_NET", "reason") }); v.skipped != "" || !strings.Contains(v.failed, "reason") {
		t.Errorf("there: failed %q, skipped %q", v.failed, v.skipped)
	}
}
