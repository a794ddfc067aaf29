package statesync

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/mirror"
	"github.com/spoor-project/spoor/internal/statesync/wire"
)

// Mode is how losses are dealt with. All nodes must have the same.
type Mode uint8

const (
	FTFW Mode = iota
	ALARM
	NOTRACK
)

// String is the mode's name in a configuration.
func (m Mode) String() string { return [...]string{"FTFW", "ALARM", "NOTRACK"}[m] }

// Options are what the configuration says. The zero Options is its default, but for FirstSeq.
type Options struct {
	Mode Mode
	// FirstSeq numbers the first message; conntrackd takes the Unix time in seconds.
	FirstSeq uint32
	// Room is how many bytes a datagram can hold; 0 is 1472. Messages share datagrams.
	Room int
	// HashSize is how many flows each cache is made for at first; 0 is 65536.
	HashSize int
	// HashLimit is how many flows each cache can hold; 0 is 262144. Expectations likewise.
	HashLimit int

	// ResendQueue is how many messages may wait for being acknowledged; 0 is 131072. FTFW.
	ResendQueue int
	// AckWindow is after how many messages they are acknowledged; 0 is 300. FTFW.
	AckWindow int

	// Refresh is the longest time until a flow is repeated, in seconds; 0 is 60. ALARM.
	Refresh int
	// CacheTimeout is how long an external flow lives without a message, in seconds; 0 is 180. ALARM.
	CacheTimeout int

	// NoInternalCache sends events as they are. NOTRACK.
	NoInternalCache bool
	// NoExternalCache asks for kernel operations at once. FTFW and NOTRACK.
	NoExternalCache bool
	// Wire is what is sent of a flow.
	Wire wire.Options
	// Random spreads the repetitions of ALARM; nil is a random seed.
	Random *rand.Rand
}

func (o *Options) setDefaults() {
	for _, d := range []struct {
		value *int
		or    int
	}{
		{&o.Room, 1472}, {&o.HashSize, 65536}, {&o.HashLimit, 262144}, {&o.ResendQueue, 131072}, {&o.AckWindow, 300},
		{&o.Refresh, 60}, {&o.CacheTimeout, 180},
	} {
		if *d.value <= 0 {
			*d.value = d.or
		}
	}
	o.Refresh = min(o.Refresh, maxRefresh)
	if o.Random == nil {
		o.Random = rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))
	}
}

// Moment is a time, since any beginning, on a clock that does not step back.
type Moment time.Duration

func (m Moment) seconds() uint32 { return uint32(time.Duration(m) / time.Second) }

const (
	aliveAfter = Moment(time.Second)
	never      = Moment(1<<63 - 1)
)

// Origin is who made the kernel do what an event tells.
type Origin uint8

const (
	Others   Origin = iota // everybody else
	Commit                 // the daemon, committing
	Flush                  // the daemon, flushing the kernel's table
	Injector               // the daemon, carrying out the Output's operations
)

// Engine is one node.
type Engine struct {
	opts Options
	now  Moment
	out  Output

	internal, external         *mirror.Table[object]
	internalExps, externalExps expectations
	orphans                    []orphan

	controls     []control
	freeControls []node
	transmit     queue
	resend       queue // FTFW
	refreshes    wheel // ALARM: internal flows by when they are repeated
	byAge        queue // ALARM: external flows by when they were last told of
	expsByAge    queue // ALARM: external expectations likewise
	bulk         bulk
	verify       verification
	reunion      reunion
	mend         mending // NOTRACK

	seq       uint32 // of the next message
	hello     bool   // FTFW: said until it is answered
	greeted   bool   // FTFW: it has been said; an answer before that is to somebody who was here earlier
	answer    bool   // FTFW: a peer has said hello, which the next message answers
	peerHello bool   // FTFW: the last message said hello
	received  tracker
	acks      acknowledger
	lastRun   Moment // when something was last sent

	generation uint8 // of the last reading of the kernel's table
	reading    reading
	decoder    wire.Decoder
	stats      Stats

	// Space, so that nothing is allocated on the way of a message.
	flow, old flow.Flow
	told      wire.Flow
	toldExp   wire.Expect
}

