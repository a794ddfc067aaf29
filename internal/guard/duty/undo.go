package duty

import (
	"fmt"
	"net/netip"
	"time"
)

// Undo lets an address in again, and writes that down. Flows that were deleted do not come back, and commands and requests are not taken back; whoever
// shall never be blocked belongs into the allow-list of the rules. It is an error if the address is not blocked.
func Undo(l *Blocklist, a *Audit, offender netip.Addr) error {
	offender = offender.Unmap().WithZone("")
	was, err := l.Unblock(offender)
	if err == nil && !was {
		return fmt.Errorf("%s is not blocked", offender)
	}
	a.undone(time.Now(), offender, "", err)
	return err
}

// UndoAll lets all in again, and returns who that was.
func UndoAll(l *Blocklist, a *Audit) ([]netip.Addr, error) {
	all, err := l.UnblockAll()
	if err != nil {
		a.undone(time.Now(), netip.Addr{}, "", err)
		return nil, err
	}
	var addresses []netip.Addr
	for _, d := range all {
		a.undone(time.Now(), d.Offender, d.Kind.String(), nil)
		addresses = append(addresses, d.Offender)
	}
	return addresses, nil
}
