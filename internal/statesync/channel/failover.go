package channel

import "slices"

// LinkState is the state of a device as conntrackd shows it. The zero value is that of a
// device which does not exist, too.
type LinkState uint8

const (
	Down      LinkState = iota // not IFF_UP
	NoCarrier                  // IFF_UP but not IFF_RUNNING
	Running                    // both
)

func (s LinkState) String() string {
	switch s {
	case Running:
		return "RUNNING"
	case NoCarrier:
		return "NO-CARRIER"
	default:
		return "DOWN"
	}
}

// Verdict is what news about a device led to.
type Verdict uint8

const (
	Kept     Verdict = iota // the current channel's device is fine, or the news was of no use
	Switched                // another channel is current
	NoneLeft                // the current channel's device is not fine, and nor is any other
)

// Failover decides which of several channels is used for sending. It is a value without
// sockets, clock and goroutines, driven by two things:
//
//	news about any device ──▶ is the current channel's device running?
//	                          no: the first channel on another device that is, otherwise
//	                          the first on another device that is up, becomes current
//	an accepted message   ──▶ the channel it came on becomes current
//
// Nothing leads back to the channel it began with: the two nodes follow each other.
type Failover struct {
	devices []string    // by channel
	states  []LinkState // of the devices
	current int
}

// NewFailover begins with the channel current. The devices are those of the channels, in
// the order of the configuration, and at first taken to be down; tell their states
// with Seen.
func NewFailover(devices []string, current int) *Failover {
	return &Failover{devices: slices.Clone(devices), states: make([]LinkState, len(devices)), current: current}
}

// Current is the channel to send on.
func (f *Failover) Current() int { return f.current }

// State is the state of the channel's device.
func (f *Failover) State(channel int) LinkState { return f.states[channel] }

// Seen notes the state of a device without deciding anything.
func (f *Failover) Seen(device string, state LinkState) {
	for i, d := range f.devices {
		if d == device {
			f.states[i] = state
		}
	}
}

// Link is for news about a device, also one that no channel uses: as in conntrackd, every
// piece of news makes it look at the current channel.
func (f *Failover) Link(device string, state LinkState) Verdict {
	f.Seen(device, state)
	if f.states[f.current] == Running {
		return Kept
	}
	// conntrackd takes the first that is up. One without carrier is of use only if none
	// has one: its cable may be plugged in soon, and it may be the carrier's report that
	// is wrong.
	for _, wanted := range []LinkState{Running, NoCarrier} {
		for i, d := range f.devices {
			if d != f.devices[f.current] && f.states[i] == wanted {
				f.current = i
				return Switched
			}
		}
	}
	return NoneLeft
}

// Accepted is for a message that came on the channel and was understood: the peer sends
// there, so it can be heard there.
func (f *Failover) Accepted(channel int) { f.current = channel }
