//go:build linux

package cthelper

import (
	"errors"
	"io/fs"
	"os"
	"testing"

	"github.com/spoor-project/spoor/internal/nfnetlink/nfnetlinktest"
	"github.com/spoor-project/spoor/internal/nstest"
)

func TestMain(m *testing.M) { os.Exit(nstest.Main(m)) }

func TestConstantsAreTheKernels(t *testing.T) {
	const dir = nfnetlinktest.HeaderDir + "/netfilter"
	kernel, err := nfnetlinktest.Constants(nfnetlinktest.HeaderDir+"/netfilter.h", dir+"/nfnetlink_queue.h", dir+"/nfnetlink_conntrack.h")
	if errors.Is(err, fs.ErrNotExist) {
		nstest.Unavailable(t, []string{"headers"}, err.Error()+" (install linux-libc-dev)")
	}
	if err != nil {
		t.Fatal(err)
	}
	ours, err := nfnetlinktest.Copies("uapi.go")
	if err != nil || len(ours) < 20 {
		t.Fatalf("%d constants in uapi.go, %v", len(ours), err)
	}
	for _, c := range ours {
		if n, ok := kernel[c.C]; !ok || n != c.Value {
			t.Errorf("%s = %#x, want %s, %#x (found: %v)", c.Go, c.Value, c.C, n, ok)
		}
	}
}
