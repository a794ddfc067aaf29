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
	// Finding has its offender as [Brakes] see it: an IPv4 address is one, without a zone. Of what another node has decided only kind, subject,
	// offender and time are known.
	Finding Finding
	Until   time.Time // Block: how long it stands
	By      string    // the node that decided; "" is this one
	// Held is why the brakes do not let it happen; "" if it shall.
	Held string
}

// NoKind is the kind of a [Decision] that was not made because of a finding, such as an address that somebody has put into the set by hand.
const NoKind Kind = 255

// Decision is what has been decided about an offender, as nodes of a pair tell each other.
type Decision struct {
	Offender netip.Addr // zero: nobody can be told
	Kind     Kind
	Subject  Subject   // with Kind it tells which finding is meant; zero: not known
	Node     string    // who decided
	Time     time.Time // when
	Until    time.Time // how long the offender is blocked; zero: it is not
}
