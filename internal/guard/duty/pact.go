package duty

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"time"

	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/guard"
	"github.com/spoor-project/spoor/internal/netns"
)

const (
	pactWindow   = 30 * time.Second       // how far the clocks of two nodes may be apart
	pactRepeat   = 100 * time.Millisecond // after which a decision is sent once more, as datagrams get lost; well below guard.PactDelay
	mostNonces   = 4096                   // that are remembered, each for two windows
	mostDatagram = 1200                   // bytes
	mostNode     = 64                     // bytes of a node's name
	leastKey     = 16                     // bytes
	mostKey      = 4096
	pactVersion  = 1
)

// PactOptions say where the two nodes of a pair are.
type PactOptions struct {
	Local, Remote netip.AddrPort // UDP; Local is bound
	Key           []byte         // the same on both nodes; see [ReadKey]
	Node          string         // name of this node, 64 bytes at most; the other has another
	NetNS         string         // the file of the namespace that Local is in; "" is the caller's own
}

// Pact carries decisions between the two nodes of a pair: datagrams that only who has the key can make, and that count once.
// It may be used by several goroutines.
type Pact struct {
	opts PactOptions
	conn *net.UDPConn

	nonces map[nonce]time.Time // when they were heard; of Run

	received, foreign, malformed, stale, repeated, own atomic.Uint64
}

type nonce [16]byte

// PactFigures count datagrams since the start.
type PactFigures struct {
	Received  uint64 // that were taken in
	Foreign   uint64 // from elsewhere, or with another key
	Malformed uint64 // not to be understood, though the key is right
	Stale     uint64 // of another time: the clocks are more than 30 s apart, or somebody repeats what he has heard
	Repeated  uint64 // known already; every decision is sent twice
	Own       uint64 // of a node with our name
}

// ReadKey reads a key, at least 16 bytes, from a file that only its owner can read. A newline at its end does not belong to it.
func ReadKey(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("key: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("key: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("key %s: not a regular file", path)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("key %s: others can read it; do: chmod 600 %s", path, path)
	}
	key, err := io.ReadAll(io.LimitReader(f, mostKey+1))
	if err != nil {
		return nil, fmt.Errorf("key: %w", err)
	}
	key = bytes.TrimSuffix(key, []byte("\n"))
	if len(key) < leastKey || len(key) >= mostKey {
		return nil, fmt.Errorf("key %s: it has %d bytes; expected from %d to %d, such as from: openssl rand -hex 32", path, len(key), leastKey, mostKey-1)
	}
	return key, nil
}

// OpenPact binds the socket.
func OpenPact(opts PactOptions) (*Pact, error) {
	switch {
	case !opts.Local.IsValid() || !opts.Remote.IsValid() || opts.Remote.Port() == 0:
		return nil, errors.New("pact: both addresses and ports are needed")
	case opts.Local.Addr().Unmap().Is4() != opts.Remote.Addr().Unmap().Is4():
		return nil, errors.New("pact: one address is IPv4, the other IPv6")
	case opts.Node == "" || len(opts.Node) > mostNode:
		return nil, fmt.Errorf("pact: the node's name must have 1 to %d bytes", mostNode)
	case len(opts.Key) < leastKey:
		return nil, fmt.Errorf("pact: a key of %d bytes at least is needed", leastKey)
	}
	p := &Pact{opts: opts, nonces: make(map[nonce]time.Time)}
	err := netns.DoAt(opts.NetNS, func() (err error) {
		p.conn, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(opts.Local))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("pact: %w", err)
	}
	return p, nil
}

// Close closes the socket; Run returns.
func (p *Pact) Close() error { return p.conn.Close() }

// Local is the address that is bound.
func (p *Pact) Local() netip.AddrPort { return p.conn.LocalAddr().(*net.UDPAddr).AddrPort() }

// Figures are the counters.
func (p *Pact) Figures() PactFigures {
	return PactFigures{p.received.Load(), p.foreign.Load(), p.malformed.Load(), p.stale.Load(), p.repeated.Load(), p.own.Load()}
}

// Send tells the other node of a decision, without waiting for anything, twice. That the other node is not there is no error.
func (p *Pact) Send(d guard.Decision) error {
	var n nonce
	rand.Read(n[:])
	datagram, err := seal(p.opts.Key, &message{d, time.Now(), n})
	if err == nil {
		_, err = p.conn.WriteToUDPAddrPort(datagram, p.opts.Remote)
	}
	if err != nil {
		return fmt.Errorf("pact: %w", err)
	}
	time.AfterFunc(pactRepeat, func() { p.conn.WriteToUDPAddrPort(datagram, p.opts.Remote) }) // closed meanwhile: so be it
	return nil
}

// Run hands what the other node decides to hear, until ctx ends or the pact is closed. Only one Run may go on.
func (p *Pact) Run(ctx context.Context, hear func(guard.Decision)) error {
	stop := context.AfterFunc(ctx, func() { p.conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	buffer := make([]byte, mostDatagram+1)
	for {
		n, from, err := p.conn.ReadFromUDPAddrPort(buffer)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, net.ErrClosed):
			return nil
		case err != nil: // the kernel is short of memory, or the device went away
			select {
			case <-time.After(100 * time.Millisecond):
			case <-ctx.Done():
			}
			continue
		}
		if d, ok := p.judge(time.Now(), from.Addr(), buffer[:n]); ok {
			hear(d)
		}
	}
}

