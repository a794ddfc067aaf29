//go:build linux

package conntrack_test

import (
	"context"
	"errors"
	"reflect"
	"syscall"
	"testing"
	"time"

	"github.com/spoor-project/spoor/conntrack"
	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/nstest"
)

// needHelpers skips the test where the kernel has no user-space helpers.
func needHelpers(t *testing.T, c *conntrack.Client) {
	t.Helper()
	for _, err := range c.Helpers(limited(t)) {
		switch {
		case errors.Is(err, conntrack.ErrNotSupported):
			nstest.KernelLacks(t, "CONFIG_NF_CT_NETLINK_HELPER", err.Error())
		case errors.Is(err, conntrack.ErrPermission):
			t.Skipf("not in the initial user namespace: %v", err)
		}
	}
}

// Registrations belong to no namespace, so the test has a name of its own and leaves
// those of others alone.
func TestHelpersAreRegisteredWithTheKernel(t *testing.T) {
	_, c := kernel(t)
	needHelpers(t, c)
	ctx := limited(t)
	key := conntrack.HelperKey{Name: "spoor-test", Family: flow.IPv4, Proto: flow.UDP}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second) // that of the test has ended
		defer cancel()
		c.DeleteHelper(ctx, conntrack.HelperKey{Name: key.Name})
	})
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
