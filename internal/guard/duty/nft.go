package duty

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/google/nftables"

	"github.com/spoor-project/spoor/internal/guard"
)

// ErrNotSetUp is the error where the sets of [Setup] are missing.
var ErrNotSetUp = errors.New("the nftables table inet " + tableName + " with its sets is missing; run: spoor guard setup | nft -f -")

// Blocklist is the sets of blocked addresses in one network namespace. It may be used by several goroutines. To use it needs CAP_NET_ADMIN.
type Blocklist struct {
	netns *os.File // nil: that of the process
	node  string

	mu sync.Mutex // one operation at a time; guards known
	// known is what the sets hold, with the ends of the blocks, as it was listed last and changed since; nil: not listed yet.
	known map[netip.Addr]time.Time
}

// OpenBlocklist opens the sets in the namespace that the file netns is; "" is the caller's own. Whether they are there shows with their first use.
// Blocks are marked as being the node's.
func OpenBlocklist(netns, node string) (*Blocklist, error) {
	l := &Blocklist{node: node}
	if netns != "" {
		var err error
		if l.netns, err = os.Open(netns); err != nil {
			return nil, err
		}
	}
	return l, nil
}

// Close closes the file of the namespace. Blocks stay.
func (l *Blocklist) Close() error {
	if l.netns == nil {
		return nil
	}
	return l.netns.Close()
}

// Block has the packets of an address dropped for d, rounded up to a second, from now on: a block that there is ends then, sooner or later than it did.
// The kind is what `nft list set` shows as a reason.
func (l *Blocklist) Block(a netip.Addr, d time.Duration, kind guard.Kind) error {
	if d <= 0 {
		return fmt.Errorf("block %s: no time", a)
	}
	a, set, err := l.setOf(a)
	if err != nil {
		return fmt.Errorf("block %s: %w", a, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.known == nil {
		if _, err := l.list(); err != nil {
			return fmt.Errorf("block %s: %w", a, err)
		}
	}
	d = (d + time.Second - 1).Truncate(time.Second)
	element := nftables.SetElement{Key: a.AsSlice(), Timeout: d, Comment: comment(kind, l.node)}
	err = l.change(func(c *nftables.Conn) error {
		if until, ok := l.known[a]; !ok || time.Since(until) > time.Second { // the kernel's clock ticks slowly
			return c.SetAddElements(set, []nftables.SetElement{element})
		}
		// Kernels before 6.12 ignore the new time of an element that is there, and refuse to delete one that is not: only the three together always do
		// what is meant. They are one transaction, so that the address is never let in meanwhile, and take 200 times as long.
		return errors.Join(c.SetAddElements(set, []nftables.SetElement{element}),
			c.SetDeleteElements(set, []nftables.SetElement{{Key: element.Key}}),
			c.SetAddElements(set, []nftables.SetElement{element}))
	})
	switch {
	case errors.Is(err, fs.ErrNotExist):
		err = ErrNotSetUp
	case errors.Is(err, syscall.ENFILE):
		err = fmt.Errorf("the nftables set %s is full", set.Name)
	}
	if err != nil {
		l.known = nil
		return fmt.Errorf("block %s: %w", a, err)
	}
	l.known[a] = time.Now().Add(d)
	return nil
}

// Unblock lets an address in again, and reports whether it was blocked.
func (l *Blocklist) Unblock(a netip.Addr) (was bool, err error) {
	a, set, err := l.setOf(a)
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.known, a)
	if err == nil {
		err = l.change(func(c *nftables.Conn) error {
			return c.SetDeleteElements(set, []nftables.SetElement{{Key: a.AsSlice()}})
		})
	}
	if errors.Is(err, fs.ErrNotExist) {
		// The same error for no element and for no set.
		if _, err = l.elements(set); err == nil {
			return false, nil
		}
	}
	if err != nil {
		return false, fmt.Errorf("unblock %s: %w", a, err)
	}
	return true, nil
}

// UnblockAll lets all in again that are blocked, and returns who that was.
func (l *Blocklist) UnblockAll() ([]guard.Decision, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	all, err := l.list()
	l.known = nil
	if err == nil {
		err = l.change(func(c *nftables.Conn) error {
			c.FlushSet(blocked4)
			c.FlushSet(blocked6)
			return nil
		})
	}
	if err != nil {
		return nil, fmt.Errorf("unblock all: %w", err)
	}
	return all, nil
}

// forever is how long an element stands that was put in by hand without a time.
const forever = 100 * 365 * 24 * time.Hour

// Blocked are the addresses in the sets, by address: with what is left of their time, and why they are there, so that [guard.Brakes.Adopt] can go on after
// a restart. Those that somebody has put in by hand are of [guard.NoKind].
func (l *Blocklist) Blocked() ([]guard.Decision, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.list()
}

func (l *Blocklist) list() ([]guard.Decision, error) {
	var all []guard.Decision
	known := make(map[netip.Addr]time.Time)
	for _, set := range []*nftables.Set{blocked4, blocked6} {
		elements, err := l.elements(set)
		if err != nil {
			return nil, fmt.Errorf("list blocked addresses: %w", err)
		}
		now := time.Now()
		for _, e := range elements {
			a, ok := netip.AddrFromSlice(e.Key)
			if !ok {
				continue
			}
			left := e.Expires
			if left == 0 {
				left = forever
			}
			d := guard.Decision{Offender: a, Until: now.Round(0).Add(left)}
			d.Kind, d.Node = readComment(e.Comment)
			if age := e.Timeout - e.Expires; age >= 0 && e.Timeout > 0 {
				d.Time = now.Round(0).Add(-age)
			}
			all = append(all, d)
			known[a] = now.Add(left) // by the monotonic clock
		}
	}
	l.known = known
	slices.SortFunc(all, func(x, y guard.Decision) int { return x.Offender.Compare(y.Offender) })
	return all, nil
}

// elements lists a set. A change meanwhile may interrupt the kernel's listing.
func (l *Blocklist) elements(set *nftables.Set) (elements []nftables.SetElement, err error) {
	for range 3 {
		var c *nftables.Conn
		if c, err = l.conn(); err != nil {
			return nil, err
		}
		if elements, err = c.GetSetElements(set); !says(err, syscall.EINTR) {
			break
		}
	}
	if says(err, syscall.ENOENT) {
		return nil, ErrNotSetUp
	}
	return elements, err
}

// says reports whether an error is the kernel's: the library does not wrap those of listings.
func says(err error, number syscall.Errno) bool {
	return err != nil && (errors.Is(err, number) || strings.HasSuffix(err.Error(), number.Error()))
}

// change has do fill a transaction, and commits it.
func (l *Blocklist) change(do func(*nftables.Conn) error) error {
	c, err := l.conn()
	if err == nil {
		err = do(c)
	}
	if err == nil {
		err = c.Flush()
	}
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%w (CAP_NET_ADMIN is needed)", err)
	}
	return err
}

