package conntrack

import "github.com/spoor-project/spoor/internal/nfnetlink"

// OptionsWith is Options that open sockets with dial.
func OptionsWith(dial func(*nfnetlink.Options) (*nfnetlink.Conn, error)) *Options {
	return &Options{dial: dial}
}

// Messages are those that the batch holds.
func (b *Batch) Messages() []byte { return b.msgs.Bytes() }

// KernelIsAtLeast reports whether the running kernel is of that version or younger.
func KernelIsAtLeast(major, minor int) bool { return kernelVersion().atLeast(major, minor) }
