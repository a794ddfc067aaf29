package conntrackcli

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"sync"

	"github.com/spoor-project/spoor/conntrack"
)

// Limits of a line in a file of commands.
const (
	maxLine  = 10239 // a longer line goes on as another one
	maxWord  = 1023
	maxWords = 253
)

// load is -R: it carries out the commands of a file. The whole file is read and
// checked before the first command is carried out; to keep memory small it is then
// parsed a second time, while the kernel works on what was parsed before. netns is
// the namespace of lines that name none.
func load(path, netns, program string, env *Env, out *output) error {
	text, err := readCommands(path, env.Stdin)
	if err != nil {
		return err
	}
	l := &loader{env: env, out: out, program: program, netns: netns, clients: map[string]*executor{}}
	defer l.close()
	if err := l.validate(text); err != nil {
		return err
	}
	return l.execute(text)
}

func readCommands(path string, stdin io.Reader) ([]byte, error) {
	if path == "-" {
		path = "/dev/stdin"
	}
	if path == "/dev/stdin" {
		text, err := io.ReadAll(stdin)
		if err != nil {
			return nil, usagef("Failed to open file %s for reading", path)
		}
		return text, nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, usagef("Failed to open file %s for reading", path)
	}
	return text, nil
}

// cutLine takes a line off text: up to and with its newline.
func cutLine(text []byte) (line, rest []byte) {
	n := bytes.IndexByte(text, '\n') + 1
	if n == 0 {
		n = len(text)
	}
	n = min(n, maxLine)
	return text[:n], text[n:]
}

// words splits a line into dst, after the program's name. skip is true for a line
// that holds no command: an empty one or a comment.
func words(line []byte, dst []string) (args []string, skip bool, err error) {
	i := 0
	for i < len(line) && (line[i] == ' ' || line[i] == '\t') {
		i++
	}
	if i < len(line) && (line[i] == '\n' || line[i] == '#') {
		return dst, true, nil
	}
	text := string(line)
	for i < len(text) {
		c := text[i]
		if c == ' ' || c == '\t' || c == '\n' {
			i++
			continue
		}
		var word string
		if word, i, err = cutWord(text, i); err != nil {
			return dst, false, err
		}
		if len(dst) > maxWords {
			return dst, false, usagef("too many arguments")
		}
		dst = append(dst, word)
	}
	return dst, false, nil
}

// cutWord takes the word that begins at i. A quoted section ends the word; within it a
// backslash takes the next byte as it is.
func cutWord(text string, i int) (word string, next int, err error) {
	start := i
	for i < len(text) && !strings.ContainsRune(" \t\n\"", rune(text[i])) {
		i++
	}
	word = text[start:i]
	if i < len(text) && text[i] == '"' {
		var quoted []byte
		for i++; i < len(text) && text[i] != '"'; i++ {
			if text[i] == '\\' && i+1 < len(text) {
				i++
			}
			quoted = append(quoted, text[i])
		}
		word += string(quoted)
		i++ // behind the closing quote; without one the line is used up
	}
	if len(word) > maxWord {
		return "", i, usagef("Parameter too long!")
	}
	return word, i, nil
}

type loader struct {
	env     *Env
	out     *output
	program string
	netns   string
	entries int // lines that make an entry

	clients map[string]*executor // by namespace
}

// validate parses all lines, on two processors, and reports the first that is wrong.
func (l *loader) validate(text []byte) error {
	half := len(text) / 2
	half += bytes.IndexByte(text[half:], '\n') + 1
	parts := []verdict{{text: text[:half]}, {text: text[half:]}}
	var wait sync.WaitGroup
	for i := range parts {
		// Each part has an environment of its own: what is read once, like
		// label maps, is not shared.
		env := &Env{Posixly: l.env.Posixly}
		wait.Go(func() { parts[i].parse(l.program, env) })
	}
	wait.Wait()
	var unusable error
	for i := range parts {
		v := &parts[i]
		l.out.message(v.warnings.String())
		if v.err != nil {
			return v.err
		}
		if unusable == nil {
			unusable = v.unusable
		}
		l.entries += v.entries
	}
	return unusable
}

