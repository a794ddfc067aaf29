//go:build linux

package conntrack

import (
	"context"
	"errors"
	"iter"
	"os"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/spoor-project/spoor/filter"
	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/nfnetlink"
	"github.com/spoor-project/spoor/internal/nfnetlink/nfnetlinktest"
)

// anything selects all flows in a way that the kernel cannot check.
var anything = &filter.Filter{NAT: []filter.NAT{}, Orig: filter.Side{Proto: new(flow.UDP)}}

// dumps are the streams that end by themselves; the function called for each item
// says whether to go on.
var dumps = map[string]func(context.Context, *Client, func(error) bool){
	"Flows":        func(ctx context.Context, c *Client, each func(error) bool) { drain(c.Flows(ctx, nil), each) },
	"FlowsAndZero": func(ctx context.Context, c *Client, each func(error) bool) { drain(c.FlowsAndZero(ctx, nil), each) },
	"FlowsAndZero one by one": func(ctx context.Context, c *Client, each func(error) bool) {
		drain(c.FlowsAndZero(ctx, anything), each)
	},
	"DeleteFlows": func(ctx context.Context, c *Client, each func(error) bool) { drain(c.DeleteFlows(ctx, nil), each) },
	"Dying":       func(ctx context.Context, c *Client, each func(error) bool) { drain(c.Dying(ctx, nil), each) },
	"Unconfirmed": func(ctx context.Context, c *Client, each func(error) bool) { drain(c.Unconfirmed(ctx, nil), each) },
	"Expects": func(ctx context.Context, c *Client, each func(error) bool) {
		drain(c.Expects(ctx, flow.AnyFamily), each)
	},
}

func drain[T any](seq iter.Seq2[T, error], each func(error) bool) {
	for _, err := range seq {
		if !each(err) {
			break
		}
	}
}

// table is a kernel with n entries, which fit as expectations too: it answers a dump
// with them and then with end, and carries out everything else.
func table(n int, end func(*nfnetlinktest.Request) []byte) nfnetlinktest.Handler {
	bodies := make([]nfnetlinktest.Body, n)
	for i := range bodies {
		tuple := numbered(i)
		bodies[i] = body(func(b *nfnetlink.Builder) {
			appendTuple(b, ctaTupleOrig, &tuple)
			appendTuple(b, ctaExpectTuple, &tuple)
		})
	}
	return func(r *nfnetlinktest.Request) [][]byte {
		switch {
		case r.Kind() == msgDelete || r.Kind() == msgNew:
			return r.Acked()
		case r.Flags&nfnetlink.Dump == 0:
			return r.Acked(r.Data(msgNew, 0, bodies[0]))
		}
		answer := r.Multipart(msgNew, 20, bodies...)
		answer = answer[:len(answer)-1]
		if last := end(r); last != nil {
			answer = append(answer, last)
		}
		return answer
	}
}

func done(r *nfnetlinktest.Request) []byte { return r.Done(0) }

func TestAStreamEndsWithItsFirstError(t *testing.T) {
	tests := []struct {
		name    string
		entries int
		end     func(*nfnetlinktest.Request) []byte
		want    error // nil: none
	}{
		{"empty", 0, done, nil},
		{"whole", 100, done, nil},
		{"refused", 0, func(r *nfnetlinktest.Request) []byte { return r.Error(syscall.EINVAL) }, syscall.EINVAL},
		{"broken off", 100, func(r *nfnetlinktest.Request) []byte { return r.Done(syscall.ENOBUFS) }, syscall.ENOBUFS},
		{"no tuple", 100, func(r *nfnetlinktest.Request) []byte {
			return append(r.Data(msgNew, 0, body(nil)), r.Done(0)...)
		}, nfnetlink.ErrMalformed},
		{"cut off", 100, func(r *nfnetlinktest.Request) []byte { return r.Done(0)[:15] }, nfnetlink.ErrMalformed},
		{"interrupted", 100, func(r *nfnetlinktest.Request) []byte {
			tuple := numbered(100)
			return append(r.Data(msgNew, nfnetlink.DumpIntr, body(func(b *nfnetlink.Builder) {
				appendTuple(b, ctaTupleOrig, &tuple)
				appendTuple(b, ctaExpectTuple, &tuple)
			})), r.Done(0)...)
		}, ErrInterrupted},
		{"interrupted at the end", 100, func(r *nfnetlinktest.Request) []byte {
			return nfnetlinktest.Message(3, nfnetlink.DumpIntr, r.Seq, 0, nfnetlinktest.Body{0, 0, 0, 0})
		}, ErrInterrupted},
	}
	for stream, run := range dumps {
		for _, tt := range tests {
			c := fakeClient(t, table(tt.entries, tt.end))
			items, errs := 0, 0
			var last error
			run(t.Context(), c, func(err error) bool {
				if last != nil {
					t.Errorf("%s, %s: an item behind the error %v", stream, tt.name, last)
				}
				if last = err; err != nil {
					errs++
				} else {
					items++
				}
				return true
			})
			if items < tt.entries || !errors.Is(last, tt.want) || errs > 1 || (tt.want == nil) != (errs == 0) {
				t.Errorf("%s, %s: %d items, %d errors, the last %v; want %d and %v", stream, tt.name, items, errs, last, tt.entries, tt.want)
			}
		}
	}
}

