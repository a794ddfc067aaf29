package conntrackcli

import (
	"errors"
	"fmt"
	"syscall"

	"github.com/spoor-project/spoor/conntrack"
	"github.com/spoor-project/spoor/internal/libc"
)

// version is that of the program whose command line this is: others parse it.
const version = "1.4.9"

// prefix begins every message. It does not depend on the program's name.
const prefix = "conntrack v" + version + " (conntrack-tools): "

const tryHelp = "Try `conntrack -h' or 'conntrack --help' for more information.\n"

// failure is an error with its exit code and text, as the original prints it.
type failure struct {
	code int
	text string
}

func (f *failure) Error() string { return f.text }

// usagef is an error about the command line: exit code 2.
func usagef(format string, args ...any) error {
	return &failure{code: 2, text: fmt.Sprintf(format, args...)}
}

// failf is any other error: exit code 1.
func failf(format string, args ...any) error {
	return &failure{code: 1, text: fmt.Sprintf(format, args...)}
}

// report returns what is written to stderr about err, and the exit code.
func report(err error) (text string, code int) {
	var f *failure
	if !errors.As(err, &f) {
		f = &failure{code: 1, text: err.Error()}
	}
	text = prefix + f.text + "\n"
	if f.code == 2 {
		text += tryHelp
	}
	return text, f.code
}

// errNotSupported is an error number that the kernel has for itself only (include/linux/errno.h), and yet answers with at times.
const errNotSupported = syscall.Errno(524)

// kernelTexts are the original's words for errors of the kernel, by command. For
// others it prints the C library's.
var kernelTexts = []struct {
	errno    syscall.Errno
	text     string
	commands []commandID // nil: all
	table    tableID
}{
	{errno: syscall.EPERM, text: "sorry, you must be root or get CAP_NET_ADMIN capability to do this"},
	{errno: syscall.EEXIST, text: "Such conntrack exists, try -U to update", commands: []commandID{cmdCreate}},
	{errno: syscall.ENOENT, text: "such conntrack doesn't exist", commands: []commandID{cmdCreate, cmdGet, cmdDelete, cmdAdd}},
	{errno: syscall.ENOENT, text: "master conntrack not found", commands: []commandID{cmdCreate}, table: tableExpect},
	{errno: syscall.ENOMEM, text: "not enough memory", commands: []commandID{cmdCreate, cmdGet, cmdAdd}},
	{errno: syscall.EAFNOSUPPORT, text: "protocol not supported", commands: []commandID{cmdGet}},
	{errno: syscall.ETIME, text: "conntrack has expired", commands: []commandID{cmdCreate, cmdAdd}},
	{errno: errNotSupported, text: "function not implemented", commands: []commandID{cmdList}},
}

// operationFailed is the message about an error of the kernel.
func operationFailed(cmd commandID, table tableID, err error) error {
	return failf("Operation failed: %s", kernelText(cmd, table, err))
}

func kernelText(cmd commandID, table tableID, err error) string {
	var errno syscall.Errno
	if !errors.As(err, &errno) {
		return err.Error()
	}
	if errno == syscall.EINVAL && !plainInvalid(cmd, table) {
		return "invalid parameters"
	}
	for _, row := range kernelTexts {
		if row.errno != errno {
			continue
		}
		if row.commands == nil {
			return row.text
		}
		for _, c := range row.commands {
			if c == cmd && tableClass(table) == row.table {
				return row.text
			}
		}
	}
	return libc.Strerror(errno)
}

// plainInvalid: these commands have no words of their own for EINVAL.
func plainInvalid(cmd commandID, table tableID) bool {
	return cmd == cmdAdd || cmd == cmdStats || cmd == cmdCount && table == tableExpect
}

// tableClass tells expectations from flows of any kind.
func tableClass(t tableID) tableID {
	if t == tableExpect {
		return tableExpect
	}
	return tableConntrack
}

// vanished reports whether err says that the entry has gone meanwhile.
func vanished(err error) bool { return errors.Is(err, conntrack.ErrNotFound) }
