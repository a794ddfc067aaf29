package agent

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os/exec"
	"slices"
	"time"

	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/config"
	"github.com/spoor-project/spoor/internal/recording"
	"github.com/spoor-project/spoor/internal/render"
)

// onTheWay is how long a change may take from a node's kernel to the cache of the other, generously.
const onTheWay = 2 * time.Second

// VerifyPeer compares the table of the other node's kernel with the external cache of the daemon that runs with cfg, writes the differences to out, and reports
// whether there are none. command lists that table, on whatever way leads there: ssh other conntrack -L -o jsonl. Flows begin and end
// while it does, so where it differs it is run once more, and only what differs both times is told.
func VerifyPeer(ctx context.Context, cfg *config.Config, command []string, out io.Writer) (same bool, err error) {
	if cfg.Sync == nil || cfg.Sync.DisableExternalCache {
		return false, errors.New("cannot verify: there is no external cache that the other node's table could be compared with")
	}
	v := &peerComparison{cfg: cfg, wanted: newFilter(cfg.General.Filter), command: command}
	missing, stale, err := v.compare(ctx)
	if err != nil {
		return false, err
	}
	if len(missing)+len(stale) > 0 {
		select {
		case <-time.After(onTheWay):
		case <-ctx.Done():
			return false, ctx.Err()
		}
		missingStill, staleStill, err := v.compare(ctx)
		if err != nil {
			return false, err
		}
		keepCommon(missing, missingStill)
		keepCommon(stale, staleStill)
	}
	r := &report{printer: render.NewPrinter(render.Flows, nil)}
	r.differences("only in the other node's table: ", missing)
	r.differences("only in the external cache: ", stale)
	r.line("the other node's table and the external cache: %d flows compared", v.compared)
	if same = r.found == 0; same {
		r.line("in step")
	} else {
		r.line("%d differences", r.found)
	}
	_, err = out.Write(r.text)
	return same, err
}

func keepCommon(all, still map[flow.Key]flow.Flow) {
	maps.DeleteFunc(all, func(k flow.Key, _ flow.Flow) bool { _, ok := still[k]; return !ok })
}

// differences tells of flows in the order of their addresses.
func (r *report) differences(what string, flows map[flow.Key]flow.Flow) {
	r.shown = 0
	for _, k := range slices.SortedFunc(maps.Keys(flows), byAddress) {
		f := flows[k]
		r.difference(what, &f)
	}
}

func byAddress(a, b flow.Key) int {
	return cmp.Or(cmp.Compare(a.Zone, b.Zone), cmp.Compare(a.Family, b.Family), cmp.Compare(a.Proto, b.Proto),
		bytes.Compare(a.Src[:], b.Src[:]), cmp.Compare(a.SrcPort, b.SrcPort),
		bytes.Compare(a.Dst[:], b.Dst[:]), cmp.Compare(a.DstPort, b.DstPort), cmp.Compare(a.TupleZone, b.TupleZone))
}

type peerComparison struct {
	cfg      *config.Config
	wanted   *filter
	command  []string
	compared int
}

// compare returns the flows that only the other node has, and those that only the external cache has.
func (v *peerComparison) compare(ctx context.Context) (missing, stale map[flow.Key]flow.Flow, err error) {
	missing, stale = make(map[flow.Key]flow.Flow), make(map[flow.Key]flow.Flow)
	if err := v.list(ctx, missing); err != nil {
		return nil, nil, err
	}
	v.compared = len(missing)
	read, write := io.Pipe()
	go func() { write.CloseWithError(Ask(v.cfg.General.UNIXPath, DumpExternalJSON, write)) }()
	defer read.Close()
	err = eachRecord(read, func(f *flow.Flow) {
		k := f.Key()
		if _, there := missing[k]; there {
			delete(missing, k)
		} else {
			stale[k] = *withoutReply(f)
		}
	})
	if err != nil {
		err = fmt.Errorf("ask the daemon for its external cache: %w", err)
	}
	return missing, stale, err
}

// list runs the command that lists the other node's table, of which it keeps what the daemons are about.
func (v *peerComparison) list(ctx context.Context, into map[flow.Key]flow.Flow) error {
	cmd := exec.CommandContext(ctx, v.command[0], v.command[1:]...)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("list the other node's table: %w", err)
	}
	bad := eachRecord(out, func(f *flow.Flow) {
		if v.wanted.passes(f, flow.Update) {
			into[f.Key()] = *f
		}
	})
	if bad != nil {
		io.Copy(io.Discard, out) // or it would wait for a reader
	}
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("list the other node's table: %s: %w\n%s", v.command[0], err, bytes.TrimSpace(errs.Bytes()))
	}
	if bad != nil {
		return fmt.Errorf("list the other node's table: %s has not written what conntrack -L -o jsonl does: %w", v.command[0], bad)
	}
	return nil
}

// eachRecord visits the flows of a list.
func eachRecord(r io.Reader, visit func(*flow.Flow)) error {
	for in := recording.NewReader(r); ; {
		rec, err := in.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		visit(&rec.Event.Flow)
	}
}
