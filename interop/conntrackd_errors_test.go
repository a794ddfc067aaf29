//go:build linux

package interop_test

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/spoor-project/spoor/conntrack"
	"github.com/spoor-project/spoor/internal/nstest"
)

// failure is a start that fails, or a request to a daemon that is not there.
type failure struct {
	name   string
	argv   string // behind the program, {C} is -C and the configuration
	config string // {N} is a channel that works, {G} the files of General
	// before prepares what is there.
	before func(t *testing.T, n *node)
	exit   int // of 1.4.9, if that of 1.4.7 is another
	// advice is in lines that only ours says.
	advice string
	// works says that it is no failure here, and why.
	works func(t *testing.T) string
}

const workingChannel = "UDP { IPv4_address 10.0.0.1 IPv4_Destination_Address 10.0.0.2 Port 3780 Interface eth0 }"

var failures = []failure{
	{name: "not running", argv: "{C} -s", config: "General { {G} }"},
	{name: "not running, other request", argv: "{C} -k", config: "General { {G} }"},
	{name: "stale socket", argv: "{C} -i", config: "General { {G} }", before: func(t *testing.T, n *node) {
		n.must("socat", "-u", "/dev/null", "UNIX-LISTEN:"+n.ctl+",unlink-close=0,accept-timeout=1")
	}},
	{name: "no socket configured", argv: "{C} -s", config: "General { LockFile /nonexistent }"},
	{name: "no configuration", argv: "-C missing -s"},
	{name: "no configuration for the daemon", argv: "-C missing -d"},
	{name: "unknown option", argv: "-z", exit: 1},
	{name: "unknown long option", argv: "--frobnicate", exit: 1},
	{name: "no option at all", argv: "foo", exit: 1},
	{name: "unknown word", argv: "{C} -i bogus", config: "General { {G} }", exit: 1},
	{name: "unknown word, strict", argv: "{C} -s bogus", config: "General { {G} }"},
	{name: "unknown word to flush", argv: "{C} -f bogus", config: "General { {G} }"},
	{name: "xml of nothing", argv: "{C} -x", config: "General { {G} }"},
	{name: "xml of statistics", argv: "{C} -s -x", config: "General { {G} }"},
	{name: "xml too early", argv: "{C} -x -i", config: "General { {G} }"},
	{name: "daemon and request", argv: "{C} -d -s", config: "General { {G} }"},
	{name: "request and daemon", argv: "{C} -s -d", config: "General { {G} }"},
	{name: "old name of link", argv: "{C} -s multicast", config: "General { {G} }"},
	{name: "help", argv: "-h"},

	{name: "syntax error", argv: "{C} -s", config: "General {\n\tLogFile \"x\"\n}"},
	{name: "syntax error of the daemon", argv: "{C}", config: "General {\n\tFoo on\n}"},
	{name: "syntax error in the background", argv: "{C} -d", config: "General {\n\tHashSize -1\n}"},
	{name: "unfinished", argv: "{C} -d", config: "Sync {\n"},
	{name: "Stats and Sync", argv: "{C}", config: "Sync { {N} } Stats { } General { {G} }"},
	{name: "mixed channels", argv: "{C}", config: "Sync { {N} TCP { Interface eth0 } } General { {G} }"},
	{name: "too many channels", argv: "{C}", config: "Sync { {N} {N} {N} {N} {N} } General { {G} }"},
	{name: "bad scheduler", argv: "{C}", config: "General { {G} Scheduler { Type FOO } }"},
	{name: "bad priority", argv: "{C}", config: "General { {G} Scheduler { Type RR Priority 100 } }"},
	{name: "bad polling", argv: "{C}", config: "General { {G} PollSecs 0 }"},
	{name: "warnings with a request", argv: "{C} -s", config: "General { {G} Nice -20 UNIX { Backlog 20 } Syslog foo\n" +
		"Filter { Protocol Accept { frobnicate } Address Ignore { IPv4_address 1.2.3.4/33 IPv4_address 1.2.3.0/24 IPv4_address 1.2.3.0/24 } } }\n" +
		"Sync { Mode NACK { } UDP { IPv4_address 1.2.3.456 Interface nosuch0 } }"},

	{name: "no channel", argv: "{C}", config: "Sync { Mode FTFW { } } General { {G} }"},
	{name: "no channel in the background", argv: "{C} -d", config: "Sync { Mode FTFW { } } General { {G} }"},
	{name: "no interface", argv: "{C}", config: "Sync { Mode FTFW { } UDP { IPv4_address 10.0.0.1 IPv4_Destination_Address 10.0.0.2 Port 3780 } } General { {G} }"},
	{name: "not our address", argv: "{C}", config: "Sync { Mode FTFW { } UDP { IPv4_address 10.7.0.1 IPv4_Destination_Address 10.0.0.2 Port 3780 Interface eth0 } } General { {G} }"},
	{name: "not our address in the background", argv: "{C} -d", config: "Sync { Mode FTFW { } UDP { IPv4_address 10.7.0.1 IPv4_Destination_Address 10.0.0.2 Port 3780 Interface eth0 } } General { {G} }"},
	{name: "no route", argv: "{C}", config: "Sync { Mode FTFW { } TCP { IPv4_address 10.0.0.1 IPv4_Destination_Address 10.7.0.2 Port 3780 Interface eth0 } } General { {G} }"},
	{name: "log cannot be opened", argv: "{C}", config: "General { {G} LogFile /nonexistent/log }"},
	{name: "log cannot be opened in the background", argv: "{C} -d", config: "General { {G} LogFile /nonexistent/log }"},
	{name: "statistics log cannot be opened", argv: "{C}", config: "Stats { LogFile /nonexistent/stats } General { {G} }"},
	{name: "statistics log cannot be opened in the background", argv: "{C} -d", config: "Stats { LogFile /nonexistent/stats } General { {G} }"},
	{name: "socket cannot be opened", argv: "{C}", config: "General { {G} UNIX { Path /nonexistent/ctl } }"},
	{name: "helper", argv: "{C}", config: "General { {G} } Helper { Setup on Type ftp inet tcp { QueueNum 2 QueueLen 10240 Policy ftp { ExpectMax 1 ExpectTimeout 300 } } }",
		advice: "CONFIG_NF_CT_NETLINK_HELPER", works: kernelHasHelpers},
	{name: "helpers in the background", argv: "{C} -d", config: "General { {G} } Helper { Type tftp inet6 udp { QueueNum 3 } Type rpc inet tcp { QueueNum 4 } }",
		advice: "CONFIG_NF_CT_NETLINK_HELPER", works: kernelHasHelpers},
	{name: "lock exists", argv: "{C}", config: "General { {G} }", before: touchLock},
	{name: "lock exists in the background", argv: "{C} -d", config: "General { {G} }", before: touchLock},
	{name: "lock cannot be made", argv: "{C}", config: "General { {G} LockFile /nonexistent/lock }"},
}