// New returns a node that has just started.
func New(o Options) *Engine {
	o.setDefaults()
	e := &Engine{opts: o, seq: o.FirstSeq, hello: o.Mode == FTFW}
	e.internal = mirror.New[object](o.HashLimit, o.HashSize)
	e.external = mirror.New[object](o.HashLimit, o.HashSize)
	e.internalExps.limit, e.externalExps.limit = o.HashLimit, o.HashLimit
	e.transmit = queue{id: inTransmit, at: e.item, limit: 1<<31 - 1}
	e.resend = queue{id: inResend, at: e.item, limit: o.ResendQueue}
	e.byAge = queue{id: inAge, at: e.externalItem, limit: 1<<31 - 1}
	e.expsByAge = queue{id: inAge, at: e.externalItem, limit: 1<<31 - 1}
	e.refreshes.at = e.item
	e.acks.window = o.AckWindow
	return e
}

// Run does what is due and sends what is queued. It returns when it wants to be called again if
// nothing happens until then.
func (e *Engine) Run(now Moment) (next Moment) {
	e.now = now
	if e.opts.Mode == ALARM {
		e.refresh()
		e.expire()
	}
	e.bulkOn()
	e.reunited()
	e.mended()
	if e.opts.Mode != ALARM && e.transmit.len == 0 && now-e.lastRun >= aliveAfter {
		e.keepAlive()
	}
	if e.transmit.len > 0 {
		e.send()
	}
	e.out.end()
	switch {
	case e.bulk.pending():
		return now + bulkPause
	case e.opts.Mode == ALARM:
		return now + wheelTick
	}
	return e.lastRun + aliveAfter
}

// Pending reports whether there is something that Run would send at once.
func (e *Engine) Pending() bool { return e.transmit.len > 0 || len(e.out.bytes) > 0 }

// keepAlive tells the peers after a second's silence that this node is there, and what has come.
func (e *Engine) keepAlive() {
	if e.opts.Mode == FTFW && e.acks.open {
		e.control(wire.Ack, e.acks.from, e.received.last)
		e.acks.open = false
		return
	}
	e.control(wire.Alive, 0, 0)
}

// Take returns what has been put out since the last call. It is valid until the next
// call of any method.
func (e *Engine) Take() *Output { return &e.out }

// Done says that what Take returned has been dealt with.
func (e *Engine) Done() { e.out.reset() }

// Output is what a node wants done, in this order: log, kernel, datagrams.
type Output struct {
	Log    []LogLine
	Kernel []Operation
	// DumpKernel asks for the kernel's table, each flow of which is handed to Engine.Bypass: a
	// bulk without an internal cache.
	DumpKernel bool

	bytes []byte
	ends  []int // of datagrams in bytes
	begin int   // of the datagram that is being filled
}

// Datagrams yields the datagrams to send.
func (o *Output) Datagrams(yield func([]byte) bool) {
	begin := 0
	for _, end := range o.ends {
		if !yield(o.bytes[begin:end]) {
			return
		}
		begin = end
	}
}

// Empty reports whether there is nothing to be done.
func (o *Output) Empty() bool {
	return len(o.ends) == 0 && len(o.Log) == 0 && len(o.Kernel) == 0 && !o.DumpKernel
}

// end closes the datagram that is being filled.
func (o *Output) end() {
	if len(o.bytes) > o.begin {
		o.ends = append(o.ends, len(o.bytes))
		o.begin = len(o.bytes)
	}
}

// message takes in what has been appended to bytes from begin on: one message.
func (o *Output) message(begin, room int) {
	if begin > o.begin && len(o.bytes)-o.begin >= room {
		o.ends = append(o.ends, begin)
		o.begin = begin
	}
}

func (o *Output) reset() {
	*o = Output{Log: o.Log[:0], Kernel: o.Kernel[:0], bytes: o.bytes[:0], ends: o.ends[:0]}
}

// Operation is something to be done to the kernel's table: the external cache is disabled.
type Operation struct {
	Type   wire.Type
	Flow   flow.Flow   // CT types
	Expect flow.Expect // EXP types
}

// Level is how serious a log line is.
type Level uint8

const (
	Info Level = iota
	Notice
	Warning
	Error
)

// LogLine is for the log.
type LogLine struct {
	Level Level
	Text  string
}

func (e *Engine) log(l Level, format string, args ...any) {
	e.out.Log = append(e.out.Log, LogLine{l, fmt.Sprintf(format, args...)})
}

// SetRoom changes how many bytes a datagram can hold.
func (e *Engine) SetRoom(n int) { e.opts.Room = n }
