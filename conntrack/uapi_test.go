//go:build linux

package conntrack_test

import (
	"errors"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"github.com/spoor-project/spoor/internal/nfnetlink/nfnetlinktest"
	"github.com/spoor-project/spoor/internal/nstest"
)

// youngConstants came late: older headers do not have them.
var youngConstants = map[string]bool{
	"CTA_FILTER": true, "CTA_FILTER_ORIG_FLAGS": true, "CTA_FILTER_REPLY_FLAGS": true, // Linux 5.8
	"CTA_STATS_CLASH_RESOLVE": true, // 5.10
	"CTA_STATUS_MASK":         true, // 5.15
	"CTA_STATS_CHAIN_TOOLONG": true, // 5.15
	"CTA_TIMESTAMP_EVENT":     true, // 6.14
}

// TestConstantsAreTheKernels compares with the installed headers.
func TestConstantsAreTheKernels(t *testing.T) {
	const dir = nfnetlinktest.HeaderDir + "/netfilter/"
	kernel, err := nfnetlinktest.Constants(dir+"nfnetlink_conntrack.h", dir+"nf_conntrack_common.h",
		dir+"nfnetlink_cthelper.h", dir+"nfnetlink_cttimeout.h")
	if errors.Is(err, fs.ErrNotExist) {
		nstest.Unavailable(t, []string{"headers"}, err.Error()+" (install linux-libc-dev)")
	}
	if err != nil {
		t.Fatal(err)
	}
	for file, atLeast := range map[string]int{"uapi.go": 100, "stats.go": 15, "uapi_cthelper.go": 18, "uapi_cttimeout.go": 45} {
		ours, err := nfnetlinktest.Copies(file)
		if err != nil || len(ours) < atLeast {
			t.Fatalf("%d constants in %s, %v, want at least %d", len(ours), file, err, atLeast)
		}
		for _, c := range ours {
			if n, ok := kernel[c.C]; ok && n != c.Value || !ok && !youngConstants[c.C] {
				t.Errorf("%s: %s = %d, want %s, %d (found: %v)", file, c.Go, c.Value, c.C, n, ok)
			}
			if !slices.ContainsFunc([]string{"CTA_", "IPCTNL_", "NFNL_MSG_", "NFCTH_", "NFCT_HELPER_"},
				func(prefix string) bool { return strings.HasPrefix(c.C, prefix) }) {
				t.Errorf("%s: %s stands for %s, which is neither a message nor an attribute", file, c.Go, c.C)
			}
		}
	}
}
