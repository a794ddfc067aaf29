package cthelper

import (
	"bytes"
	"strconv"
	"time"

	"github.com/spoor-project/spoor/flow"
)

// Amanda, the network backup: the answer of the host to be backed up has a line "CONNECT DATA n MESG n INDEX n STATE n", with the
// TCP ports to which the backup server, the client of this flow, will connect. Amanda 3.5 announces all four.
//
// The original expects connections to the source port of the flow instead of the announced ones, knows no STATE, and of three
// announcements it keeps one.

// amandaTimeout is what a flow gets at each answer: the next may come much later.
const amandaTimeout = 300 * time.Second

// amandaStreams begins with what may go: where a flow may have three expectations only, the kernel gives up the oldest for the fourth.
var amandaStreams = []string{"STATE ", "DATA ", "MESG ", "INDEX "}

func parseAmanda(p *Packet, _ []byte) Result {
	if p.direction() == Original {
		return Result{}
	}
	r := Result{Timeout: amandaTimeout}
	start := bytes.Index(p.Payload, []byte("CONNECT "))
	if start < 0 {
		return r
	}
	n := bytes.IndexByte(p.Payload[start:], '\n')
	if n < 0 {
		return r
	}
	line := p.Payload[start : start+n]
	for _, stream := range amandaStreams {
		i := bytes.Index(line, []byte(stream))
		if i < 0 {
			continue
		}
		i += len(stream)
		port, digits, ok := leadingPort(line[i:])
		if !ok { // a stream that is not used has the number -1
			continue
		}
		a := Announcement{Expect: p.follow(Original, flow.TCP, port)}
		if p.translated() {
			a.Rewrite = func(port uint16) []Patch {
				return []Patch{{start + i, digits, strconv.Itoa(int(port))}}
			}
		}
		r.Announced = append(r.Announced, a)
	}
	return r
}
