package conntrackdcli

import (
	"errors"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/spoor-project/spoor/internal/config"
)

// schedule puts the process into a real-time class. The kernel schedules threads, and the runtime has several: each is asked for, and
// those to come have the class of the thread that makes them.
func schedule(s *config.Scheduler) error {
	attr := unix.SchedAttr{Policy: unix.SCHED_RR, Priority: uint32(s.Priority)}
	if s.FIFO {
		attr.Policy = unix.SCHED_FIFO
	}
	for done := map[int]bool{}; ; {
		threads, err := os.ReadDir("/proc/self/task")
		if err != nil {
			return err
		}
		before := len(done)
		for _, t := range threads {
			id, err := strconv.Atoi(t.Name())
			if err != nil || done[id] {
				continue
			}
			if err := unix.SchedSetAttr(id, &attr, 0); err != nil && !errors.Is(err, unix.ESRCH) { // it has ended
				return err
			}
			done[id] = true
		}
		if len(done) == before { // and none was made by one that was not done
			return nil
		}
	}
}
