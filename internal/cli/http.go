package cli

import (
	"context"
	"encoding/json"
	"html/template"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/spoor-project/spoor/internal/metrics"
	"github.com/spoor-project/spoor/internal/release"
)

// Limits of the server, which no client can make it exceed.
const (
	requestPatience = 5 * time.Second
	answerPatience  = 30 * time.Second
	idlePatience    = 2 * time.Minute
	endPatience     = 3 * time.Second
	mostConnections = 64
	mostHeader      = 16 << 10
)

// listen listens where --listen says.
func (c *call) listen(usual string) (net.Listener, error) {
	address := c.value("listen", usual)
	if _, _, err := net.SplitHostPort(address); err != nil {
		return nil, usagef("--listen %s: expected an address and a port, such as %s or [::1]:9820", address, defaultListen)
	}
	return net.Listen("tcp", address)
}

// serveHTTP answers requests until ctx ends, which is no error. It calls ending when that is so, and closes the listener.
func serveHTTP(ctx context.Context, listener net.Listener, pages http.Handler, log *slog.Logger, ending func()) error {
	if at, err := netip.ParseAddrPort(listener.Addr().String()); err == nil && !at.Addr().IsLoopback() {
		log.Warn("not only this machine can read the figures")
	}
	log.Info("listening", "address", listener.Addr().String(), "version", release.Version)
	server := &http.Server{
		Handler: pages, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		ReadTimeout: requestPatience, WriteTimeout: answerPatience, IdleTimeout: idlePatience, MaxHeaderBytes: mostHeader,
	}
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(ended)
		log.Info("ending")
		ending()
		within, cancel := context.WithTimeout(context.Background(), endPatience)
		defer cancel()
		if server.Shutdown(within) != nil {
			server.Close() // somebody still reads
		}
	})
	err := server.Serve(limited(listener, mostConnections))
	if stop() {
		return err // the listener has failed
	}
	<-ended
	return nil
}

var front = template.Must(template.New("front").Parse(`<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>spoor</title></head>
<body><h1>spoor {{.Version}}</h1>
<p>The kernel's connection tracking, for Prometheus.</p>
<ul><li><a href="/metrics">metrics</a></li><li><a href="/healthz">health</a>: {{if .Health.OK}}fine{{else}}amiss{{end}}</li></ul>
{{range .Health.Reasons}}<p>{{.}}</p>
{{end}}</body></html>
`))

// pages are the figures, whether all is well, and a page that leads to both.
func pages(figures http.Handler, health func(context.Context) metrics.Health) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", figures)
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, r *http.Request) {
		h := health(r.Context())
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
		}{release.Version, health(r.Context())})
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
