package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Env is what a command meets outside itself.
type Env struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	// Terminal: standard output is one. Interactive: so is standard input, so that somebody can be asked.
	Terminal, Interactive bool
	Getenv                func(name string) string
}

// Host returns the environment of this process.
func Host() *Env {
	return &Env{
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
		Terminal:    isTerminal(os.Stdout),
		Interactive: isTerminal(os.Stdin) && isTerminal(os.Stderr),
		Getenv:      os.Getenv,
	}
}

func isTerminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// command is a verb.
type command struct {
	name    string
	words   string // what may follow, for the help
	summary string
	about   string   // more of the help
	options []option // in the order of the help
	run     func(*call) error
}

// To add a verb: write <verb>.go with its command, and add it here. Help, man page and completions follow by make generate.
func commands() []*command {
	return []*command{&listCommand, &countCommand, &deleteCommand, &updateCommand, &watchCommand, &topCommand, &doctorCommand, &serveCommand, &guardCommand}
}

// call is a command line being carried out.
type call struct {
	ctx   context.Context
	env   *Env
	cmd   *command
	given map[string][]string // values of the options; "" of those without
	words []string
	out   *bufio.Writer
}

// usageError is a command line that makes no sense.
type usageError struct{ text string }

func (e *usageError) Error() string { return e.text }

func usagef(format string, args ...any) error { return &usageError{fmt.Sprintf(format, args...)} }

// exitCode is an outcome that has been told already.
type exitCode int

func (e exitCode) Error() string { return fmt.Sprintf("exit %d", int(e)) }

// Exit codes.
const (
	exitOK = iota
	exitFailed
	exitUsage
)

// Main carries out a command line without the program's name and returns the exit code.
func Main(args []string, env *Env) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	c := &call{ctx: ctx, env: env, out: bufio.NewWriterSize(env.Stdout, 64<<10)}
	err := c.dispatch(args)
	if flushed := c.out.Flush(); err == nil {
		err = flushed
	}
	var usage *usageError
	var code exitCode
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &code):
		return int(code)
	case errors.As(err, &usage):
		fmt.Fprintf(env.Stderr, "spoor: %s\n", usage.text)
		fmt.Fprintf(env.Stderr, "Try: spoor help%s\n", c.verb())
		return exitUsage
	case ctx.Err() != nil:
		return exitFailed // the user knows that it was interrupted
	}
	fmt.Fprintf(env.Stderr, "spoor: %s\n", explained(err))
	return exitFailed
}

// verb is the verb with a blank before it, "" while there is none.
func (c *call) verb() string {
	if c.cmd == nil {
		return ""
	}
	return " " + c.cmd.name
}

func (c *call) dispatch(args []string) error {
	if len(args) == 0 {
		c.out.WriteString(overview())
		return usagef("what shall be done?")
	}
	switch args[0] {
	case "help", "--help", "-h":
		return c.help(args[1:])
	case "version", "--version", "-V":
		return c.version()
	case completeWord:
		return c.complete(args[1:])
	}
	for _, cmd := range commands() {
		if cmd.name == args[0] {
			c.cmd = cmd
		}
	}
	if c.cmd == nil {
		return usagef("there is no command %q%s", args[0], nearest(args[0]))
	}
	if err := c.scan(args[1:]); err != nil {
		return err
	}
	if c.has("help") {
		c.out.WriteString(c.cmd.help())
		return nil
	}
	return c.cmd.run(c)
}

// nearest is a hint at a command that begins alike.
func nearest(word string) string {
	for _, cmd := range commands() {
		if word != "" && (strings.HasPrefix(cmd.name, word) || strings.HasPrefix(word, cmd.name)) {
			return fmt.Sprintf("; did you mean %s?", cmd.name)
		}
	}
	return ""
}

// tell writes a line to standard error, after what has been written so far.
func (c *call) tell(format string, args ...any) {
	c.out.Flush()
	fmt.Fprintf(c.env.Stderr, "spoor: "+format+"\n", args...)
}
