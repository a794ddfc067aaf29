//go:build linux

package nfnetlink_test

import (
	"errors"
	"io/fs"
	"testing"

	"github.com/spoor-project/spoor/internal/nfnetlink/nfnetlinktest"
	"github.com/spoor-project/spoor/internal/nstest"
)

// TestConstantsAreTheKernels compares with the installed headers.
func TestConstantsAreTheKernels(t *testing.T) {
	kernel, err := nfnetlinktest.Constants(nfnetlinktest.HeaderDir+"/netlink.h", nfnetlinktest.HeaderDir+"/netfilter/nfnetlink.h")
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
		switch n, ok := kernel[c.C]; {
		case c.C == "NLA_TYPE_MASK": // a complement
			if mask := ^(kernel["NLA_F_NESTED"] | kernel["NLA_F_NET_BYTEORDER"]) & 0xffff; c.Value != mask {
				t.Errorf("%s = %#x, want %s, %#x", c.Go, c.Value, c.C, mask)
			}
		case !ok:
			t.Errorf("%s: the headers have no %s", c.Go, c.C)
		case n != c.Value:
			t.Errorf("%s = %#x, want %s, %#x", c.Go, c.Value, c.C, n)
		}
	}
}
