package snapshot

import (
	"errors"
	"fmt"
)

// ErrUnavailable is what errors of [Open] are (errors.Is): this kernel, or what the caller
// may do on it, does not allow for a snapshot. The text says what is missing.
var ErrUnavailable = errors.New("snapshot not available")

// Options says what [Open] opens. The zero value is the caller's network namespace,
// read by as many workers as Go uses processors.
type Options struct {
	// NetNS is the path of a network namespace; "" is the one of the thread that calls Open.
	// Entering another needs CAP_SYS_ADMIN.
	NetNS string
	// Workers is how many processors walk at once; 0 is as many as there are, at most 16.
	Workers int
}

func unavailable(what string, err error) error {
	return fmt.Errorf("%w: %s: %w", ErrUnavailable, what, err)
}
