//go:build linux

package conntrack

import (
	"maps"
	"slices"
	"syscall"
	"time"

	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/nfnetlink"
	"github.com/spoor-project/spoor/internal/nfnetlink/nfnetlinktest"
)

// timeoutKernel keeps timeout policies for examples, of the protocols it has defaults of.
type timeoutKernel struct {
	all      []TimeoutPolicy
	defaults map[flow.Proto]Timeouts
}

func newTimeoutKernel() *timeoutKernel {
	return &timeoutKernel{defaults: map[flow.Proto]Timeouts{
		flow.UDP: {UDPTimeoutUnreplied: 30 * time.Second, UDPTimeoutReplied: 2 * time.Minute},
	}}
}

func (k *timeoutKernel) handle(r *nfnetlinktest.Request) [][]byte {
	asked, err := decodeTimeoutPolicy(&r.Message, false)
	if err != nil {
		return [][]byte{r.Error(syscall.EINVAL)}
	}
	_, named := attrsOf(r.Attrs())[ctaTimeoutName]
	at := slices.IndexFunc(k.all, func(p TimeoutPolicy) bool { return p.Name == asked.Name })
	defaults, ok := k.defaults[asked.Proto]
	switch kind := r.Kind(); {
	case kind == msgTimeoutGet && r.Flags&nfnetlink.Dump == nfnetlink.Dump:
		var bodies []nfnetlinktest.Body
		for i := range k.all {
			bodies = append(bodies, policyBody(&k.all[i], true))
		}
		return r.Multipart(msgTimeoutNew, 2, bodies...)
	case kind == msgTimeoutDelete && !named:
		k.all = nil
		return r.Acked()
	case (kind == msgTimeoutGet || kind == msgTimeoutDelete) && at < 0:
		return [][]byte{r.Error(syscall.ENOENT)}
	case kind == msgTimeoutGet:
		return r.Acked(r.Data(msgTimeoutNew, 0, policyBody(&k.all[at], true)))
	case kind == msgTimeoutDelete:
		k.all = slices.Delete(k.all, at, at+1)
	case !ok:
		return [][]byte{r.Error(syscall.EOPNOTSUPP)}
	case kind == msgTimeoutDefaultGet:
		asked.Timeouts = defaults
		return r.Acked(r.Data(msgTimeoutDefaultSet, 0, policyBody(&asked, false)))
	case asked.Timeouts == nil:
		return [][]byte{r.Error(syscall.EINVAL)}
	case kind == msgTimeoutDefaultSet:
		maps.Copy(defaults, asked.Timeouts)
	case at >= 0 && r.Flags&nfnetlink.Replace == 0:
		return [][]byte{r.Error(syscall.EEXIST)}
	default: // make or change one
		given := asked.Timeouts
		asked.Timeouts, asked.Use = maps.Clone(defaults), 1
		maps.Copy(asked.Timeouts, given)
		if at < 0 {
			k.all = append(k.all, asked)
		} else {
			k.all[at] = asked
		}
	}
	return r.Acked()
}
