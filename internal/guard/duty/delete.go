package duty

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/spoor-project/spoor/conntrack"
	"github.com/spoor-project/spoor/filter"
	"github.com/spoor-project/spoor/flow"
)

// DeleteFlows deletes the flows that an address has opened, in all zones, and returns how many. Flows that others have opened to it stay: they may be
// honest. Where something was deleted before an error, n counts it.
func DeleteFlows(ctx context.Context, c *conntrack.Client, offender netip.Addr) (n int, err error) {
	offender = offender.Unmap().WithZone("")
	if !offender.IsValid() {
		return 0, fmt.Errorf("delete flows: no address") // a filter without one would select all
	}
	flt := &filter.Filter{Family: flow.IPv6, Orig: filter.Side{Src: filter.Addrs{Addr: offender}}}
	if offender.Is4() {
		flt.Family = flow.IPv4
	}
	for _, err := range c.DeleteFlows(ctx, flt) {
		if err != nil {
			return n, fmt.Errorf("delete flows of %s: %w", offender, err)
		}
		n++
	}
	return n, nil
}