// judge reports whether a datagram is a decision that counts.
func (p *Pact) judge(now time.Time, from netip.Addr, datagram []byte) (d guard.Decision, ok bool) {
	if from.Unmap().WithZone("") != p.opts.Remote.Addr().Unmap().WithZone("") {
		p.foreign.Add(1)
		return d, false
	}
	m, err := unseal(p.opts.Key, datagram)
	switch {
	case errors.Is(err, errForeign):
		p.foreign.Add(1)
	case err != nil:
		p.malformed.Add(1)
	case m.decision.Node == p.opts.Node:
		p.own.Add(1)
	case now.Sub(m.sent).Abs() > pactWindow:
		p.stale.Add(1)
	case !p.isNew(now, m.nonce):
		p.repeated.Add(1)
	default:
		p.received.Add(1)
		return m.decision, true
	}
	return d, false
}

// isNew reports whether a nonce has not been heard, and remembers it for as long as its datagram could be repeated in time.
func (p *Pact) isNew(now time.Time, n nonce) bool {
	if _, known := p.nonces[n]; known {
		return false
	}
	if len(p.nonces) >= mostNonces {
		for old, at := range p.nonces {
			if now.Sub(at) > 2*pactWindow {
				delete(p.nonces, old)
			}
		}
		if len(p.nonces) >= mostNonces {
			return false // more than brakes let through in that time
		}
	}
	p.nonces[n] = now
	return true
}

// message is what a datagram holds.
type message struct {
	decision guard.Decision
	sent     time.Time
	nonce    nonce
}

// pactMessage is a message as JSON. A datagram is the JSON, and behind it its HMAC-SHA256 (RFC 2104) of 32 bytes.
type pactMessage struct {
	Version     int        `json:"v"`
	Nonce       []byte     `json:"nonce"` // base64
	Sent        time.Time  `json:"sent"`
	Node        string     `json:"node"`
	Time        time.Time  `json:"time"`
	Until       time.Time  `json:"until,omitzero"`
	Offender    netip.Addr `json:"offender,omitzero"`
	Kind        string     `json:"kind"`
	Source      netip.Addr `json:"source,omitzero"`
	Destination netip.Addr `json:"destination,omitzero"`
	Proto       uint8      `json:"proto,omitempty"`
	Port        uint16     `json:"port,omitempty"`
	Zone        uint16     `json:"zone,omitempty"`
}

// writable reports whether JSON can have a time in UTC.
func writable(t time.Time) bool { y := t.UTC().Year(); return y >= 0 && y <= 9999 }

var errForeign = errors.New("not of this pact")

func seal(key []byte, m *message) ([]byte, error) {
	d := &m.decision
	b, err := json.Marshal(&pactMessage{
		pactVersion, m.nonce[:], m.sent.UTC(), d.Node, d.Time.UTC(), d.Until.UTC(), d.Offender, d.Kind.String(),
		d.Subject.Source, d.Subject.Destination, uint8(d.Subject.Proto), d.Subject.Port, d.Subject.Zone,
	})
	if err != nil {
		return nil, err
	}
	return append(b, code(key, b)...), nil
}

func code(key, text []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write(text)
	return h.Sum(nil)
}

// unseal reads a datagram; the error is errForeign if it has not been made with the key.
func unseal(key, datagram []byte) (m message, err error) {
	n := len(datagram) - sha256.Size
	if n < 0 || len(datagram) > mostDatagram || !hmac.Equal(code(key, datagram[:n]), datagram[n:]) {
		return m, errForeign
	}
	var w pactMessage
	if err := json.Unmarshal(datagram[:n], &w); err != nil {
		return m, err
	}
	switch {
	case w.Version != pactVersion:
		return m, fmt.Errorf("version %d", w.Version)
	case len(w.Nonce) != len(m.nonce):
		return m, errors.New("nonce")
	case w.Node == "" || len(w.Node) > mostNode:
		return m, errors.New("name of the node")
	case w.Sent.IsZero() || w.Time.IsZero() || !writable(w.Sent) || !writable(w.Time) || !writable(w.Until):
		return m, errors.New("time")
	}
	kind, ok := guard.KindNamed(w.Kind)
	if !ok {
		kind = guard.NoKind // of a later version: a block counts all the same
	}
	m.sent, m.nonce = w.Sent.UTC(), nonce(w.Nonce)
	m.decision = guard.Decision{
		Offender: w.Offender, Kind: kind, Node: w.Node, Time: w.Time.UTC(), Until: w.Until.UTC(),
		Subject: guard.Subject{Source: w.Source, Destination: w.Destination, Proto: flow.Proto(w.Proto), Port: w.Port, Zone: w.Zone},
	}
	return m, nil
}