// verdict is what validation says of a part of the file.
type verdict struct {
	text     []byte
	warnings strings.Builder
	err      error // of parsing; nothing behind it was looked at
	unusable error // the first command that cannot be used in a file
	entries  int
}

func (v *verdict) parse(program string, env *Env) {
	args := make([]string, 0, 64)
	for rest := v.text; len(rest) > 0; {
		var line []byte
		line, rest = cutLine(rest)
		words, skip, err := words(line, append(args[:0], program))
		if skip {
			continue
		}
		var r *request
		if err == nil {
			r, err = parse(words, env)
			v.warnings.WriteString(r.warnings.String())
		}
		if err != nil {
			v.err = err
			return
		}
		if r.cmd == cmdCreate || r.cmd == cmdAdd {
			v.entries++
		}
		if v.unusable == nil && !loadable(r) {
			v.unusable = usagef("Cannot use command `%s' with --load-file", commandLabel(r))
		}
	}
}

// loadable reports whether a command can be used in a file.
func loadable(r *request) bool {
	switch r.cmd {
	case cmdCreate, cmdAdd, cmdUpdate, cmdDelete, cmdFlush:
		return r.table == tableConntrack
	}
	return false
}

// commandLabel names a command in the message that it cannot be used.
func commandLabel(r *request) string {
	if r.cmd == cmdNone || r.implicitHelp {
		return "unknown"
	}
	letter := "-" + string(rune(r.cmd.row().letter))
	switch {
	case r.table != tableExpect:
		return letter
	case r.cmd == cmdCreate:
		return "-C expect" // sic
	case r.cmd == cmdVersion, r.cmd == cmdHelp:
		return letter
	}
	return letter + " expect"
}

// step is a piece of the file's work: a batch of entries to make, or one command.
type step struct {
	namespace string
	batch     *conntrack.Batch
	made      []madeEntry // of batch

	request *request
	line    int
}

// madeEntry is a line of a batch.
type madeEntry struct {
	line int
	cmd  commandID
}

// errStop ends the parsing when a step has failed.
var errStop = errors.New("stop")

// stepsAhead is how many steps are parsed ahead of the one being carried out.
const stepsAhead = 3

// execute parses the file again and carries it out.
func (l *loader) execute(text []byte) error {
	steps := make(chan step, stepsAhead)
	quit := make(chan struct{})
	p := &planner{loader: l, steps: steps, quit: quit, free: make(chan *step, stepsAhead+2), limit: 1}
	done := make(chan error, 1)
	go func() {
		err := p.plan(text)
		close(steps)
		done <- err
	}()
	var failed error
	for s := range steps {
		if failed != nil {
			continue
		}
		if failed = l.carryOut(&s); failed != nil {
			close(quit)
		}
		if s.batch != nil {
			s.batch.Reset()
			p.free <- &s
		}
	}
	if err := <-done; failed == nil && !errors.Is(err, errStop) {
		failed = err
	}
	p.close()
	return failed
}

// planner turns lines into steps.
type planner struct {
	*loader
	steps chan<- step
	quit  <-chan struct{}
	free  chan *step // whose batches can be used again

	batches []*conntrack.Batch
	open    *step // the batch being filled
	limit   int   // of open; begins small, since upstream stops at the first failure
	show    formats
}

func (p *planner) plan(text []byte) error {
	args := make([]string, 0, 64)
	for number := 1; len(text) > 0; number++ {
		var line []byte
		line, text = cutLine(text)
		words, skip, err := words(line, append(args[:0], p.program))
		if skip {
			continue
		}
		if err != nil {
			return err
		}
		r, err := parse(words, p.env)
		if err != nil {
			return err
		}
		if r.netns == "" {
			r.netns = p.netns
		}
		if r.given.has(optOutput) {
			p.show = r.show
		}
		r.show = p.show // -o stays in force for the lines below it
		if err := p.add(r, number); err != nil {
			return err
		}
	}
	return p.send()
}