func TestAnswersToOthersAreSkipped(t *testing.T) {
	kernel := table(3, done)
	c := fakeClient(t, func(r *nfnetlinktest.Request) (answers [][]byte) {
		stale := *r
		for _, seq := range []uint32{0, r.Seq + 1000, 1<<32 - 1} {
			stale.Seq = seq
			answers = append(answers, stale.Data(msgNew, nfnetlink.DumpIntr, body(nil)), stale.Error(syscall.EBUSY), stale.Done(0))
		}
		return append(answers, kernel(r)...)
	})
	for stream, run := range dumps {
		items := 0
		run(t.Context(), c, func(err error) bool {
			if err != nil {
				t.Errorf("%s: %v", stream, err)
			}
			items++
			return true
		})
		if items != 3 {
			t.Errorf("%s: %d items, want 3", stream, items)
		}
	}
	for op, do := range operations {
		if err := do(t.Context(), c); err != nil && op != opStats {
			t.Errorf("%s: %v", op, err)
		}
	}
}

func TestLeavingAStreamReleasesEverything(t *testing.T) {
	for stream, run := range dumps {
		t.Run(stream, func(t *testing.T) {
			c := fakeClient(t, table(3000, done)) // more than is read ahead
			noLeaks(t)
			for leaveAfter := range 5 {
				items := 0
				run(t.Context(), c, func(err error) bool {
					if err != nil {
						t.Error(err)
					}
					items++
					return items <= leaveAfter
				})
				if items != leaveAfter+1 {
					t.Errorf("the loop went on: %d items, left at %d", items, leaveAfter+1)
				}
			}
			// Other ways out.
			func() {
				defer func() { recover() }()
				run(t.Context(), c, func(error) bool { panic("in the loop body") })
			}()
			var wg sync.WaitGroup
			wg.Go(func() {
				run(t.Context(), c, func(error) bool { runtime.Goexit(); return true })
			})
			wg.Wait()
		})
	}
}

// A refusal that would meet every flow is not met by hundreds of them.
func TestRemovalEndsAtARefusal(t *testing.T) {
	entries := table(1000, done)
	for _, refused := range []int{0, 1, 5, 999} {
		var sent recorder
		c := fakeClient(t, sent.handle(func(r *nfnetlinktest.Request) [][]byte {
			a := r.Attrs()
			if r.Kind() == msgDelete && a.Next() && decodeTuple(a.Nested()) == numbered(refused) {
				return [][]byte{r.Error(syscall.EPERM)}
			}
			return entries(r)
		}))
		i := 0
		for f, err := range c.DeleteFlows(t.Context(), nil) {
			switch {
			case i < refused && (err != nil || f.Orig != numbered(i)):
				t.Errorf("flow %d: %v, %v", i, f.Orig.Src, err)
			case i == refused && !errors.Is(err, ErrPermission):
				t.Errorf("refused: %v, want %v", err, ErrPermission)
			case i > refused:
				t.Errorf("goes on behind the refusal: %v, %v", f.Orig.Src, err)
			}
			i++
		}
		if n := len(sent.take()) - 1; i != refused+1 || n > 2*refused+1 {
			t.Errorf("refused at %d: %d items, %d removals", refused, i, n)
		}
	}
}

func TestCancellationUnblocksADump(t *testing.T) {
	stuck := func(*nfnetlinktest.Request) []byte { return nil } // sends no end
	for stream, run := range dumps {
		t.Run(stream, func(t *testing.T) {
			c := fakeClient(t, table(10, stuck))
			noLeaks(t)
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
			defer cancel()
			var last error
			run(ctx, c, func(err error) bool { last = err; return true })
			if !errors.Is(last, context.DeadlineExceeded) {
				t.Errorf("got %v, want %v", last, context.DeadlineExceeded)
			}
		})
	}
}

func TestACancelledCommandLeavesTheClientUsable(t *testing.T) {
	noLeaks(t)
	release := make(chan bool)
	c := fakeClient(t, func(r *nfnetlinktest.Request) [][]byte {
		// Late answers of the first request must not pass for those of the second.
		if a := r.Attrs(); r.Kind() == msgGet && <-release && a.Next() {
			return [][]byte{r.Error(syscall.EBUSY)}
		}
		return r.Acked()
	})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := c.Get(ctx, someTuple, 0); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want %v", err, context.DeadlineExceeded)
	}
	release <- true
	if err := c.Delete(t.Context(), &flow.Flow{Orig: someTuple}); err != nil {
		t.Errorf("the next command: %v", err)
	}
	c.Close()
}

func TestTheLoopBodyMayUseTheClient(t *testing.T) {
	c := fakeClient(t, table(50, done))
	n := 0
	for f, err := range c.Flows(t.Context(), nil) {
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Delete(t.Context(), &f); err != nil {
			t.Fatal(err)
		}
		for _, err := range c.Expects(t.Context(), flow.AnyFamily) {
			if err != nil {
				t.Fatal(err)
			}
			n++
		}
	}
	if n != 50*50 {
		t.Errorf("%d expectations, want 2500", n)
	}
}

func TestAClientMayBeUsedByManyAndClosedMeanwhile(t *testing.T) {
	noLeaks(t)
	c := fakeClient(t, table(100, done))
	var wg sync.WaitGroup
	for _, do := range operations {
		wg.Go(func() {
			for range 20 {
				if err := do(t.Context(), c); errors.Is(err, os.ErrClosed) {
					return
				}
			}
		})
	}
	time.Sleep(5 * time.Millisecond)
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	wg.Wait()
}
