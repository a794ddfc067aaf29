package channel_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/spoor-project/spoor/internal/statesync/channel"
)

// A play is a line of steps, each a piece of news "eth0=RUNNING" or an accepted message
// "heard 1", and what comes of it: the verdict if there is one, and the current channel.
func TestFailover(t *testing.T) {
	for _, tt := range []struct {
		name    string
		devices string
		up      string // devices that run at first
		first   int
		play    string
	}{
		{"a running device is kept whatever the others do", "eth0 eth1", "eth0 eth1", 0,
			"eth1=DOWN kept 0, eth1=RUNNING kept 0, eth9=DOWN kept 0"},
		{"a device that loses its carrier or is set down is left", "eth0 eth1", "eth0 eth1", 0,
			"eth0=NO-CARRIER switched 1, eth1=DOWN switched 0"},
		{"nothing leads back", "eth0 eth1", "eth0 eth1", 0,
			"eth0=DOWN switched 1, eth0=RUNNING kept 1"},
		{"the first in order is taken", "eth0 eth1 eth2 eth3", "eth0 eth1 eth2 eth3", 2,
			"eth2=DOWN switched 0, eth0=DOWN switched 1, eth1=DOWN switched 3"},
		{"one that is only up serves if none runs", "eth0 eth1 eth2", "eth0", 0,
			"eth2=NO-CARRIER kept 0, eth0=DOWN switched 2"},
		{"one that runs is better than one that is only up", "eth0 eth1 eth2", "eth0 eth2", 0,
			"eth1=NO-CARRIER kept 0, eth0=DOWN switched 2"},
		{"another channel on the same device is no help", "eth0 eth0 eth1", "eth0 eth1", 0,
			"eth0=DOWN switched 2, eth1=DOWN none-left 2, eth0=RUNNING switched 0"},
		{"every piece of news repeats that none is left", "eth0 eth1", "", 0,
			"eth0=DOWN none-left 0, eth9=RUNNING none-left 0, eth1=DOWN none-left 0, eth1=RUNNING switched 1"},
		{"any news makes it look", "eth0 eth1", "eth1", 0,
			"lo=RUNNING switched 1"},
		{"the only channel", "eth0", "eth0", 0,
			"eth0=NO-CARRIER none-left 0, eth0=RUNNING kept 0"},
		{"the peer is followed", "eth0 eth1", "eth0 eth1", 0,
			"heard 1 1, eth0=DOWN kept 1, heard 0 0"},
		{"the peer is followed where no link seems to be, until the next news", "eth0 eth1", "eth0", 0,
			"heard 1 1, eth9=DOWN switched 0"},
		{"without carrier both are tried in turn", "eth0 eth1", "", 0,
			"eth1=NO-CARRIER switched 1, eth0=NO-CARRIER switched 0, lo=RUNNING switched 1, eth0=RUNNING switched 0"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := channel.NewFailover(strings.Fields(tt.devices), tt.first)
			for _, d := range strings.Fields(tt.up) {
				f.Seen(d, channel.Running)
			}
			if f.Current() != tt.first {
				t.Fatalf("begins with %d, want %d", f.Current(), tt.first)
			}
			verdicts := map[channel.Verdict]string{channel.Kept: "kept", channel.Switched: "switched", channel.NoneLeft: "none-left"}
			states := map[string]channel.LinkState{"DOWN": channel.Down, "NO-CARRIER": channel.NoCarrier, "RUNNING": channel.Running}
			for step := range strings.SplitSeq(tt.play, ", ") {
				word := strings.Fields(step)
				got := ""
				if word[0] == "heard" {
					var i int
					fmt.Sscan(word[1], &i)
					f.Accepted(i)
					got = fmt.Sprintf("heard %d %d", i, f.Current())
				} else {
					device, state, _ := strings.Cut(word[0], "=")
					got = fmt.Sprintf("%s %s %d", word[0], verdicts[f.Link(device, states[state])], f.Current())
				}
				if got != step {
					t.Fatalf("got %q, want %q", got, step)
				}
			}
		})
	}
}

func TestFailoverRemembersStates(t *testing.T) {
	f := channel.NewFailover([]string{"eth0", "eth1", "eth0"}, 1)
	f.Seen("eth0", channel.NoCarrier)
	f.Link("eth1", channel.Running)
	got := fmt.Sprint(f.State(0), f.State(1), f.State(2))
	if want := "NO-CARRIER RUNNING NO-CARRIER"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
