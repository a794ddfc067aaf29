package flow

// EventType is what happened to the table.
type EventType uint8

const (
	New     EventType = iota + 1 // an entry was added
	Update                       // an entry changed
	Destroy                      // an entry was removed
	Lost                         // the kernel dropped events here; only a dump tells what is true now
)

// String returns "NEW", "UPDATE", "DESTROY" or "LOST".
func (t EventType) String() string {
	switch t {
	case New:
		return "NEW"
	case Update:
		return "UPDATE"
	case Destroy:
		return "DESTROY"
	case Lost:
		return "LOST"
	}
	return "NONE"
}

// Event is a change of the connection tracking table, in the order the kernel
// reported it.
type Event struct {
	Type EventType
	Flow Flow // zero for Lost

	// PortID is the netlink port of the socket that asked for the change, 0 if
	// the kernel made it by itself.
	PortID uint32
	// Time is the kernel's time stamp of the event, 0 if it gave none
	// (Linux 6.14 and nf_conntrack_timestamp=1).
	Time Timestamp
	// Dropped is for Lost alone: how many events were lost, 0 if that is not known.
	Dropped uint64
}
