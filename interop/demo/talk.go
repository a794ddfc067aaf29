//go:build linux

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

const (
	lineEvery = 100 * time.Millisecond
	// patience is how long the last answers may take.
	patience = 5 * time.Second

	serverAddress = "203.0.113.5:7"
)

// talk is all the connections between client and server.
type talk struct {
	listener net.Listener
	all      []*connection
	begun    time.Time
	quiet    chan struct{} // closed when no more is to be said
	hush     func()        // closes it
	clients  sync.WaitGroup
	servers  sync.WaitGroup

	mu   sync.Mutex
	open []net.Conn // of both sides
}

// begin opens the connections and has the client speak. The server gives back what it gets.
func begin(client, server *netns, n int) (*talk, error) {
	t := &talk{quiet: make(chan struct{})}
	t.hush = sync.OnceFunc(func() { close(t.quiet) })
	var err error
	server.do(func() { t.listener, err = net.Listen("tcp", serverAddress) })
	if err != nil {
		return nil, err
	}
	t.servers.Go(t.serve)
	dialer := net.Dialer{Timeout: patience}
	for i := range n {
		var conn net.Conn
		client.do(func() { conn, err = dialer.Dial("tcp", serverAddress) })
		if err != nil {
			t.close()
			return nil, fmt.Errorf("open connection %d: %w", i+1, err)
		}
		t.keep(conn)
		t.all = append(t.all, &connection{number: i + 1, conn: conn.(*net.TCPConn)})
	}
	t.begun = time.Now()
	for i, c := range t.all {
		// They do not all speak at the same moment.
		t.clients.Go(func() { c.speak(t.quiet, lineEvery*time.Duration(i)/time.Duration(n)) })
		t.clients.Go(c.listen)
	}
	return t, nil
}

func (t *talk) keep(conn net.Conn) {
	t.mu.Lock()
	t.open = append(t.open, conn)
	t.mu.Unlock()
}

func (t *talk) serve() {
	for {
		conn, err := t.listener.Accept()
		if err != nil {
			return
		}
		t.keep(conn)
		t.servers.Go(func() {
			io.Copy(conn, conn)
			conn.Close()
		})
	}
}

// end lets every connection come to its end, if it does so in time.
func (t *talk) end(ctx context.Context) {
	t.hush()
	limit := time.Now().Add(patience)
	for _, c := range t.all {
		c.conn.SetDeadline(limit)
	}
	stop := context.AfterFunc(ctx, t.cut)
	t.clients.Wait()
	stop()
	t.close()
}

// close ends what has not ended.
func (t *talk) close() {
	t.hush()
	t.listener.Close()
	t.cut()
	t.clients.Wait()
	t.servers.Wait()
}

func (t *talk) cut() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, conn := range t.open {
		conn.Close()
	}
}

// answeredSince counts the connections that have got an answer since then.
func (t *talk) answeredSince(when time.Time) (n int) {
	for _, c := range t.all {
		c.mu.Lock()
		if len(c.answers) > 0 && c.answers[len(c.answers)-1].After(when) {
			n++
		}
		c.mu.Unlock()
	}
	return n
}

// connection is one of them, as the client sees it.
type connection struct {
	number int
	conn   *net.TCPConn

	mu      sync.Mutex
	said    int         // lines
	answers []time.Time // when they came
	err     error       // why it is dead
}

func (c *connection) line(n int) string { return fmt.Sprintf("connection %d, line %d\n", c.number, n) }

func (c *connection) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		c.err = err
	}
}

// speak says a line every so often, and in the end that this was all.
func (c *connection) speak(quiet <-chan struct{}, delay time.Duration) {
	time.Sleep(delay)
	tick := time.NewTicker(lineEvery)
	defer tick.Stop()
	for n := 1; ; n++ {
		c.mu.Lock()
		c.said = n
		c.mu.Unlock()
		if _, err := io.WriteString(c.conn, c.line(n)); err != nil {
			c.fail(err)
			return
		}
		select {
		case <-tick.C:
			continue
		case <-quiet:
		}
		if err := c.conn.CloseWrite(); err != nil {
			c.fail(err)
		}
		return
	}
}

// listen checks the answers until the server ends the connection, as it does when it has had all.
func (c *connection) listen() {
	r := bufio.NewReader(c.conn)
	for n := 1; ; n++ {
		line, err := r.ReadString('\n')
		c.mu.Lock()
		said := c.said
		c.mu.Unlock()
		switch {
		case errors.Is(err, io.EOF) && line == "" && n == said+1:
			return
		case errors.Is(err, os.ErrDeadlineExceeded):
			c.fail(fmt.Errorf("no answer to line %d of %d", n, said))
			return
		case err != nil:
			c.fail(fmt.Errorf("after %d of %d lines: %w", n-1, said, err))
			return
		case line != c.line(n):
			c.fail(fmt.Errorf("line %d came back as %q", n, line))
			return
		}
		c.mu.Lock()
		c.answers = append(c.answers, time.Now())
		c.mu.Unlock()
	}
}

// silence is the longest time without an answer.
func (c *connection) silence() (longest time.Duration) {
	for i := 1; i < len(c.answers); i++ {
		longest = max(longest, c.answers[i].Sub(c.answers[i-1]))
	}
	return longest
}
