package conntrackcli

import (
	"errors"
	"io"
	"os"
	"strings"

	"github.com/spoor-project/spoor/conntrack"
	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/libc"
	"github.com/spoor-project/spoor/internal/render"
)

// Env is what a command line meets outside itself.
type Env struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	// Posixly: options end at the first word that is none (POSIXLY_CORRECT).
	Posixly bool
	// Snapshot says whether large tables are read by eBPF (SPOOR_SNAPSHOT): "on"
	// always, "off" never, "" if that is faster and possible.
	Snapshot string
	// Terminal: Stdout is one, so that lines leave as they are made.
	Terminal bool

	protocols *protocolNames
	maps      map[string]*flow.LabelMap
}

// Host returns the environment of this process.
func Host() *Env {
	_, posixly := os.LookupEnv("POSIXLY_CORRECT")
	return &Env{
		Stdin:    os.Stdin,
		Stdout:   os.Stdout,
		Stderr:   os.Stderr,
		Posixly:  posixly,
		Snapshot: os.Getenv("SPOOR_SNAPSHOT"),
		Terminal: isTerminal(os.Stdout),
	}
}

// Protocols reads /etc/protocols, once.
func (env *Env) Protocols() *protocolNames {
	if env.protocols == nil {
		env.protocols = readProtocols("/etc/protocols")
	}
	return env.protocols
}

// labelMap reads a label map, once each.
func (env *Env) labelMap(path string) (*flow.LabelMap, error) {
	if m, ok := env.maps[path]; ok {
		return m, nil
	}
	m, err := readLabelMap(path)
	if err == nil {
		if env.maps == nil {
			env.maps = make(map[string]*flow.LabelMap)
		}
		env.maps[path] = m
	}
	return m, err
}

// Main carries out a command line, args[0] being the program's name, and returns
// the exit code.
func Main(args []string, env *Env) int {
	out := newOutput(env)
	var err error
	if file, netns, rest, ok := loadFile(args); ok {
		if err = ownOptionBehind(rest); err == nil {
			err = load(file, netns, args[0], env, out)
		}
	} else {
		err = single(args, env, out)
	}
	code := 0
	if err != nil {
		var text string
		if text, code = report(err); errors.Is(err, errNothingDone) {
			text = ""
		}
		out.message(text)
	}
	out.close()
	return code
}

// loadFile recognises the command that reads others from a file, which stands first;
// only our own --netns may stand before it. What follows the file is ignored.
func loadFile(args []string) (file, netns string, ignored []string, ok bool) {
	rest := args[min(1, len(args)):]
	if len(rest) > 1 && rest[0] == "--netns" {
		netns, rest = rest[1], rest[2:]
	} else if len(rest) > 0 {
		if name, found := strings.CutPrefix(rest[0], "--netns="); found {
			netns, rest = name, rest[1:]
		}
	}
	if len(rest) > 1 && (rest[0] == loadLetter || rest[0] == loadName) {
		return rest[1], netns, rest[2:], true
	}
	return "", "", nil, false
}

// ownOptionBehind refuses our own options where the original's would be ignored: who
// writes --dry-run must not get the real thing.
func ownOptionBehind(args []string) error {
	for _, arg := range args {
		name, _, _ := strings.Cut(strings.TrimPrefix(arg, "--"), "=")
		for i := range optionTable {
			if row := &optionTable[i]; row.ours && row.name == name && strings.HasPrefix(arg, "--") {
				return usagef("Illegal option `%s' with this command", arg)
			}
		}
	}
	return nil
}

// errNothingDone makes the exit code 1 without a message: a command that counts has
// told that it hit nothing.
var errNothingDone = failf("nothing done")

// single carries out one command line by itself.
func single(args []string, env *Env, out *output) error {
	r, err := parse(args, env)
	out.message(r.warnings)
	if err != nil {
		return err
	}
	x, err := r.executor(env, out)
	if err != nil {
		return err
	}
	defer x.close()
	x.program = args[0]
	n, err := x.run()
	if err != nil {
		return err
	}
	return x.summary(n)
}

// executor carries out one request.
type executor struct {
	*request
	env     *Env
	out     *output
	program string
	where   *conntrack.Options

	conn *conntrack.Client // opened when first needed
}

