package doctor

import (
	"math/bits"
	"strconv"
	"strings"
	"time"

	"github.com/spoor-project/spoor/conntrack"
)

// statColumns are the columns of /proc/net/stat/nf_conntrack and their counters. The names have changed with the kernels: Linux 5.10
// put clashres in the place of searched, 5.15 chainlength in that of delete_list.
var statColumns = map[string]uint16{
	"searched": conntrack.StatSearched, "found": conntrack.StatFound, "new": conntrack.StatNew, "invalid": conntrack.StatInvalid,
	"ignore": conntrack.StatIgnore, "delete": conntrack.StatDelete, "delete_list": conntrack.StatDeleteList,
	"insert": conntrack.StatInsert, "insert_failed": conntrack.StatInsertFailed, "drop": conntrack.StatDrop,
	"early_drop": conntrack.StatEarlyDrop, "icmp_error": conntrack.StatError, "search_restart": conntrack.StatSearchRestart,
	"clashres": conntrack.StatClashResolve, "chainlength": conntrack.StatChainTooLong, "chaintoolong": conntrack.StatChainTooLong,
}

// parseStat reads /proc/net/stat/nf_conntrack: a line for each processor, in hexadecimal.
func parseStat(text string) (all []conntrack.CPUStats, ok bool) {
	header, rest, _ := strings.Cut(text, "\n")
	names := strings.Fields(header)
	if len(names) == 0 || names[0] != "entries" {
		return nil, false
	}
	for line := range strings.Lines(rest) {
		cpu := conntrack.CPUStats{CPU: len(all)}
		for i, word := range strings.Fields(line) {
			v, err := strconv.ParseUint(word, 16, 32)
			if err != nil {
				return nil, false
			}
			if i >= len(names) {
				break
			}
			if id, known := statColumns[names[i]]; known {
				cpu.Counters = append(cpu.Counters, conntrack.Counter{ID: id, Value: uint32(v)})
			}
		}
		all = append(all, cpu)
	}
	return all, len(all) > 0
}

// parseSlab finds nf_conntrack in /proc/slabinfo. Before Linux 4.7 each namespace had its own: nf_conntrack_ffff8800….
func parseSlab(text string) (s Slab, ok bool) {
	for line := range strings.Lines(text) {
		w := strings.Fields(line)
		if len(w) < 4 || w[0] != "nf_conntrack" && !isOldSlab(w[0]) {
			continue
		}
		objects, err := strconv.ParseUint(w[1], 10, 64)
		bytes, err2 := strconv.ParseUint(w[3], 10, 32)
		if err != nil || err2 != nil || bytes == 0 {
			continue
		}
		s.Objects += objects
		s.Size, ok = bytes, true
	}
	return s, ok
}

func isOldSlab(name string) bool {
	id, found := strings.CutPrefix(name, "nf_conntrack_")
	if !found {
		return false
	}
	if _, err := strconv.ParseUint(id, 10, 32); err == nil {
		return true
	}
	_, err := strconv.ParseUint(id, 16, 64)
	return err == nil && len(id) >= 8
}

// parseMemTotal finds the memory of the machine in /proc/meminfo, in bytes.
func parseMemTotal(text string) (uint64, bool) {
	for line := range strings.Lines(text) {
		if value, found := strings.CutPrefix(line, "MemTotal:"); found {
			n, err := strconv.ParseUint(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "kB")), 10, 64)
			over, bytes := bits.Mul64(n, 1024)
			return bytes, err == nil && over == 0 && n > 0
		}
	}
	return 0, false
}

// parseUptime reads /proc/uptime.
func parseUptime(text string) (time.Duration, bool) {
	w := strings.Fields(text)
	if len(w) == 0 {
		return 0, false
	}
	s, err := strconv.ParseFloat(w[0], 64)
	if err != nil || !(s >= 0 && s < 1e9) {
		return 0, false
	}
	return time.Duration(s * float64(time.Second)), true
}

// capNetAdmin is CAP_NET_ADMIN of linux/capability.h.
const capNetAdmin = 12

// parseCapable finds out from /proc/self/status whether the process has CAP_NET_ADMIN.
func parseCapable(text string) (has, ok bool) {
	for line := range strings.Lines(text) {
		if value, found := strings.CutPrefix(line, "CapEff:"); found {
			set, err := strconv.ParseUint(strings.TrimSpace(value), 16, 64)
			return err == nil && set&(1<<capNetAdmin) != 0, err == nil
		}
	}
	return false, false
}

// parseModules tells from /proc/modules whether a module is loaded.
func parseModules(text, name string) bool {
	for line := range strings.Lines(text) {
		if first, _, _ := strings.Cut(line, " "); first == name {
			return true
		}
	}
	return false
}

// parseBuiltin tells from modules.builtin whether a module is part of the kernel.
func parseBuiltin(text, name string) bool {
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if strings.TrimSuffix(line[strings.LastIndexByte(line, '/')+1:], ".ko") == name {
			return true
		}
	}
	return false
}

// Netlink, for /proc/net/netlink.
const (
	netlinkNetfilter = 12   // NETLINK_NETFILTER
	eventGroups      = 0x3f // NFNLGRP_CONNTRACK_NEW to NFNLGRP_CONNTRACK_EXP_DESTROY
)

// parseListeners finds the sockets that follow events of connection tracking in /proc/net/netlink.
func parseListeners(text string) (all []Listener, ok bool) {
	header, rest, _ := strings.Cut(text, "\n")
	column := make(map[string]int)
	for i, name := range strings.Fields(header) {
		column[name] = i
	}
	for _, name := range []string{"Eth", "Pid", "Groups", "Rmem", "Drops"} {
		if _, there := column[name]; !there {
			return nil, false
		}
	}
	for line := range strings.Lines(rest) {
		w := strings.Fields(line)
		if len(w) < len(column) {
			continue
		}
		number := func(name string, base, size int) uint64 {
			n, _ := strconv.ParseUint(w[column[name]], base, size)
			return n
		}
		if number("Eth", 10, 32) == netlinkNetfilter && number("Groups", 16, 32)&eventGroups != 0 {
			all = append(all, Listener{PortID: uint32(number("Pid", 10, 32)), Queued: number("Rmem", 10, 64), Lost: number("Drops", 10, 64)})
		}
	}
	return all, true
}

// parseLog reads records of /dev/kmsg and keeps those about connection tracking.
func parseLog(text string) (all []LogLine) {
	for line := range strings.Lines(text) {
		head, message, found := strings.Cut(line, ";")
		w := strings.Split(head, ",")
		if !found || len(w) < 3 || !strings.Contains(message, "conntrack") {
			continue
		}
		micros, err := strconv.ParseUint(w[2], 10, 53)
		if err != nil {
			continue
		}
		all = append(all, LogLine{At: time.Duration(micros) * time.Microsecond, Text: strings.TrimSpace(message)})
	}
	return all
}
