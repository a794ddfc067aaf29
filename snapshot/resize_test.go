//go:build linux && alone

package snapshot_test

import (
	"context"
	"errors"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spoor-project/spoor/internal/nstest"
	"github.com/spoor-project/spoor/snapshot"
)

const bucketsFile = "/proc/sys/net/netfilter/nf_conntrack_buckets"

// TestTableIsResizedMeanwhile reads while the table gets another size again and again. All
// namespaces share the table, and netlink lists entries twice or not at all meanwhile, so no other
// test may run beside this one: the tag alone keeps it out of go test ./... . The size is
// put back.
func TestTableIsResizedMeanwhile(t *testing.T) {
	t.Run("list", func(t *testing.T) { resizedMeanwhile(t, snapshot.Open) })
	t.Run("variables", func(t *testing.T) { resizedMeanwhile(t, snapshot.OpenByNames) })
}

func resizedMeanwhile(t *testing.T, by func(*snapshot.Options) (*snapshot.Table, error)) {
	ns, c := place(t)
	ctx := limited(t)
	old, err := os.ReadFile(bucketsFile)
	if err != nil {
		nstest.Unavailable(t, []string{"resize"}, err.Error())
	}
	resize := func(n int) error { return os.WriteFile(bucketsFile, []byte(strconv.Itoa(n)), 0) }
	size, err := strconv.Atoi(strings.TrimSpace(string(old)))
	if err != nil {
		t.Fatal(err)
	}
	if err := resize(size); errors.Is(err, os.ErrPermission) {
		nstest.Unavailable(t, []string{"resize"}, err.Error())
	}
	t.Cleanup(func() { resize(size) })
	fill(t, c, 0, lasting)
	tab := openBy(t, by, ns, 2)
	busy, stop := context.WithCancel(ctx)
	defer stop()
	var wg sync.WaitGroup
	resized := 0
	wg.Go(func() {
		for ; busy.Err() == nil; resized++ {
			if err := resize([]int{8192, 65536, 12288, 131072}[resized%4]); err != nil {
				t.Error(err)
			}
		}
	})
	begun := time.Now()
	readings := 0
	for ; (readings < 3 || time.Since(begun) < churning) && busy.Err() == nil && !t.Failed(); readings++ {
		read(t, tab.Flows(ctx, nil))
	}
	stop()
	wg.Wait()
	if resized < 3 || readings < 3 {
		t.Errorf("%d readings, %d sizes: this tests nothing", readings, resized)
	}
	t.Logf("%d readings, %d sizes", readings, resized)
}
