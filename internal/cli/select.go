package cli

import (
	"bufio"
	"errors"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spoor-project/spoor/conntrack"
	"github.com/spoor-project/spoor/filter"
	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/netns"
	"github.com/spoor-project/spoor/internal/table"
)

// source is the table that a command works on and what it selects of it.
type source struct {
	client *conntrack.Client
	netns  string // path; "" is the caller's
	query  *filter.Query
	narrow *filter.Filter // part of the query
	now    time.Time      // of the beginning
}

// open reads the words as a query and opens the table.
func (c *call) open() (*source, error) {
	s := &source{now: time.Now()}
	text := strings.Join(c.words, " ")
	var err error
	if s.query, err = parseQuery(text); err != nil {
		var syntax *filter.SyntaxError
		if errors.As(err, &syntax) {
			return nil, usagef("%v\n  %s\n  %s^", err, text, strings.Repeat(" ", syntax.Column-1))
		}
		return nil, err
	}
	s.narrow = s.query.Filter()
	if s.netns, err = c.namespace(); err != nil {
		return nil, err
	}
	s.client, err = conntrack.Dial(&conntrack.Options{NetNS: s.netns})
	return s, err
}

// namespace is the path of the network namespace that --netns names; "" is the caller's.
func (c *call) namespace() (string, error) {
	if !c.has("netns") {
		return "", nil
	}
	word := c.value("netns", "")
	path, err := netns.Path(word)
	if err != nil {
		return "", usagef("there is no network namespace %q: see ip netns list", word)
	}
	return path, nil
}

func (s *source) close() { s.client.Close() }

// table opens the table to be read the fastest way.
func (c *call) table(s *source, ids bool) (*table.Table, error) {
	return table.Open(c.ctx, s.client, &table.Options{NetNS: s.netns, Way: table.Way(c.env.Getenv("SPOOR_SNAPSHOT")), IDs: ids})
}

// parseQuery reads a query in which services and labels may have names, which are looked up when the first is met.
func parseQuery(text string) (*filter.Query, error) {
	services := sync.OnceValue(func() map[string]uint16 { return readServices("/etc/services") })
	known := filter.Names{
		Service: func(name string) (uint16, bool) {
			port, ok := services()[name]
			return port, ok
		},
		Labels: readLabels(text),
	}
	return known.Parse(text)
}

// readLabels reads the names of labels, if the query mentions labels at all.
func readLabels(text string) *flow.LabelMap {
	if !strings.Contains(strings.ToLower(text), "label") {
		return nil
	}
	for _, name := range []string{"/etc/xtables/connlabel.conf", "/etc/connlabel.conf"} {
		if f, err := os.Open(name); err == nil {
			defer f.Close()
			if m, err := flow.ParseLabelMap(f); err == nil {
				return m
			}
		}
	}
	return nil
}

// readServices reads services(5). A name that has several ports stands for the first.
func readServices(file string) map[string]uint16 {
	f, err := os.Open(file)
	if err != nil {
		return nil
	}
	defer f.Close()
	ports := make(map[string]uint16)
	for in := bufio.NewScanner(f); in.Scan(); {
		line, _, _ := strings.Cut(in.Text(), "#")
		w := strings.Fields(line)
		if len(w) < 2 {
			continue
		}
		number, _, _ := strings.Cut(w[1], "/")
		port, err := strconv.ParseUint(number, 10, 16)
		if err != nil {
			continue
		}
		for _, name := range append(w[:1:1], w[2:]...) {
			if _, known := ports[name]; !known {
				ports[name] = uint16(port)
			}
		}
	}
	return ports
}

// explained is the text of an error, with what can be done about it.
func explained(err error) string {
	text := err.Error()
	switch {
	case errors.Is(err, fs.ErrPermission):
		return text + "\n  It needs the capability CAP_NET_ADMIN: try sudo, or give it to the service or container."
	case errors.Is(err, conntrack.ErrNotSupported), errors.Is(err, syscall.EPROTONOSUPPORT), errors.Is(err, syscall.EINVAL) && strings.Contains(text, "list"):
		return text + "\n  Is the module loaded? Try: modprobe nf_conntrack_netlink"
	}
	return text
}