func (p *planner) add(r *request, line int) error {
	x := executor{request: r}
	if r.cmd == cmdCreate || r.cmd == cmdAdd {
		if e, err := x.newEntry(); err == nil {
			return p.addEntry(r, e, line)
		}
	}
	if err := p.send(); err != nil {
		return err
	}
	return p.pass(step{namespace: r.netns, request: r, line: line})
}

func (p *planner) addEntry(r *request, e *conntrack.Entry, line int) error {
	if p.open != nil && p.open.namespace != r.netns {
		if err := p.send(); err != nil {
			return err
		}
	}
	if p.open == nil {
		if err := p.begin(r.netns); err != nil {
			return err
		}
	}
	if r.cmd == cmdCreate {
		p.open.batch.Create(e)
	} else {
		p.open.batch.Put(e)
	}
	p.open.made = append(p.open.made, madeEntry{line, r.cmd})
	if len(p.open.made) < p.limit {
		return nil
	}
	p.limit = min(2*p.limit, conntrack.MaxBatch)
	return p.send()
}

// begin opens a batch for a namespace: one that has been carried out if possible.
func (p *planner) begin(namespace string) error {
	for len(p.batches) > stepsAhead+1 {
		select {
		case s := <-p.free:
			if s.namespace == namespace {
				p.open = &step{namespace: namespace, batch: s.batch, made: s.made[:0]}
				return nil
			}
			s.batch.Close()
			p.batches = deleteBatch(p.batches, s.batch)
		case <-p.quit:
			return errStop
		}
	}
	x, err := p.executor(namespace)
	if err != nil {
		return err
	}
	b, err := x.conn.NewBatch()
	if err != nil {
		return x.dialFailed(err)
	}
	p.batches = append(p.batches, b)
	p.open = &step{namespace: namespace, batch: b}
	return nil
}

func deleteBatch(all []*conntrack.Batch, b *conntrack.Batch) []*conntrack.Batch {
	for i := range all {
		if all[i] == b {
			return append(all[:i], all[i+1:]...)
		}
	}
	return all
}

// send passes on the batch being filled.
func (p *planner) send() error {
	if p.open == nil {
		return nil
	}
	s := *p.open
	p.open = nil
	return p.pass(s)
}

func (p *planner) pass(s step) error {
	select {
	case p.steps <- s:
		return nil
	case <-p.quit:
		return errStop
	}
}

func (p *planner) close() {
	for _, b := range p.batches {
		b.Close()
	}
}

// carryOut does a step. After a failure nothing more is done.
func (l *loader) carryOut(s *step) error {
	if s.request != nil {
		x, err := s.request.executor(l.env, l.out)
		if err != nil {
			return err
		}
		defer x.close()
		_, err = x.run()
		return err
	}
	results, err := s.batch.Do(context.Background())
	if err != nil {
		return operationFailed(s.made[0].cmd, tableConntrack, err)
	}
	var failed error
	var lines strings.Builder
	for i := range results {
		if results[i].Err == nil {
			continue
		}
		m := s.made[i]
		if failed == nil {
			failed = operationFailed(m.cmd, tableConntrack, results[i].Err)
		}
		lines.WriteString(prefix + "line " + itoa(m.line) + ": " + kernelText(m.cmd, tableConntrack, results[i].Err) + "\n")
	}
	if failed == nil || l.entries < 2 {
		return failed
	}
	// The original's message comes first; where it could be about several
	// lines, those that failed follow.
	var f *failure
	errors.As(failed, &f)
	return &failure{code: f.code, text: f.text + "\n" + strings.TrimSuffix(lines.String(), "\n")}
}

// executor returns a client of a namespace.
func (l *loader) executor(namespace string) (*executor, error) {
	if x, ok := l.clients[namespace]; ok {
		return x, nil
	}
	x, err := (&request{netns: namespace}).executor(l.env, l.out)
	if err == nil {
		_, err = x.client()
	}
	if err != nil {
		return nil, err
	}
	l.clients[namespace] = x
	return x, nil
}

func (l *loader) close() {
	for _, x := range l.clients {
		x.close()
	}
}
