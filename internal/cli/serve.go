package cli

import (
	"context"
	"encoding/json"
	"errors"
	"html/template"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spoor-project/spoor/internal/metrics"
	"github.com/spoor-project/spoor/internal/netns"
	"github.com/spoor-project/spoor/internal/release"
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

// Limits of the server, which no client can make it exceed.
const (
	requestPatience = 5 * time.Second
	answerPatience  = 30 * time.Second
	idlePatience    = 2 * time.Minute
	endPatience     = 3 * time.Second
	mostConnections = 64
	mostHeader      = 16 << 10
)

const (
	defaultListen        = "127.0.0.1:9820"
	defaultCountInterval = 15 * time.Second
)

func serve(c *call) error {
	opts, err := c.exported()
	if err != nil {
		return err
	}
	address := c.value("listen", defaultListen)
	if _, _, err := net.SplitHostPort(address); err != nil {
		return usagef("--listen %s: expected an address and a port, such as %s or [::1]:9820", address, defaultListen)
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	defer listener.Close()
	exporter, err := metrics.Open(c.ctx, opts)
	if err != nil {
		return err
	}
	defer exporter.Close()
	log := opts.Log
	if at, err := netip.ParseAddrPort(listener.Addr().String()); err == nil && !at.Addr().IsLoopback() {
		log.Warn("not only this machine can read the figures")
	}
	log.Info("listening", "address", listener.Addr().String(), "version", release.Version)
	server := &http.Server{
		Handler: pages(exporter), ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		ReadTimeout: requestPatience, WriteTimeout: answerPatience, IdleTimeout: idlePatience, MaxHeaderBytes: mostHeader,
	}
	tell := sdnotify.New()
	tell.Say("READY=1")
	ended := make(chan struct{})
	stop := context.AfterFunc(c.ctx, func() {
		defer close(ended)
		log.Info("ending")
		tell.Say("STOPPING=1")
		within, cancel := context.WithTimeout(context.Background(), endPatience)
		defer cancel()
		if server.Shutdown(within) != nil {
			server.Close() // somebody still reads
		}
	})
	err = server.Serve(limited(listener, mostConnections))
	if stop() {
		return err // the listener has failed
	}
	<-ended
	return nil
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

var front = template.Must(template.New("front").Parse(`<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>spoor</title></head>
<body><h1>spoor {{.Version}}</h1>
<p>The kernel's connection tracking, for Prometheus.</p>
<ul><li><a href="/metrics">metrics</a></li><li><a href="/healthz">health</a>: {{if .Health.OK}}fine{{else}}amiss{{end}}</li></ul>
{{range .Health.Reasons}}<p>{{.}}</p>
{{end}}</body></html>
`))

// pages answers requests.
func pages(e *metrics.Exporter) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", e.Handler())
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, r *http.Request) {
		h := e.Health(r.Context())
		w.Header().Set("Content-Type", "application/json")
		if !h.OK {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		json.NewEncoder(w).Encode(h)
	})
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy", "default-src 'none'")
		front.Execute(w, struct {
			Version string
			Health  metrics.Health
		}{release.Version, e.Health(r.Context())})
	})
	return mux
}

// limited is a listener with no more than n connections at once; others wait in the kernel.
func limited(l net.Listener, n int) net.Listener {
	return &limitedListener{Listener: l, free: make(chan struct{}, n), closed: make(chan struct{})}
}

type limitedListener struct {
	net.Listener
	free   chan struct{}
	once   sync.Once
	closed chan struct{}
}

func (l *limitedListener) Accept() (net.Conn, error) {
	select {
	case l.free <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	c, err := l.Listener.Accept()
	if err != nil {
		<-l.free
		return nil, err
	}
	return &limitedConn{Conn: c, free: sync.OnceFunc(func() { <-l.free })}, nil
}

func (l *limitedListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

type limitedConn struct {
	net.Conn
	free func()
}

func (c *limitedConn) Close() error {
	defer c.free()
	return c.Conn.Close()
}
