package tui

import (
	"context"
	"io"
	"sync"
	"time"

	tea "charm.land/bubbletea/v2"

	"github.com/spoor-project/spoor/filter"
	"github.com/spoor-project/spoor/flow"
)

// Source is the table that a screen shows; [Sampler] is one. Pulse may be called while a sweep is going on.
type Source interface {
	Pulse(context.Context) (Pulse, error)
	// Sweep brings out what the look asks for. It takes no more processor time than the budget, if it has been asked for the same before.
	Sweep(ctx context.Context, look Look, budget time.Duration) (*Sample, error)
}

// Killer deletes flows, of which it tells first. It is called by one goroutine.
type Killer interface {
	// Preview finds what would be deleted: the flows with these keys, or those that the query selects if it is not nil.
	Preview(ctx context.Context, keys []flow.Key, query *filter.Query) Preview
	// Kill deletes what was found; Forget does not.
	Kill(ctx context.Context) Killed
	Forget()
}

// share is how much of one processor sweeps may use: of large tables only a part is read each time. With the rest, and what is not a sweep, it
// stays below a quarter.
const share = 0.16

// Budget is the processor time that a sweep may use, if there is one every interval.
func Budget(interval time.Duration) time.Duration { return time.Duration(share * float64(interval)) }

// Pace tells when the table may be read again that was read at begin: after the interval, or later if that takes so much at least.
func Pace(begin time.Time, interval, least time.Duration) time.Time {
	return begin.Add(max(interval, time.Duration(float64(least)/share)))
}

// Terminal is what Run shows a Model on.
type Terminal struct {
	In  io.Reader
	Out io.Writer
}

// Run shows the model on a terminal until the user quits or ctx ends. first is what the model wanted when it was made.
func Run(ctx context.Context, on Terminal, m *Model, first []Action, s Source, k Killer, interval time.Duration) error {
	ctx, stop := context.WithCancel(ctx)
	r := &reader{source: s, interval: interval, looks: make(chan Look, 1), paused: make(chan bool, 1), done: make(chan struct{})}
	x := &executioner{killer: k, asked: make(chan any, 256), done: make(chan struct{})}
	p := &program{model: m, reader: r, executioner: x}
	p.act(first)
	t := tea.NewProgram(p, tea.WithContext(ctx), tea.WithInput(on.In), tea.WithOutput(on.Out), tea.WithoutSignalHandler())
	send := func(msg any) { t.Send(told{msg}) }
	go r.run(ctx, send)
	go x.run(ctx, send)
	_, err := t.Run()
	left := ctx.Err()
	stop()
	<-r.done
	<-x.done
	if left != nil {
		return nil // ended from outside
	}
	return err
}

// program joins the model with the terminal library. Only its loop touches the model.
type program struct {
	model       *Model
	reader      *reader
	executioner *executioner
}

// told is a message for the model.
type told struct{ msg any }

func (p *program) Init() tea.Cmd { return nil }

func (p *program) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	var actions []Action
	switch msg := msg.(type) {
	case told:
		actions = p.model.Update(msg.msg)
	case tea.WindowSizeMsg:
		actions = p.model.Update(Size{msg.Width, msg.Height})
	case tea.KeyPressMsg:
		actions = p.model.Update(Key{msg.String(), msg.Text})
	case tea.PasteMsg:
		actions = p.model.Update(Key{"", msg.Content})
	case tea.MouseClickMsg:
		if msg.Button == tea.MouseLeft {
			actions = p.model.Update(Click{msg.X, msg.Y})
		}
	case tea.MouseWheelMsg:
		switch msg.Button {
		case tea.MouseWheelUp:
			actions = p.model.Update(Wheel{-1})
		case tea.MouseWheelDown:
			actions = p.model.Update(Wheel{1})
		}
	}
	return p, p.act(actions)
}

func (p *program) View() tea.View {
	v := tea.NewView(p.model.View(true))
	v.AltScreen, v.MouseMode = true, tea.MouseModeCellMotion
	return v
}

