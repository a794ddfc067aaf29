//go:build linux

package interop_test

import (
	"testing"
	"fmt"
	"time"

	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/nstest"
)

func TestTrafficProto(t *testing.T) {
	their, our := theirs(t), ours(t)
	w := newWorld(t, their, our)
	h := w.watch(t)
	for _, p := range paths {
		for _, network := range []string{"udp", "tcp"} {
			nstest.ServeEcho(t, w.Server, network, p.server.String())
			nstest.Exchange(t, w.Client, network, p.client, p.to, 2)
		}
		nstest.Ping(t, w.Client, p.to.Addr(), p.client.Port())
		u := nstest.ListenUDPLite(t, w.Server, p.server)
		c := nstest.ListenUDPLite(t, w.Client, p.client)
		b := make([]byte, 100)
		for range 2 {
			c.WriteToUDPAddrPort([]byte("abc"), p.to)
			n, from, err := u.ReadFromUDPAddrPort(b)
			fmt.Println(n, from, err)
			u.WriteToUDPAddrPort(b[:n], from)
			n, from, err = c.ReadFromUDPAddrPort(b)
			fmt.Println(n, from, err)
		}
		c.Close()
		for _, proto := range []uint8{47, 200} {
			u := nstest.ListenRaw(t, w.Server, proto, p.server.Addr())
			c := nstest.ListenRaw(t, w.Client, proto, p.client.Addr())
			for range 2 {
				c.Send(t, p.to.Addr(), nstest.GRE("spoor"))
				b, from := u.Receive(t)
				fmt.Println(string(b), from)
				u.Send(t, from, b)
				b, from = c.Receive(t)
				fmt.Println(string(b), from)
			}
			c.Close()
		}
		fmt.Println(tuplesOf(w.flows(t)))
	}
	time.Sleep(time.Second)
	w.listings(t)
	fmt.Println(w.our.must("conntrack", "-L", "-o", "save"))
	fmt.Println(w.our.must("conntrack", "-D", "-s", "10.1.0.2"))
	fmt.Println(w.our.must("conntrack", "-D", "-s", "fd01::2"))
	a, b := h.end(t, 40)
	fmt.Println(a, b)
	for _, e := range h.ended() {
		if e.Flow.Orig.Proto == flow.UDP {
			fmt.Printf("%+v\n", e)
		}
	}
}
