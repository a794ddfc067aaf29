//go:build linux

package main

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// cacheStats is about the caches of a daemon.
type cacheStats struct{ internal, external cacheCounts }

type cacheCounts struct{ active, created, updated, destroyed int }

// messages is how many messages about flows it has taken in.
func (c *cacheCounts) messages() int { return c.created + c.updated + c.destroyed }

var (
	cacheHead      = regexp.MustCompile(`(?m)^cache:(\w+)\t`)
	cacheActive    = regexp.MustCompile(`active/total entries:\s*(\d+)/`)
	cacheCreated   = regexp.MustCompile(`creation OK/failed:\s*(\d+)/`)
	cacheUpdated   = regexp.MustCompile(`update OK/failed:\s*(\d+)/`)
	cacheDestroyed = regexp.MustCompile(`deletion created/failed:\s*(\d+)/`)

	bytesLine    = regexp.MustCompile(`(\d+) Bytes sent\s+(\d+) Bytes recv`)
	packetsLine  = regexp.MustCompile(`(\d+) Pckts sent\s+(\d+) Pckts recv`)
	errorsLine   = regexp.MustCompile(`(\d+) Error send\s+(\d+) Error recv`)
	lostLine     = regexp.MustCompile(`Packets lost:\s*(\d+)`)
	overrunsLine = regexp.MustCompile(`netlink overrun:\s*(\d+)`)
	rssLine      = regexp.MustCompile(`(?m)^VmRSS:\s*(\d+) kB`)
)

// numbers puts what the pattern finds in text into the places.
func numbers(text string, pattern *regexp.Regexp, places ...*int) error {
	m := pattern.FindStringSubmatch(text)
	if m == nil {
		return fmt.Errorf("no %q in %q", pattern, text)
	}
	for i, p := range places {
		n, err := strconv.Atoi(m[i+1])
		if err != nil {
			return err
		}
		*p = n
	}
	return nil
}

// parseCaches reads what -s cache prints.
func parseCaches(text string) (*cacheStats, error) {
	s := &cacheStats{}
	heads := cacheHead.FindAllStringSubmatchIndex(text, -1)
	found := 0
	for i, h := range heads {
		block := text[h[0]:]
		if i+1 < len(heads) {
			block = text[h[0]:heads[i+1][0]]
		}
		var c *cacheCounts
		switch text[h[2]:h[3]] {
		case "internal":
			c = &s.internal
		case "external":
			c = &s.external
		default:
			continue
		}
		found++
		for _, n := range []struct {
			pattern *regexp.Regexp
			place   *int
		}{{cacheActive, &c.active}, {cacheCreated, &c.created}, {cacheUpdated, &c.updated}, {cacheDestroyed, &c.destroyed}} {
			if err := numbers(block, n.pattern, n.place); err != nil {
				return nil, err
			}
		}
	}
	if found != 2 {
		return nil, fmt.Errorf("not two caches in %q", text)
	}
	return s, nil
}

// networkStats is about the channel of a daemon.
type networkStats struct {
	sent, received   int // datagrams
	sentBytes        int
	sendErrors, lost int // lost are messages that did not come
}

// parseNetwork reads what -s network prints.
func parseNetwork(text string) (*networkStats, error) {
	n := &networkStats{}
	for _, l := range []struct {
		pattern *regexp.Regexp
		places  []*int
	}{{packetsLine, []*int{&n.sent, &n.received}}, {bytesLine, []*int{&n.sentBytes}}, {errorsLine, []*int{&n.sendErrors}}, {lostLine, []*int{&n.lost}}} {
		if err := numbers(text, l.pattern, l.places...); err != nil {
			return nil, err
		}
	}
	return n, nil
}

// parseOverruns finds how often events were lost in what -s runtime prints.
func parseOverruns(text string) (n int, err error) {
	err = numbers(text, overrunsLine, &n)
	return n, err
}

// work is the time of processors that a process has had.
type work struct{ user, system time.Duration }

func (w work) sum() time.Duration { return w.user + w.system }

func (w work) since(before work) work { return work{w.user - before.user, w.system - before.system} }

// parseWork reads it out of /proc/PID/stat, where it is in hundredths of a second.
func parseWork(text string) (w work, err error) {
	// The second field, the program's name in parentheses, may contain anything.
	f := strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
	const user, system = 14 - 3, 15 - 3
	if len(f) <= system {
		return w, fmt.Errorf("no times in %q", text)
	}
	for i, place := range map[int]*time.Duration{user: &w.user, system: &w.system} {
		n, err := strconv.Atoi(f[i])
		if err != nil {
			return w, err
		}
		*place = time.Duration(n) * (time.Second / 100)
	}
	return w, nil
}

// parseRSS reads the resident size out of /proc/PID/status.
func parseRSS(text string) (int64, error) {
	n := 0
	err := numbers(text, rssLine, &n)
	return int64(n) << 10, err
}
