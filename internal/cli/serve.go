package cli

import (
	"errors"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/spoor-project/spoor/internal/metrics"
	"github.com/spoor-project/spoor/internal/netns"
	"github.com/spoor-project/spoor/internal/sdnotify"
	"github.com/spoor-project/spoor/internal/table"
)

var serveCommand = command{
	name: "serve", summary: "figures for Prometheus, over HTTP",
	about: `Serves /metrics for Prometheus, and /healthz, which is 503 when something is
amiss, until it is told to end. --netns may be given several times; all stands
for the own network namespace and every one below /run/netns, now and later.
A scrape never reads the table: flows are counted by state, zone and so on in
between. Everybody who reaches the address can read the figures.`,
	options: []option{
		{"listen", 'l', "ADDR:PORT", "where to listen; 127.0.0.1:9820"},
		{"count-interval", 0, "TIME", "pause between two counts of the flows; 15s, 0: none"},
		{"top", 0, "FIELD=N", "also the N values that most flows have: --top src=20"},
		{"events", 0, "on|off", "count the flows that begin and end; on"},
		{"log-format", 0, "text|json", "how to log, on standard error; text"},
	},
	run: serve,
}

const (
	defaultListen        = "127.0.0.1:9820"
	defaultCountInterval = 15 * time.Second
)

func serve(c *call) error {
	opts, err := c.exported()
	if err != nil {
		return err
	}
	listener, err := c.listen(defaultListen)
	if err != nil {
		return err
	}
	defer listener.Close()
	exporter, err := metrics.Open(c.ctx, opts)
	if err != nil {
		return err
	}
	defer exporter.Close()
	tell := sdnotify.New()
	tell.Say("READY=1")
	return serveHTTP(c.ctx, listener, pages(exporter.Handler(), exporter.Health), opts.Log, func() { tell.Say("STOPPING=1") })
}

// exported reads the options about what to export.
func (c *call) exported() (*metrics.Options, error) {
	if len(c.words) > 0 {
		return nil, usagef("serve takes no query: %s", strings.Join(c.words, " "))
	}
	opts := &metrics.Options{NetNS: c.given["netns"], CountInterval: defaultCountInterval, Way: table.Way(c.env.Getenv("SPOOR_SNAPSHOT"))}
	for _, word := range opts.NetNS {
		if word != metrics.All {
			if _, err := netns.Path(word); errors.Is(err, netns.ErrName) || strings.ContainsRune(word, 0) {
				return nil, usagef("--netns %q: %v", word, netns.ErrName)
			}
		}
	}
	if text := c.value("count-interval", ""); c.has("count-interval") {
		d, err := time.ParseDuration(text)
		if err != nil || d != 0 && d < time.Second {
			return nil, usagef("--count-interval %s: expected a time from 1s on, or 0", text)
		}
		opts.CountInterval = d
	}
	for _, text := range c.given["top"] {
		top, err := metrics.ParseTop(text)
		if err != nil {
			return nil, usagef("--top %s: %v", text, err)
		}
		if slices.ContainsFunc(opts.Top, func(t metrics.Top) bool { return t.By == top.By }) {
			return nil, usagef("--top %s: %s is there already", text, top.By)
		}
		opts.Top = append(opts.Top, top)
	}
	if len(opts.Top) > 0 && opts.CountInterval == 0 {
		return nil, usagef("--top needs the flows to be counted: not with --count-interval 0")
	}
	switch text := c.value("events", "on"); text {
	case "on", "off":
		opts.Events = text == "on"
	default:
		return nil, usagef("--events %s: choose from on and off", text)
	}
	switch text := c.value("log-format", "text"); text {
	case "text":
		opts.Log = slog.New(slog.NewTextHandler(c.env.Stderr, nil))
	case "json":
		opts.Log = slog.New(slog.NewJSONHandler(c.env.Stderr, nil))
	default:
		return nil, usagef("--log-format %s: choose from text and json", text)
	}
	return opts, nil
}