// conn is for one operation: a socket that lives longer could be left with half an answer.
func (l *Blocklist) conn() (*nftables.Conn, error) {
	if l.netns == nil {
		return nftables.New()
	}
	return nftables.New(nftables.WithNetNSFd(int(l.netns.Fd())))
}

var (
	table    = &nftables.Table{Name: tableName, Family: nftables.TableFamilyINet}
	blocked4 = &nftables.Set{Table: table, Name: "blocked4", KeyType: nftables.TypeIPAddr, HasTimeout: true}
	blocked6 = &nftables.Set{Table: table, Name: "blocked6", KeyType: nftables.TypeIP6Addr, HasTimeout: true}
)

// setOf is the set for an address, and how the address stands in it.
func (l *Blocklist) setOf(a netip.Addr) (netip.Addr, *nftables.Set, error) {
	a = a.Unmap().WithZone("")
	switch {
	case a.Is4():
		return a, blocked4, nil
	case a.Is6():
		return a, blocked6, nil
	}
	return a, blocked4, errors.New("no address")
}

// comment is what an element says about itself: "port-scan, node a". The kernel keeps 128 bytes at most, with a header and a zero.
func comment(k guard.Kind, node string) string {
	text := k.String()
	if node != "" {
		text += ", node " + node
	}
	return text[:min(len(text), math.MaxInt8-3)]
}

func readComment(text string) (k guard.Kind, node string) {
	name, node, _ := strings.Cut(text, ", node ")
	k, ok := guard.KindNamed(name)
	if !ok {
		return guard.NoKind, ""
	}
	return k, node
}
