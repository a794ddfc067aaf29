//go:build linux

package nstest_test

import (
	"context"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/spoor-project/spoor/internal/nstest"
)

const ownNS = "/proc/thread-self/ns/net"

func readlink(t *testing.T, path string) string {
	t.Helper()
	target, err := os.Readlink(path)
	if err != nil {
		t.Fatal(err)
	}
	return target
}

func TestDoRunsInsideAndComesBack(t *testing.T) {
	t.Parallel()
	ns := nstest.New(t)
	outside := readlink(t, ownNS)
	var inside string
	ns.Do(func() { inside = readlink(t, ownNS) })
	if inside == outside {
		t.Errorf("inside Do: namespace %s, want another than outside", inside)
	}
	if got := readlink(t, ownNS); got != outside {
		t.Errorf("after Do: namespace %s, want %s", got, outside)
	}
}

func TestDoNests(t *testing.T) {
	t.Parallel()
	a, b := nstest.New(t), nstest.New(t)
	a.Do(func() {
		inA := readlink(t, ownNS)
		b.Do(func() {
			if got := readlink(t, ownNS); got == inA {
				t.Errorf("inside b: namespace %s is that of a", got)
			}
		})
		if got := readlink(t, ownNS); got != inA {
			t.Errorf("after b: namespace %s, want a's %s", got, inA)
		}
	})
}

func TestDoComesBackWhenTheTestFailsInside(t *testing.T) {
	t.Parallel()
	ns := nstest.New(t)
	outside := readlink(t, ownNS)
	after := make(chan string)
	go func() {
		defer func() {
			where, _ := os.Readlink(ownNS)
			after <- where
		}()
		ns.Do(runtime.Goexit) // as t.FailNow does
	}()
	if got := <-after; got != outside {
		t.Errorf("after the test failed inside Do: namespace %s, want %s", got, outside)
	}
}

func TestPathIsOpenableByAChild(t *testing.T) {
	t.Parallel()
	nstest.NeedTool(t, "readlink")
	ns := nstest.New(t)
	var want string
	ns.Do(func() { want = readlink(t, ownNS) })
	host := nstest.New(t)
	if got := strings.TrimSpace(host.MustRun(t, "readlink", ns.Path())); got != want {
		t.Errorf("readlink %s in a child: %s, want %s", ns.Path(), got, want)
	}
}

func TestCommandStartsInside(t *testing.T) {
	t.Parallel()
	nstest.NeedTool(t, "readlink")
	ns := nstest.New(t)
	var want string
	ns.Do(func() { want = readlink(t, ownNS) })
	want += "\n"

	for name, run := range map[string]func(*nstest.Cmd) ([]byte, error){
		"Output":         (*nstest.Cmd).Output,
		"CombinedOutput": (*nstest.Cmd).CombinedOutput,
	} {
		out, err := run(ns.Command(context.Background(), "readlink", "/proc/self/ns/net"))
		if string(out) != want || err != nil {
			t.Errorf("%s: %q, %v; want %q", name, out, err, want)
		}
	}
	if out, _, code := ns.Run(t, "readlink", "/proc/self/ns/net"); out != want || code != 0 {
		t.Errorf("Run: %q, exit %d; want %q, exit 0", out, code, want)
	}
}

func TestRunReportsExitAndSignal(t *testing.T) {
	t.Parallel()
	nstest.NeedTool(t, "sh")
	ns := nstest.New(t)
	out, errOut, code := ns.Run(t, "sh", "-c", "echo out; echo err >&2; exit 7")
	if out != "out\n" || errOut != "err\n" || code != 7 {
		t.Errorf("got %q, %q, %d; want out, err, 7", out, errOut, code)
	}
	if _, _, code := ns.Run(t, "sh", "-c", "kill -TERM $$"); code != 128+15 {
		t.Errorf("killed by SIGTERM: exit %d, want 143", code)
	}
}

func TestNewNamespaceIsEmptyAndLoopbackDown(t *testing.T) {
	t.Parallel()
	ns := nstest.New(t)
	var devs []net.Interface
	ns.Do(func() { devs = interfaces(t) })
	for _, dev := range devs {
		if dev.Flags&net.FlagUp != 0 {
			t.Errorf("new namespace: %s is up", dev.Name)
		}
	}
	ns.LoopbackUp()
	up := false
	ns.Do(func() {
		for _, dev := range interfaces(t) {
			up = up || dev.Name == "lo" && dev.Flags&net.FlagUp != 0
		}
	})
	if !up {
		t.Error("after LoopbackUp: lo is not up")
	}
}

func interfaces(t *testing.T) []net.Interface {
	t.Helper()
	devs, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	return devs
}

func TestSysctlIsTheNamespacesOwn(t *testing.T) {
	t.Parallel()
	const name = "net/ipv4/ip_forward"
	ns, other := nstest.New(t), nstest.New(t)
	read := func(ns *nstest.NS) (value string) {
		ns.Do(func() {
			b, err := os.ReadFile("/proc/sys/" + name)
			if err != nil {
				t.Fatal(err)
			}
			value = strings.TrimSpace(string(b))
		})
		return value
	}
	before := read(other)
	want := "1"
	if before == "1" {
		want = "0"
	}
	ns.Sysctl(name, want)
	if got := read(ns); got != want {
		t.Errorf("%s: %s after setting it to %s", name, got, want)
	}
	if got := read(other); got != before {
		t.Errorf("%s of another namespace: %s, was %s", name, got, before)
	}
}
