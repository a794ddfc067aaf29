package nfctcli

import (
	"context"
	"errors"
	"syscall"
	"time"

	"github.com/spoor-project/spoor/conntrack"
	"github.com/spoor-project/spoor/flow"
)

// helper is a row of the table of helpers that can be registered: each has one class of
// expectations, of its own name.
type helper struct {
	name    string
	protos  []flow.Proto
	expects uint32        // at a time, per flow
	timeout time.Duration // of an expectation
	private uint32        // bytes per flow
}

var helperTable = [...]helper{
	{"amanda", []flow.Proto{flow.UDP}, 3, 180 * time.Second, 0},
	{"dhcpv6", []flow.Proto{flow.UDP}, 1, 300 * time.Second, 0},
	{"ftp", []flow.Proto{flow.TCP}, 1, 300 * time.Second, 24},
	{"mdns", []flow.Proto{flow.UDP}, 8, 30 * time.Second, 0},
	{"rpc", []flow.Proto{flow.TCP, flow.UDP}, 1, 300 * time.Second, 16},
	{"sane", []flow.Proto{flow.TCP}, 1, 300 * time.Second, 4},
	{"slp", []flow.Proto{flow.UDP}, 8, 16 * time.Second, 0},
	{"ssdp", []flow.Proto{flow.TCP, flow.UDP}, 8, 300 * time.Second, 0},
	{"tftp", []flow.Proto{flow.UDP}, 1, 300 * time.Second, 0},
	{"tns", []flow.Proto{flow.TCP}, 1, 300 * time.Second, 1},
}

func (x *executor) listHelpers(args []string) error {
	if len(args) > 0 {
		return x.fail(tooMany)
	}
	var list [][]byte
	for h, err := range x.kernel.Helpers(context.Background()) {
		if err != nil {
			return refused(err)
		}
		if x.json {
			list = append(list, appendHelperJSON(nil, &h))
		} else {
			x.out = appendHelper(x.out, &h)
		}
	}
	if x.json {
		x.out = appendArray(x.out, list)
	}
	return nil
}

func (x *executor) getHelper(args []string) error {
	key, err := x.selection(args)
	if err != nil {
		return err
	}
	h, err := x.kernel.GetHelper(context.Background(), key)
	if errors.Is(err, conntrack.ErrNotFound) && !errors.Is(err, syscall.ENOENT) {
		if !x.json {
			return nil // the kernel does not call it an error, so the original prints nothing
		}
		err = syscall.ENOENT
	}
	if err != nil {
		return refused(err)
	}
	if x.json {
		x.out = append(appendHelperJSON(x.out, &h), '\n')
	} else {
		x.out = appendHelper(x.out, &h)
	}
	return nil
}

func (x *executor) deleteHelper(args []string) error {
	key, err := x.selection(args)
	if err != nil {
		return err
	}
	return refused(x.kernel.DeleteHelper(context.Background(), key))
}

func (x *executor) flushHelpers(args []string) error {
	if len(args) > 0 {
		return x.fail(tooMany)
	}
	return refused(x.kernel.FlushHelpers(context.Background()))
}

func (x *executor) addHelper(args []string) error {
	key, row, err := x.known(args, "add helper name family protocol")
	if err != nil {
		return err
	}
	err = x.kernel.PutHelper(context.Background(), key, conntrack.HelperChange{
		PrivateLen: &row.private,
		Classes:    []conntrack.HelperClass{{Name: row.name, MaxExpects: row.expects, Timeout: row.timeout}},
	})
	var f *failure
	if failed := refused(err); errors.Is(err, syscall.EBUSY) && errors.As(failed, &f) {
		f.text += "Maybe unload nf_conntrack_" + row.name + ".ko first?\n"
		return f
	}
	return refused(err)
}

func (x *executor) disableHelper(args []string) error {
	key, _, err := x.known(args, "disable helper name family protocol")
	if err != nil {
		return err
	}
	return refused(x.kernel.PutHelper(context.Background(), key, conntrack.HelperChange{Enabled: new(false)}))
}

// known reads the arguments that name one of the table's helpers; what stands behind
// them is ignored.
func (x *executor) known(args []string, syntax string) (conntrack.HelperKey, *helper, error) {
	if len(args) < 3 {
		return conntrack.HelperKey{}, nil, x.missing(syntax)
	}
	key, err := x.selection(args[:3])
	if err != nil {
		return key, nil, err
	}
	for i := range helperTable {
		row := &helperTable[i]
		for _, p := range row.protos {
			if row.name == args[0] && p == key.Proto {
				return key, row, nil
			}
		}
	}
	return key, nil, x.fail(noSuch)
}

// selection reads a name, and possibly a family and a protocol. A family without a
// protocol selects protocol 0, and that is nothing.
func (x *executor) selection(args []string) (conntrack.HelperKey, error) {
	var key conntrack.HelperKey
	switch {
	case len(args) == 0:
		return key, x.fail(noHelper)
	case len(args) > 3:
		return key, x.fail(tooMany)
	}
	key.Name = cut(args[0], conntrack.MaxHelperName)
	if len(args) > 1 {
		ok := false
		if key.Family, ok = familyOf(args[1]); !ok {
			return key, x.fail(badFamily)
		}
	}
	if len(args) > 2 {
		switch args[2] {
		case "tcp":
			key.Proto = flow.TCP
		case "udp":
			key.Proto = flow.UDP
		default:
			return key, x.fail(noTransport)
		}
	}
	return key, nil
}

func appendHelper(b []byte, h *conntrack.UserHelper) []byte {
	b = append(append(append(b, "{\n\t.name = "...), h.Name...), ",\n"...)
	b = appendNumber(b, "\t.queuenum = ", uint64(h.Queue))
	b = appendNumber(b, "\t.l3protonum = ", uint64(h.Family))
	b = appendNumber(b, "\t.l4protonum = ", uint64(h.Proto))
	b = appendNumber(b, "\t.priv_data_len = ", uint64(h.PrivateLen))
	return append(append(append(b, "\t.status = "...), statusWord(h)...), ",\n};\n"...)
}

func statusWord(h *conntrack.UserHelper) string {
	if h.Enabled {
		return "enabled"
	}
	return "disabled"
}