// executor prepares r to be carried out.
func (r *request) executor(env *Env, out *output) (*executor, error) {
	x := &executor{request: r, env: env, out: out}
	if r.netns != "" {
		path, err := namespacePath(r.netns)
		if err != nil {
			return nil, err
		}
		x.where = &conntrack.Options{NetNS: path}
	}
	return x, nil
}

// client opens the table.
func (x *executor) client() (*conntrack.Client, error) {
	if x.conn == nil {
		c, err := conntrack.Dial(x.where)
		if err != nil {
			return nil, x.dialFailed(err)
		}
		x.conn = c
	}
	return x.conn, nil
}

// dialFailed is the message about a socket that could not be opened.
func (x *executor) dialFailed(err error) error {
	if x.netns != "" {
		return failf("%v", err)
	}
	x.out.message("mnl_socket_open: " + libc.ErrorText(err) + "\n")
	return failf("Can't open handler")
}

func (x *executor) close() {
	if x.conn != nil {
		x.conn.Close()
	}
}

// failed is the message about an operation that the kernel refused.
func (x *executor) failed(err error) error {
	if err == nil {
		return nil
	}
	var f *failure
	if errors.As(err, &f) {
		return err
	}
	return operationFailed(x.cmd, x.table, err)
}

// run carries the command out and returns how many entries it hit.
func (x *executor) run() (int, error) {
	expect := x.table == tableExpect
	switch x.cmd {
	case cmdVersion:
		x.out.data("conntrack v" + version + " (conntrack-tools)\n")
		return 0, nil
	case cmdHelp:
		x.out.data(helpText(x.program, x.request, x.env))
		return 0, nil
	}
	c, err := x.client()
	if err != nil {
		return 0, err
	}
	n := 0
	switch {
	case x.cmd == cmdList && expect:
		n, err = x.listExpects(c)
	case x.cmd == cmdList:
		n, err = x.list(c)
	case x.cmd == cmdGet && expect:
		err = x.getExpect(c)
	case x.cmd == cmdGet:
		n, err = x.get(c)
	case x.cmd == cmdCreate && expect:
		err = x.createExpect(c)
	case x.cmd == cmdCreate, x.cmd == cmdAdd:
		n, err = x.create(c)
	case x.cmd == cmdUpdate:
		n, err = x.update(c)
	case x.cmd == cmdDelete && expect:
		err = x.deleteExpect(c)
	case x.cmd == cmdDelete:
		n, err = x.delete(c)
	case x.cmd == cmdFlush:
		err = x.flush(c)
	case x.cmd == cmdCount && expect:
		err = x.countExpects(c)
	case x.cmd == cmdCount:
		err = x.count(c)
	case x.cmd == cmdStats:
		err = x.stats(c)
	case x.cmd == cmdEvent && expect:
		err = x.followExpects(c)
	case x.cmd == cmdEvent:
		err = x.follow(c)
	}
	return n, x.failed(err)
}

// summary writes how many entries were hit. Commands that change or look for
// something fail if they hit none.
func (x *executor) summary(n int) error {
	text := map[commandID]string{
		cmdList: "flow entries have been shown.", cmdGet: "flow entries have been shown.",
		cmdCreate: "flow entries have been created.", cmdAdd: "flow entries have been added.",
		cmdUpdate: "flow entries have been updated.", cmdDelete: "flow entries have been deleted.",
	}[x.cmd]
	if x.table == tableExpect {
		text = map[commandID]string{
			cmdList:   "expectations have been shown.",
			cmdDelete: "expectations have been shown.", // sic
		}[x.cmd]
	}
	if x.given.has(optDryRun) {
		text = map[commandID]string{
			cmdUpdate: "flow entries would be updated.", cmdDelete: "flow entries would be deleted.",
		}[x.cmd]
	}
	if text == "" {
		return nil
	}
	x.out.message(prefix + itoa(n) + " " + text + "\n")
	if n == 0 && x.cmd != cmdList {
		return errNothingDone
	}
	return nil
}

// printer returns a printer of flows in the request's style.
func (x *executor) printer(change func(*render.Style)) *render.Printer {
	s := x.style()
	if change != nil {
		change(&s)
	}
	return render.NewPrinter(render.Flows, &s)
}
