package agent

import (
	"strconv"
	"time"

	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/render"
	"github.com/spoor-project/spoor/internal/statesync"
)

// Lines of cache dumps. Text and XML are those of conntrackd 1.4.9: what conntrack -L prints, but for what has no
// meaning in a cache. JSON is that of conntrack -o jsonl with everything there is, which includes the timeout
// as it was last told and the reply tuple that follows from what a peer told.

var (
	dumpXML  = render.Style{Format: render.XML, Envelope: render.Bare}
	dumpJSON = render.Style{Format: render.JSONL}
)

// shown is what text and XML show of a cached flow. Timeouts and use counts are not those of now, and what a
// peer told of has only an original direction.
func shown(f *flow.Flow, external bool) flow.Flow {
	s := *f
	s.Has &^= flow.HasTimeout | flow.HasUse
	if external {
		s.Has &^= flow.HasReply
		s.Reply = flow.Tuple{}
	}
	return s
}

// appendCachedText appends a line about a cached flow. expires says that external flows expire, as in ALARM.
func appendCachedText(b []byte, c *statesync.Cached, external, expires bool) []byte {
	f := shown(c.Flow, external)
	b = cutEnd(render.NewPrinter(render.Flows, nil).AppendFlow(b, &f, time.Now()), "\n")
	if external && expires {
		b = appendInt(b, " [expires in ", c.Left, "s]")
	}
	return appendInt(b, " [active since ", c.Age, "s]\n")
}

// appendCachedXML appends an element about a cached flow, and a newline.
func appendCachedXML(b []byte, f *flow.Flow, external bool) []byte {
	s := shown(f, external)
	return render.NewPrinter(render.Flows, &dumpXML).AppendFlow(b, &s, time.Now())
}

// appendCachedJSON appends a cached flow as a line of JSON, with the members "age" and, if it expires, "expires", both
// in seconds.
func appendCachedJSON(b []byte, c *statesync.Cached, expires bool) []byte {
	b = cutEnd(render.NewPrinter(render.Flows, &dumpJSON).AppendFlow(b, c.Flow, time.Now()), "}\n")
	if expires {
		b = appendInt(b, `,"expires":`, c.Left, "")
	}
	return appendInt(b, `,"age":`, c.Age, "}\n")
}

// appendCachedExpect appends a line about a cached expectation. expires is as with flows.
func appendCachedExpect(b []byte, c *statesync.CachedExpect, expires bool) []byte {
	s := shownExpect(c.Expect)
	b = cutEnd(render.NewPrinter(render.Expects, nil).AppendExpect(b, &s, time.Time{}), "\n")
	if expires {
		b = appendInt(b, " [expires in ", c.Left, "s]")
	}
	return appendInt(b, " [active since ", c.Age, "s]\n")
}

// appendCachedExpectXML appends an element about a cached expectation, and a newline.
func appendCachedExpectXML(b []byte, x *flow.Expect) []byte {
	s := shownExpect(x)
	return render.NewPrinter(render.Expects, &dumpXML).AppendExpect(b, &s, time.Time{})
}

// appendCachedExpectJSON appends a cached expectation as a line of JSON, with the members that flows have.
func appendCachedExpectJSON(b []byte, c *statesync.CachedExpect, expires bool) []byte {
	b = cutEnd(render.NewPrinter(render.Expects, &dumpJSON).AppendExpect(b, c.Expect, time.Time{}), "}\n")
	if expires {
		b = appendInt(b, `,"expires":`, c.Left, "")
	}
	return appendInt(b, `,"age":`, c.Age, "}\n")
}

func shownExpect(x *flow.Expect) flow.Expect {
	s := *x
	s.Has &^= flow.ExpectHasTimeout
	return s
}

// appendRecord appends a line of the statistics log: a flow as it ended, at that time.
func appendRecord(b []byte, f *flow.Flow, at time.Time) []byte {
	s := shown(f, false)
	b = append(at.AppendFormat(b, time.ANSIC), '\t')
	return render.NewPrinter(render.Flows, nil).AppendFlow(b, &s, at)
}

// cutEnd takes away the end of what was appended, to go on from there.
func cutEnd(b []byte, end string) []byte { return b[:len(b)-len(end)] }

func appendInt(b []byte, before string, n int, after string) []byte {
	return append(strconv.AppendInt(append(b, before...), int64(n), 10), after...)
}
