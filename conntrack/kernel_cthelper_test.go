//go:build linux

package conntrack_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"reflect"
	"syscall"
	"testing"
	"time"

	"github.com/spoor-project/spoor/conntrack"
	"github.com/spoor-project/spoor/flow"
)

// needHelpers skips the test where the kernel has no user-space helpers, and it was built
// without them as far as it tells.
func needHelpers(t *testing.T, c *conntrack.Client) {
	t.Helper()
	for _, err := range c.Helpers(limited(t)) {
		switch {
		case errors.Is(err, conntrack.ErrNotSupported):
			if configured(t, "CONFIG_NF_CT_NETLINK_HELPER") {
				t.Fatalf("the kernel was built with user-space helpers, and says %v", err)
			}
			t.Skipf("this kernel was built without user-space helpers (CONFIG_NF_CT_NETLINK_HELPER): %v", err)
		case errors.Is(err, conntrack.ErrPermission):
			t.Skipf("not in the initial user namespace: %v", err)
		}
	}
}

// configured reports whether the running kernel tells that it was built with an option.
func configured(t *testing.T, option string) bool {
	t.Helper()
	packed, err := os.Open("/proc/config.gz")
	if err != nil {
		return false
	}
	defer packed.Close()
	unpacked, err := gzip.NewReader(packed)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(unpacked)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Contains(text, []byte("\n"+option+"=y\n"))
}

// Registrations belong to no namespace, so the test has a name of its own and leaves
// those of others alone.
func TestHelpersAreRegisteredWithTheKernel(t *testing.T) {
	_, c := kernel(t)
	needHelpers(t, c)
	ctx := limited(t)
	key := conntrack.HelperKey{Name: "spoor-test", Family: flow.IPv4, Proto: flow.UDP}
	t.Cleanup(func() { c.DeleteHelper(limited(t), conntrack.HelperKey{Name: key.Name}) })
	change := conntrack.HelperChange{PrivateLen: new(uint32(8)), Classes: []conntrack.HelperClass{
		{Name: "first", MaxExpects: 2, Timeout: time.Minute}, {Name: "second", MaxExpects: 3, Timeout: time.Hour}}}
	want := conntrack.UserHelper{HelperKey: key, PrivateLen: 8, Classes: change.Classes}

	if err := c.PutHelper(ctx, key, conntrack.HelperChange{Enabled: new(false)}); !errors.Is(err, syscall.EINVAL) {
		t.Errorf("change of what is not there: %v, want %v", err, syscall.EINVAL)
	}
	if err := c.PutHelper(ctx, key, change); err != nil {
		t.Fatal(err)
	}
	if err := c.PutHelper(ctx, key, conntrack.HelperChange{Enabled: new(true), Queue: new(uint32(77))}); err != nil {
		t.Error(err)
	}
	want.Enabled, want.Queue = true, 77
	if err := c.PutHelper(ctx, key, conntrack.HelperChange{PrivateLen: new(uint32(9))}); !errors.Is(err, syscall.EBUSY) {
		t.Errorf("other private data: %v, want %v", err, syscall.EBUSY)
	}
	if got, err := c.GetHelper(ctx, key); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	found := false
	for h, err := range c.Helpers(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		found = found || reflect.DeepEqual(h, want)
	}
	if !found {
		t.Errorf("%+v is not listed", want)
	}
	if _, err := c.GetHelper(ctx, conntrack.HelperKey{Name: key.Name, Family: flow.IPv4}); !errors.Is(err, conntrack.ErrNotFound) {
		t.Errorf("get without a protocol: %v, want %v", err, conntrack.ErrNotFound)
	}
	if err := c.DeleteHelper(ctx, key); err != nil {
		t.Error(err)
	}
	if _, err := c.GetHelper(ctx, key); !errors.Is(err, conntrack.ErrNotFound) {
		t.Errorf("get of what was deleted: %v, want %v", err, conntrack.ErrNotFound)
	}
}
