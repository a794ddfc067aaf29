package conntrackdcli

import (
	"strings"
	"testing"

	"github.com/spoor-project/spoor/internal/agent"
)

func TestRequests(t *testing.T) {
	for line, want := range map[string]agent.Request{
		"-c": agent.CommitAll, "-c ct": agent.CommitFlows, "-c expect": agent.CommitExpects, "-c e": agent.CommitExpects,
		"-i": agent.DumpInternal, "-i ct": agent.DumpInternal, "-i expect": agent.DumpInternalExpects,
		"-e": agent.DumpExternal, "-e expect": agent.DumpExternalExpects,
		"-i -x": agent.DumpInternalXML, "-e -x": agent.DumpExternalXML, "-i expect -x": agent.DumpInternalExpXML,
		"-e expect -x": agent.DumpExternalExpXML, "-F": agent.FlushAll, "-F ct": agent.FlushFlows, "-F expect": agent.FlushExpects,
		"-f": agent.FlushCaches, "-f internal": agent.FlushInternal, "-f ext": agent.FlushExternal,
		"-R": agent.ResyncAll, "-R ct": agent.ResyncFlows, "-R expect": agent.ResyncExpects,
		"-B": agent.SendBulk, "-n": agent.RequestResync, "-t": agent.PurgeLater, "-k": agent.Stop,
		"-s": agent.StatGeneral, "-s ct": agent.StatGeneral, "-s network": agent.StatNetwork, "-s q": agent.StatQueue,
		"-s r": agent.StatRuntime, "-s rs": agent.StatResend, "-s c": agent.StatCache, "-s link": agent.StatLink,
		"-s process": agent.StatProcess, "-s expect": agent.StatExpect, "-s multicast": agent.StatLink,
		// The last one wins; only the second character counts; options cannot be bundled.
		"-k -B": agent.SendBulk, "-i -s": agent.StatGeneral, "xB": agent.SendBulk, "-ix": agent.DumpInternal,
		"-C file -n": agent.RequestResync,
		"-i --json":  agent.DumpInternalJSON, "-e --json": agent.DumpExternalJSON, "-s --json": agent.StatJSON,
		"--json -e expect": agent.DumpExternalExpectsJSON,
	} {
		c, err := parse(append([]string{"conntrackd"}, strings.Fields(line)...))
		if err != nil || !c.asks || c.request != want || c.daemon {
			t.Errorf("%s: %+v, %v, want request %d", line, c, err, want)
		}
	}
	if c, err := parse([]string{"conntrackd", "-s", ""}); err != nil || c.request != agent.StatNetwork {
		t.Errorf("-s with an empty word: %+v, %v", c, err)
	}
	if c, _ := parse([]string{"conntrackd", "-s", "multicast"}); len(c.warnings) != 1 {
		t.Errorf("-s multicast: %q", c.warnings)
	}
}

func TestDaemonOptions(t *testing.T) {
	for line, want := range map[string]command{
		"":                    {config: defaultConfig},
		"-d":                  {config: defaultConfig, daemon: true},
		"xd":                  {config: defaultConfig, daemon: true},
		"-C /etc/x.conf":      {config: "/etc/x.conf"},
		"-d -C x":             {config: "x", daemon: true},
		"-v":                  {config: defaultConfig, version: true},
		"-h":                  {config: defaultConfig, help: true},
		"--help":              {config: defaultConfig, help: true},
		"--check -C /etc/new": {config: "/etc/new", check: true},
	} {
		c, err := parse(append([]string{"conntrackd"}, strings.Fields(line)...))
		if err != nil || c.asks || c.config != want.config || c.daemon != want.daemon || c.version != want.version ||
			c.help != want.help || c.check != want.check {
			t.Errorf("%q: %+v, %v, want %+v", line, c, err, want)
		}
	}
}

func TestRefusals(t *testing.T) {
	for line, want := range map[string]string{
		"-d -i": invalid, "-i -d": invalid, "-x": invalid, "-x -i": invalid, "-s -x": invalid,
		"-C": "Missing config filename", "-C -d": "Missing config filename",
		"-i bogus": "Unknown option: bogus", "foo": "Unknown option: foo", "-z": "Unknown option: -z", "-": "Unknown option: -",
		"x": "Unknown option: x", "--nonsense": "Unknown option: --nonsense",
		"-f bogus": "unknown parameter `bogus' for option `-f'", "-s bogus": "unknown parameter `bogus' for option `-s'",
		"-k --json": "--json goes with -i, -e or -s without a word",
	} {
		_, err := parse(append([]string{"conntrackd"}, strings.Fields(line)...))
		if err == nil || err.Error() != want {
			t.Errorf("%q: %v, want %q", line, err, want)
		}
	}
	long := strings.Repeat("a", maxPath+10)
	if c, err := parse([]string{"conntrackd", "-C", long}); err != nil || len(c.config) != maxPath || len(c.warnings) != 1 {
		t.Errorf("a long path: %d bytes, %q, %v", len(c.config), c.warnings, err)
	}
}

// Whatever the arguments are, they are understood or refused.
func FuzzArguments(f *testing.F) {
	f.Add("-s network -x")
	f.Add("-C file -d -- --dissect 12")
	f.Fuzz(func(t *testing.T, line string) {
		args := append([]string{"conntrackd"}, strings.Split(line, " ")...)
		c, err := parse(args)
		if err == nil && c.daemon && c.asks {
			t.Errorf("%q: a daemon that asks", args)
		}
	})
}
