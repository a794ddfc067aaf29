package guard

import (
	"net/netip"
	"time"
)

// Response is what is done against an offender.
type Response uint8

const (
	Block  Response = iota // an element of an nftables set, for a while
	Delete                 // the offender's flows
	Run                    // a command
	Post                   // an HTTP request with the finding
	numResponses
)

// String is the word that rules have for the response.
func (r Response) String() string {
	return [...]string{"block", "delete", "run", "post"}[min(r, numResponses-1)]
}

// Respond is a response as a rule asks for it.
type Respond struct {
	Do      Response
	For     time.Duration // Block; how long
	Command []string      // Run; a program and its arguments, without a shell
	URL     string        // Post
}

// Action is a response to a finding.
type Action struct {
	Respond
	Finding Finding
	// Held is why the brakes do not let it happen; "" if it shall.
	Held string
}

// Decision is what has been decided about an offender, as nodes of a pair tell each other.
type Decision struct {
	Offender netip.Addr
	Kind     Kind
	Node     string    // who decided
	Time     time.Time // when
	Until    time.Time // how long it stands
}