// act has done what the model wants.
func (p *program) act(actions []Action) (cmd tea.Cmd) {
	for _, a := range actions {
		switch a := a.(type) {
		case Look:
			replace(p.reader.looks, a)
		case Pause:
			replace(p.reader.paused, bool(a))
		case Ask, Kill, Forget:
			p.executioner.do(a)
		case Quit:
			cmd = tea.Quit
		case Suspend:
			cmd = tea.Suspend
		}
	}
	return cmd
}

// replace puts v into a channel of one, in the place of what has not been taken yet. Nobody else sends there.
func replace[T any](c chan T, v T) {
	select {
	case <-c:
	default:
	}
	c <- v
}

// reader takes pulses and sweeps the table.
type reader struct {
	source   Source
	interval time.Duration
	looks    chan Look
	paused   chan bool
	done     chan struct{}
}

func (r *reader) run(ctx context.Context, send func(any)) {
	defer close(r.done)
	var both sync.WaitGroup
	both.Go(func() { r.pulses(ctx, send) })
	both.Go(func() { r.sweeps(ctx, send) })
	both.Wait()
}

func (r *reader) pulses(ctx context.Context, send func(any)) {
	tick := time.NewTicker(r.interval)
	defer tick.Stop()
	for {
		if p, err := r.source.Pulse(ctx); err == nil {
			send(p)
		} else if ctx.Err() == nil {
			send(Failed{err})
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (r *reader) sweeps(ctx context.Context, send func(any)) {
	var look Look
	var due time.Time
	paused, second := false, true
	for {
		timer := time.NewTimer(time.Until(due))
		wake := timer.C
		if paused || look.Serial == 0 {
			wake = nil
		}
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case look = <-r.looks:
		case paused = <-r.paused:
			timer.Stop()
			continue
		case <-wake:
		}
		timer.Stop()
		begin := time.Now()
		s, err := r.source.Sweep(ctx, look, Budget(r.interval))
		if err != nil {
			due = time.Now().Add(r.interval)
			if ctx.Err() == nil {
				send(Failed{err})
			}
			continue
		}
		due = Pace(begin, r.interval, s.Least)
		if second {
			// Rates need two, and nobody likes to wait.
			due, second = Pace(begin, r.interval/2, s.Least), false
		}
		send(s)
	}
}

// executioner carries out what deletes, so that the screen does not wait for it.
type executioner struct {
	killer Killer
	asked  chan any
	done   chan struct{}

	mu     sync.Mutex
	wanted int                // serial of the last Ask that is still waited for; 0: none
	stop   context.CancelFunc // ends the preview that is being made; nil: none is
}

// do has an action carried out after those before it. It ends what is no longer waited for.
func (x *executioner) do(a Action) {
	x.mu.Lock()
	if ask, ok := a.(Ask); ok {
		x.wanted = ask.Serial
	} else if _, ok := a.(Forget); ok {
		x.wanted = 0
	}
	if _, kill := a.(Kill); !kill && x.stop != nil {
		x.stop()
	}
	x.mu.Unlock()
	x.asked <- a
}

// begin reports whether the answer to a is waited for, and returns the context to find it in.
func (x *executioner) begin(ctx context.Context, a Ask) (context.Context, bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.wanted != a.Serial {
		return nil, false
	}
	ctx, x.stop = context.WithCancel(ctx)
	return ctx, true
}

func (x *executioner) end() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.stop()
	x.stop = nil
}

func (x *executioner) run(ctx context.Context, send func(any)) {
	defer close(x.done)
	defer x.killer.Forget()
	shown := 0 // serial of what Kill would carry out
	for {
		select {
		case <-ctx.Done():
			return
		case a := <-x.asked:
			switch a := a.(type) {
			case Ask:
				if limited, ok := x.begin(ctx, a); ok {
					p := x.killer.Preview(limited, a.Keys, a.Query)
					x.end()
					p.Serial, shown = a.Serial, a.Serial
					send(p)
				}
			case Kill:
				if a.Serial == shown {
					send(x.killer.Kill(ctx))
				}
				shown = 0
			case Forget:
				x.killer.Forget()
				shown = 0
			}
		}
	}
}
