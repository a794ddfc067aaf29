//go:build linux

package channel

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// content is what is in a queue, oldest first.
func (q *queue) content() (all []string) {
	for i := range q.n {
		all = append(all, string(*q.place(i)))
	}
	return all
}

func TestQueue(t *testing.T) {
	q := queue{ring: make([][]byte, 3)}
	list := make([][]byte, 2)
	for _, step := range []struct {
		do      string
		want    string
		dropped uint64
	}{
		{"push a", "[a]", 0},
		{"push b", "[a b]", 0},
		{"push c", "[a b c]", 0},
		{"push d", "[b c d]", 1},
		{"take", "[d]", 1},
		{"back 0", "[b c d]", 1},
		{"take", "[d]", 1},
		{"back 1", "[c d]", 1},
		{"take", "[]", 1},
		{"push e", "[e]", 1},
		{"push f", "[e f]", 1},
		{"back 0", "[d e f]", 2}, // c has lost its place
		{"take", "[f]", 2},
		{"take", "[]", 2},
		{"take", "[]", 2},
	} {
		verb, what, _ := strings.Cut(step.do, " ")
		switch verb {
		case "push":
			q.push([]byte(what))
		case "take":
			list = list[:2]
			list = list[:q.take(list)]
		case "back":
			var from int
			fmt.Sscan(what, &from)
			q.putBack(list[from:])
		}
		if got := fmt.Sprint(q.content()); got != step.want || q.dropped != step.dropped {
			t.Fatalf("%s: got %s and %d dropped, want %s and %d", step.do, got, q.dropped, step.want, step.dropped)
		}
	}
}

func TestQueueCopiesIntoItsOwnMemory(t *testing.T) {
	q := queue{ring: make([][]byte, 4)}
	list := make([][]byte, 2)
	buf := []byte("hello")
	round := func() {
		for range 6 {
			q.push(buf)
		}
		q.take(list)
		q.push(buf)
		q.putBack(list)
	}
	for range 10 {
		round() // until every place has memory
	}
	if n := testing.AllocsPerRun(100, round); n != 0 {
		t.Errorf("%v allocations", n)
	}
	clear(buf)
	for _, got := range q.content() {
		if got != "hello" {
			t.Errorf("got %q, want what was pushed", got)
		}
	}
}

// linkMessage is a message about the device with the index 7.
func linkMessage(typ uint16, family byte, flags uint32, attrs ...[]byte) []byte {
	b := make([]byte, unix.SizeofNlMsghdr+unix.SizeofIfInfomsg)
	b[16] = family
	binary.NativeEndian.PutUint32(b[20:], 7)
	binary.NativeEndian.PutUint32(b[24:], flags)
	b = slices.Concat(append([][]byte{b}, attrs...)...)
	binary.NativeEndian.PutUint32(b, uint32(len(b)))
	binary.NativeEndian.PutUint16(b[4:], typ)
	return b
}

func attr(typ uint16, value []byte) []byte {
	b := binary.NativeEndian.AppendUint16(nil, uint16(4+len(value)))
	b = append(binary.NativeEndian.AppendUint16(b, typ), value...)
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}

func TestParseLink(t *testing.T) {
	name, mtu := attr(unix.IFLA_IFNAME, []byte("eth0\x00")), attr(unix.IFLA_MTU, binary.NativeEndian.AppendUint32(nil, 1500))
	const up, running = unix.IFF_UP, unix.IFF_UP | unix.IFF_RUNNING
	for _, tt := range []struct {
		what    string
		message []byte
		want    Link
		ok      bool
	}{
		{"running", linkMessage(unix.RTM_NEWLINK, 0, running, name, mtu), Link{7, "eth0", Running, 1500, false}, true},
		{"up", linkMessage(unix.RTM_NEWLINK, 0, up, mtu, name), Link{7, "eth0", NoCarrier, 1500, false}, true},
		{"down", linkMessage(unix.RTM_NEWLINK, 0, 0, name, mtu), Link{7, "eth0", Down, 1500, false}, true},
		{"removed", linkMessage(unix.RTM_DELLINK, 0, running, name, mtu), Link{7, "eth0", Down, 0, true}, true},
		{"short MTU", linkMessage(unix.RTM_NEWLINK, 0, running, name, attr(unix.IFLA_MTU, []byte{1})), Link{7, "eth0", Running, 0, false}, true},
		{"unknown attribute", linkMessage(unix.RTM_NEWLINK, 0, running, attr(999, []byte("?")), name, mtu), Link{7, "eth0", Running, 1500, false}, true},
		{"of a bridge", linkMessage(unix.RTM_DELLINK, unix.AF_BRIDGE, running, name, mtu), Link{}, false},
		{"about an address", linkMessage(unix.RTM_NEWADDR, 0, running, name, mtu), Link{}, false},
		{"without name", linkMessage(unix.RTM_NEWLINK, 0, running, mtu), Link{}, false},
	} {
		messages, err := syscall.ParseNetlinkMessage(tt.message)
		if err != nil || len(messages) != 1 {
			t.Fatalf("%s: %d messages, %v", tt.what, len(messages), err)
		}
		if got, ok := parseLink(&messages[0]); ok != tt.ok || ok && got != tt.want {
			t.Errorf("%s: got %+v, %t, want %+v, %t", tt.what, got, ok, tt.want, tt.ok)
		}
	}
}

// FuzzParseLink: whatever the bytes, there is no panic, and what is taken for news about
// a device names it; one that is gone has no state.
func FuzzParseLink(f *testing.F) {
	name, mtu := attr(unix.IFLA_IFNAME, []byte("eth0\x00")), attr(unix.IFLA_MTU, binary.NativeEndian.AppendUint32(nil, 1500))
	f.Add(linkMessage(unix.RTM_NEWLINK, 0, unix.IFF_UP, name, mtu))
	f.Add(linkMessage(unix.RTM_DELLINK, 0, unix.IFF_UP, name, mtu))
	f.Add(append(linkMessage(unix.RTM_NEWLINK, 0, 0, mtu), linkMessage(unix.RTM_NEWLINK, 7, 0, name)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		messages, err := syscall.ParseNetlinkMessage(b)
		if err != nil {
			return
		}
		for i := range messages {
			l, ok := parseLink(&messages[i])
			if !ok {
				continue
			}
			if l.Name == "" || strings.Contains(l.Name, "\x00") || l.gone && (l.State != Down || l.MTU != 0) {
				t.Errorf("%+v", l)
			}
			messageError(&messages[i])
		}
	})
}
