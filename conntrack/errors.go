package conntrack

import (
	"errors"
	"io/fs"
	"syscall"

	"github.com/spoor-project/spoor/internal/nfnetlink"
)

// The kinds of failure that a caller may want to tell apart, for [errors.Is].
var (
	ErrNotFound     = errors.New("no such entry")
	ErrExists       = errors.New("entry exists")
	ErrPermission   = errors.New("not permitted")
	ErrNotSupported = errors.New("not supported")
	ErrTableFull    = errors.New("table full")
	ErrInterrupted  = errors.New("listing interrupted by a change of the table's structure")
)

// OpError is a failed operation. It unwraps to the cause: a [syscall.Errno] when
// the kernel refused, or the context's error.
type OpError struct {
	Op  string // what was tried: "create flow"
	Err error
}

// Error returns "operation: cause", and what can be done about it where that is known.
func (e *OpError) Error() string {
	s := e.Op + ": " + e.Err.Error()
	if hint := e.hint(); hint != "" {
		s += " (" + hint + ")"
	}
	return s
}

// Unwrap returns the cause.
func (e *OpError) Unwrap() error { return e.Err }

// sentinels maps the kernel's answers to the kinds above and to those of io/fs.
var sentinels = map[syscall.Errno][]error{
	syscall.ENOENT:     {ErrNotFound, fs.ErrNotExist},
	syscall.EEXIST:     {ErrExists, fs.ErrExist},
	syscall.EPERM:      {ErrPermission, fs.ErrPermission},
	syscall.EACCES:     {ErrPermission, fs.ErrPermission},
	syscall.EOPNOTSUPP: {ErrNotSupported, errors.ErrUnsupported},
	syscall.ENOMEM:     {ErrTableFull},
	syscall.EINTR:      {ErrInterrupted},
}

// bareRequest are the operations whose request has no attribute that could be invalid.
var bareRequest = map[string]bool{opListHelpers: true, opFlushHelpers: true, opListTimeouts: true, opFlushTimeouts: true}

// noSubsystem reports whether the kernel does not know the subsystem that was asked: it
// says EINVAL then, without a word.
func (e *OpError) noSubsystem() bool {
	var refused *nfnetlink.Error
	return bareRequest[e.Op] && errors.As(e.Err, &refused) && refused.Errno == syscall.EINVAL && refused.Text == ""
}

// Is reports whether the kernel's answer is of the kind target.
func (e *OpError) Is(target error) bool {
	if target == ErrNotSupported && (errors.Is(e.Err, errors.ErrUnsupported) || e.noSubsystem()) {
		return true
	}
	var errno syscall.Errno
	if !errors.As(e.Err, &errno) {
		return false
	}
	for _, kind := range sentinels[errno] {
		if kind == target {
			return true
		}
	}
	return false
}

// hint is advice for a person. The kernel explains only malformed attributes by
// itself.
func (e *OpError) hint() string {
	var refused *nfnetlink.Error
	switch {
	case errors.Is(e.Err, syscall.EPERM) && e.Op == opDial:
		return "entering another network namespace needs CAP_SYS_ADMIN; try sudo"
	case errors.Is(e.Err, syscall.EPERM):
		return "needs CAP_NET_ADMIN in this network namespace; try sudo"
	case errors.Is(e.Err, syscall.EPROTONOSUPPORT):
		return "this kernel has no netfilter netlink; try: modprobe nf_conntrack_netlink"
	case e.noSubsystem() && (e.Op == opListTimeouts || e.Op == opFlushTimeouts):
		return "this kernel has no timeout policies; try: modprobe nfnetlink_cttimeout"
	case e.noSubsystem():
		return "this kernel has no user-space helpers; try: modprobe nfnetlink_cthelper"
	case errors.Is(e.Err, syscall.ENOMEM) && e.Op == opPutHelper:
		return ""
	case errors.Is(e.Err, syscall.ENOMEM):
		return "the table is full: compare net.netfilter.nf_conntrack_count with nf_conntrack_max"
	case errors.Is(e.Err, syscall.ENOSPC) && e.Op == opCreate:
		return "too many entries for the hash table: raise net.netfilter.nf_conntrack_buckets"
	case errors.Is(e.Err, syscall.ENOSPC):
		return "no rule in this namespace used labels when the entry was made"
	case errors.Is(e.Err, syscall.EINVAL) && errors.As(e.Err, &refused) && refused.Text == "" && e.Op == opStats:
		return "is the module nf_conntrack_netlink there?"
	}
	return ""
}

// isNotFound is errors.Is(err, ErrNotFound) for the errors of a batch.
func isNotFound(err error) bool { return err != nil && errors.Is(err, ErrNotFound) }

// wrap makes an OpError of a cause; nil stays nil.
func wrap(op string, err error) error {
	if err == nil {
		return nil
	}
	return &OpError{Op: op, Err: err}
}
