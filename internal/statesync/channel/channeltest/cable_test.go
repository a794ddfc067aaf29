//go:build linux

package channeltest_test

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/spoor-project/spoor/internal/statesync/channel/channeltest"
)

func TestCableConforms(t *testing.T) {
	channeltest.Run(t, func(t *testing.T) channeltest.Setup {
		c := channeltest.NewCable(1, channeltest.Weather{})
		var opened [2]bool
		return channeltest.Setup{
			Open: func(side int) channeltest.Transport {
				if !opened[side] {
					opened[side] = true
					return c.End(side)
				}
				return c.Reopen(side)
			},
			Inject: c.Inject,
		}
	})
}

// numbers sends datagrams with the numbers from 0 to n-1.
func numbers(c *channeltest.Cable, n int) {
	for i := range n {
		c.End(0).Send([]byte{byte(i)})
	}
}

// arrived takes what has arrived at the other end.
func arrived(c *channeltest.Cable) []byte { return bytes.Join(c.End(1).Take(), nil) }

func TestWeather(t *testing.T) {
	for _, tt := range []struct {
		name    string
		weather channeltest.Weather
		at      time.Duration // when to look
		want    []byte
	}{
		{"fine", channeltest.Weather{}, 0, []byte{0, 1, 2, 3}},
		{"everything lost", channeltest.Weather{Loss: 1}, time.Hour, nil},
		{"everything doubled", channeltest.Weather{Duplicate: 1}, 0, []byte{0, 0, 1, 1, 2, 2, 3, 3}},
		{"each second one overtakes", channeltest.Weather{Reorder: 1}, 0, []byte{1, 0, 3, 2}},
		{"not yet there", channeltest.Weather{Delay: time.Second}, time.Second - 1, nil},
		{"just there", channeltest.Weather{Delay: time.Second}, time.Second, []byte{0, 1, 2, 3}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := channeltest.NewCable(1, tt.weather)
			numbers(c, 4)
			c.Advance(tt.at)
			if got := arrived(c); !bytes.Equal(got, tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestLastDatagramWaitsToBeOvertakenUntilTheClockMoves(t *testing.T) {
	c := channeltest.NewCable(1, channeltest.Weather{Reorder: 1})
	numbers(c, 3)
	if got, want := arrived(c), []byte{1, 0}; !bytes.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	c.Advance(0)
	if got, want := arrived(c), []byte{2}; !bytes.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestSameSeedGivesTheSameDeliveries(t *testing.T) {
	bad := channeltest.Weather{Loss: 0.3, Duplicate: 0.2, Reorder: 0.2, Delay: time.Millisecond, Jitter: 5 * time.Millisecond}
	play := func(seed uint64) (log string) {
		c := channeltest.NewCable(seed, bad)
		for range 20 {
			numbers(c, 10)
			c.Advance(2 * time.Millisecond)
			log += fmt.Sprintln(c.Now(), arrived(c))
		}
		c.Advance(time.Second)
		return log + fmt.Sprintln(arrived(c))
	}
	if first, again := play(7), play(7); first != again {
		t.Errorf("got\n%s, then\n%s", first, again)
	}
	if play(7) == play(8) {
		t.Error("another seed gives the same")
	}
}

func TestCutCableCarriesNothing(t *testing.T) {
	c := channeltest.NewCable(1, channeltest.Weather{Delay: time.Second})
	numbers(c, 1)
	c.Cut(true)
	numbers(c, 5)
	c.Cut(false)
	numbers(c, 2)
	c.Advance(time.Second)
	if got, want := arrived(c), []byte{0, 0, 1}; !bytes.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestReopenedEndGetsWhatIsUnderWay(t *testing.T) {
	c := channeltest.NewCable(1, channeltest.Weather{})
	numbers(c, 1)
	c.SetWeather(channeltest.Weather{Delay: time.Second})
	numbers(c, 2)
	old := c.End(1)
	fresh := c.Reopen(1)
	c.Advance(time.Second)
	if got := old.Stats().ReceivedPackets; got != 1 {
		t.Errorf("the old end received %d datagrams, want 1", got)
	}
	if got, want := fresh.Take(), [][]byte{{0}, {1}}; !slices.EqualFunc(got, want, bytes.Equal) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestSplitFindsMessages(t *testing.T) {
	m := channeltest.Message(5, 0)
	for _, tt := range []struct {
		bytes []byte
		want  int
	}{
		{m, 5}, {m[:4], 0}, {m[:1], 0}, {append(slices.Clone(m), m[:3]...), 5}, {append(slices.Clone(m), m...), 10},
		{[]byte{0, 0, 9}, 3}, {append(slices.Clone(m), 0, 1, 7), 8},
	} {
		if got := channeltest.Split(tt.bytes); got != tt.want {
			t.Errorf("Split(%v) = %d, want %d", tt.bytes, got, tt.want)
		}
	}
}
