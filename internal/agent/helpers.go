package agent

import (
	"context"
	"errors"
	"slices"
	"syscall"

	"github.com/spoor-project/spoor/conntrack"
	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/config"
	"github.com/spoor-project/spoor/internal/cthelper"
	"github.com/spoor-project/spoor/internal/statesync"
)

// HelperError is a user-space helper that cannot be started.
type HelperError struct {
	// Advice is what could be done about it, "" if that is not known.
	Advice string
	Err    error
}

func (e *HelperError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *HelperError) Unwrap() error { return e.Err }

// openHelpers starts what the section Helper asks for.
func (d *Daemon) openHelpers() (err error) {
	cfg := d.cfg.Load()
	if len(cfg.Helpers) == 0 {
		return nil
	}
	d.helpers, err = cthelper.Open(&cthelper.Options{
		Instances: helperInstances(cfg), Register: cfg.HelperSetup, Kernel: d.kernel.client, Log: helperLog{d.log}})
	if err != nil {
		return &HelperError{d.helperAdvice(err), err}
	}
	return nil
}

func helperInstances(cfg *config.Config) (all []cthelper.Instance) {
	for _, h := range slices.Backward(cfg.Helpers) { // the order in which conntrackd starts them
		in := cthelper.Instance{Name: h.Name, Family: flow.IPv4, Transport: flow.Proto(h.Proto), Queue: h.QueueNum, QueueLen: h.QueueLen,
			ExpectMax: h.ExpectMax, ExpectTimeout: h.ExpectTimeout}
		if h.Inet6 {
			in.Family = flow.IPv6
		}
		all = append(all, in)
	}
	return all
}

// helperAdvice tells apart what the kernel has only few numbers for.
func (d *Daemon) helperAdvice(err error) string {
	var refused *cthelper.RegisterError
	switch {
	case errors.As(err, &refused):
		for _, err := range d.kernel.client.Helpers(context.Background()) {
			if errors.Is(err, conntrack.ErrNotSupported) {
				return "this kernel has no user-space helpers: it needs CONFIG_NF_CT_NETLINK_HELPER, try modprobe nfnetlink_cthelper"
			}
		}
		switch {
		case errors.Is(err, syscall.EINVAL) && !d.cfg.Load().HelperSetup:
			return "the kernel does not know this helper: write Setup on, or use nfct add helper"
		case errors.Is(err, syscall.EEXIST), errors.Is(err, syscall.EBUSY):
			return "the kernel has a helper of this name: unload its module, nf_conntrack_" + refused.Name + " for most"
		case errors.Is(err, syscall.EPERM):
			return "CAP_NET_ADMIN is needed in the initial user namespace"
		}
	case errors.Is(err, cthelper.ErrQueueConfig) && errors.Is(err, syscall.EOPNOTSUPP):
		return "this kernel does not queue packets together with their connections: it needs CONFIG_NETFILTER_NETLINK_GLUE_CT"
	case errors.Is(err, cthelper.ErrQueueBind) && errors.Is(err, syscall.EPERM):
		return "another program or another helper has this queue, or CAP_NET_ADMIN is missing"
	}
	return ""
}

// helperLog is the daemon's log, for helpers.
type helperLog struct{ log *Log }

func (l helperLog) Notice(format string, args ...any) {
	l.log.Printf(statesync.Notice, format, args...)
}
func (l helperLog) Error(format string, args ...any) { l.log.Printf(statesync.Error, format, args...) }