func kernelHasHelpers(t *testing.T) string {
	c, err := conntrack.Dial(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, err := range c.Helpers(t.Context()) {
		if errors.Is(err, conntrack.ErrNotSupported) {
			return ""
		}
	}
	return "the kernel has user-space helpers"
}

func touchLock(t *testing.T, n *node) { n.write("lock", "") }

// TestConntrackdFailures compares what both programs print, and write to their log, when they cannot do what they are asked to.
func TestConntrackdFailures(t *testing.T) {
	t.Parallel()
	their, our := theirDaemon(t), ourDaemon(t)
	for _, f := range failures {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			if f.works != nil {
				if why := f.works(t); why != "" {
					t.Skip(why)
				}
			}
			want, argv := f.run(t, their)
			got, _ := f.run(t, our)
			if f.exit != 0 {
				want.exit = f.exit
			}
			if f.advice != "" {
				cut := regexp.MustCompile(`(?m)^.*` + f.advice + `.*\n`)
				if !cut.MatchString(got.stdout + got.stderr) {
					t.Errorf("no advice about %s:\n%s%s", f.advice, got.stdout, got.stderr)
				}
				got.stdout, got.stderr = cut.ReplaceAllString(got.stdout, ""), cut.ReplaceAllString(got.stderr, "")
			}
			if got != want {
				t.Error(explain(argv, want, got))
			}
		})
	}
}

func (f *failure) run(t *testing.T, tl tool) (result, []string) {
	left, _ := nstest.Pair(t)
	n := newNode(t, "a", left, tl)
	text := strings.NewReplacer("{N}", workingChannel, "{G}", fmt.Sprintf("LockFile %s LogFile %s UNIX { Path %s }", n.lock, n.log, n.ctl)).Replace(f.config)
	n.write("conf", text+"\n")
	if f.before != nil {
		f.before(t, n)
	}
	argv := append([]string{"conntrackd"}, strings.Fields(strings.ReplaceAll(f.argv, "{C}", "-C conf"))...)
	r := normaliseAnswer(n.run(job{argv: argv}))
	log, err := os.ReadFile(n.log)
	if err == nil {
		r.stdout += "--- log\n" + apply(clientRules, string(log))
	}
	if _, err := os.Lstat(n.lock); err == nil {
		r.stdout += "--- there is a lock file\n"
	}
	r.stdout, r.stderr = strings.ReplaceAll(r.stdout, n.dir, "<DIR>"), strings.ReplaceAll(r.stderr, n.dir, "<DIR>")
	return r, argv
}
