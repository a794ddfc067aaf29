//go:build linux

package interop_test

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/spoor-project/spoor/internal/agent"
	"github.com/spoor-project/spoor/internal/nstest"
)

// TestConntrackdScheduler: the class that both programs run in, and what they say if the kernel refuses it.
func TestConntrackdScheduler(t *testing.T) {
	t.Parallel()
	const refused = ") [warning] scheduler configuration failed: %s. Likely a bug in conntrackd, please report it. Continuing with system default scheduler.\n"
	invalid, forbidden := fmt.Sprintf(refused, "Invalid argument"), fmt.Sprintf(refused, "Operation not permitted")
	for name, tl := range map[string]tool{"ours": ourDaemon(t), "theirs": theirDaemon(t)} {
		for _, c := range []struct {
			config string
			under  []string // a program that it is started with
			class  string
			said   string
		}{
			{"Scheduler { Type FIFO Priority 20 }", nil, "class 1, priority 20", ""},
			{"Scheduler { Priority 7 Type rr }", nil, "class 2, priority 7", ""},
			{"Scheduler { Type FIFO }", nil, "class 0, priority 0", invalid},
			{"", nil, map[string]string{"ours": "class 0, priority 0", "theirs": "class 2, priority 99"}[name], ""},
			{"Scheduler { Type RR Priority 3 }", []string{"setpriv", "--bounding-set", "-sys_nice"}, "class 0, priority 0", forbidden},
		} {
			t.Run(name+"/"+c.config+strings.Join(c.under, " "), func(t *testing.T) {
				t.Parallel()
				left, _ := nstest.Pair(t)
				n := newNode(t, "a", left, tl)
				n.write("conf", n.general(c.config))
				p := n.begin(job{argv: append(c.under, tl.bin+"/conntrackd", "-C", n.conf)})
				t.Cleanup(p.cancel)
				nstest.Wait(t, "an answer", func() bool { return n.ask(agent.StatRuntime) != "" })
				for i := range 20 { // more threads, perhaps
					if n.ask(agent.StatRuntime) == "" {
						t.Error("no answer", i)
					}
				}
				pid := p.cmd.Process.Pid
				threads, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
				if err != nil {
					t.Fatal(err)
				}
				for _, thread := range threads {
					id, _ := strconv.Atoi(thread.Name())
					attr, err := unix.SchedGetAttr(id, 0)
					if err == unix.ESRCH {
						continue
					} else if err != nil {
						t.Fatal(err)
					}
					if got := fmt.Sprintf("class %d, priority %d", attr.Policy, attr.Priority); got != c.class {
						t.Errorf("thread %d of %d: %s, want %s", id, len(threads), got, c.class)
					}
				}
				n.client("-k")
				<-p.ended
				log, _ := os.ReadFile(n.log)
				if got := string(log); c.said == "" && strings.Contains(got, "scheduler") || !strings.Contains(got, c.said) {
					t.Errorf("log:\n%s\nwant %q", got, c.said)
				}
			})
		}
	}
}
