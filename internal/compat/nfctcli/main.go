package nfctcli

import (
	"context"
	"errors"
	"io"
	"iter"
	"os"
	"strings"
	"syscall"

	"github.com/spoor-project/spoor/conntrack"
	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/libc"
	"github.com/spoor-project/spoor/internal/release"
)

// Env is what a command line meets outside itself.
type Env struct {
	Stdout, Stderr io.Writer
	// Protocols is the file of protocol names (protocols(5)).
	Protocols string

	dial func() (kernel, error)
}

// kernel is what is needed of a [conntrack.Client].
type kernel interface {
	TimeoutPolicies(context.Context) iter.Seq2[conntrack.TimeoutPolicy, error]
	GetTimeoutPolicy(context.Context, string) (conntrack.TimeoutPolicy, error)
	CreateTimeoutPolicy(context.Context, *conntrack.TimeoutPolicy) error
	DeleteTimeoutPolicy(context.Context, string) error
	FlushTimeoutPolicies(context.Context) error
	DefaultTimeouts(context.Context, flow.Proto) (conntrack.Timeouts, error)
	SetDefaultTimeouts(context.Context, flow.Proto, conntrack.Timeouts) error

	Helpers(context.Context) iter.Seq2[conntrack.UserHelper, error]
	GetHelper(context.Context, conntrack.HelperKey) (conntrack.UserHelper, error)
	PutHelper(context.Context, conntrack.HelperKey, conntrack.HelperChange) error
	DeleteHelper(context.Context, conntrack.HelperKey) error
	FlushHelpers(context.Context) error

	Close() error
}

// Host returns the environment of this process.
func Host() *Env {
	return &Env{
		Stdout:    os.Stdout,
		Stderr:    os.Stderr,
		Protocols: "/etc/protocols",
		dial:      func() (kernel, error) { return conntrack.Dial(nil) },
	}
}

// Main carries out a command line, args[0] being the program's name, and returns the
// exit code. Errors of writing do not change it, as with the original.
func Main(args []string, env *Env) int {
	x := &executor{env: env}
	if len(args) > 0 {
		x.program, args = args[0], args[1:]
	}
	err := x.run(args)
	env.Stdout.Write(x.out)
	if err == nil {
		return 0
	}
	var f *failure
	if !errors.As(err, &f) {
		f = &failure{code: 1, text: prefix + err.Error() + "\n"}
	}
	io.WriteString(env.Stderr, f.text)
	return f.code
}

// executor carries out one command line.
type executor struct {
	env     *Env
	program string
	second  string // word, whichever of the two it is
	json    bool
	out     []byte // for stdout
	kernel  kernel
	// stale is an error that the original would add to later messages of other causes.
	stale syscall.Errno
}

func (x *executor) run(words []string) error {
	words, done, err := x.ownOptions(words)
	if done || err != nil {
		return err
	}
	if len(words) < 2 {
		return &failure{code: 1, text: x.usage()}
	}
	cmd, sub, err := x.dispatch(words[0], words[1])
	if err != nil {
		return err
	}
	x.second = words[1]
	args := words[2:]
	switch sub {
	case subVersion:
		x.print(versionText)
		return nil
	case subHelp: // out of reach: every beginning of the word is one of "helper"
		x.print(x.help())
		return nil
	}
	a := cmd.actions[sub]
	if !x.json && a != nil && a.shows {
		x.json, args = jsonBehind(args, a.least)
	}
	if x.json && (a == nil || !a.shows) {
		return failf("-o is for the commands list, get and default-get")
	}
	k, err := x.env.dial()
	if err != nil {
		return &failure{code: 255, text: prefix + "cannot open netlink: " + libc.ErrorText(err) + "\n"}
	}
	defer k.Close()
	x.kernel = k
	if a == nil {
		return x.noAction(sub)
	}
	return a.do(x, args)
}

// dispatch finds out what the two words mean.
func (x *executor) dispatch(first, second string) (*command, subsystem, error) {
	if cmd := commandOf(first); cmd != nil {
		sub, ok := subsystemOf(second)
		if !ok {
			return nil, 0, x.unknown("subsystem", first) // the original names the first word in any case
		}
		return cmd, sub, nil
	}
	sub, ok := subsystemOf(first)
	if !ok {
		return nil, 0, x.unknown("subsystem", first)
	}
	cmd := commandOf(second)
	if cmd == nil {
		return nil, 0, x.unknown("command", first)
	}
	return cmd, sub, nil
}

// noAction is the error about a command that the subsystem does not have.
func (x *executor) noAction(sub subsystem) error {
	if sub == subTimeout {
		return failf("Missing command\n%s <list|add|delete|get|default-set|default-get|flush> timeout [<parameters>, ...]", x.program)
	}
	return failf("Unknown command: %s\n"+prefix+"Missing command\n%s helper list|add|delete|disable|get|flush [parameters...]",
		x.second, x.program)
}

// ownOptions takes off the options that we have and the original has not; they stand
// first. done is true if that was all.
func (x *executor) ownOptions(words []string) (rest []string, done bool, err error) {
	for len(words) > 0 {
		format, given := "", false
		switch word := words[0]; {
		case word == "-h", word == "--help":
			x.print(x.help())
			return nil, true, nil
		case word == "-V", word == "--version":
			x.print("nfct v" + version + " (spoor " + release.Version + ")\n")
			return nil, true, nil
		case (word == "-o" || word == "--output") && len(words) > 1:
			format, given, words = words[1], true, words[1:]
		default:
			format, given = strings.CutPrefix(word, "--output=")
		}
		if !given {
			break
		}
		if format != jsonFormat {
			return nil, false, failf("unknown output format `%s': there is json", format)
		}
		x.json, words = true, words[1:]
	}
	return words, false, nil
}

const jsonFormat = "json"

// jsonBehind takes the option for JSON off the end. At least the given number of words
// must be left, so that a name that looks like the option is still a name.
func jsonBehind(args []string, least int) (found bool, rest []string) {
	n := len(args)
	switch {
	case n >= least+2 && (args[n-2] == "-o" || args[n-2] == "--output") && args[n-1] == jsonFormat:
		return true, args[:n-2]
	case n >= least+1 && args[n-1] == "--output="+jsonFormat:
		return true, args[:n-1]
	}
	return false, args
}

func (x *executor) print(s string) { x.out = append(x.out, s...) }
