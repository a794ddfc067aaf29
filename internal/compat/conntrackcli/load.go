package conntrackcli

import (
	"bytes"
	"context"
	"io"
	"os"
	"strings"

	"github.com/spoor-project/spoor/conntrack"
	"github.com/spoor-project/spoor/internal/libc"
)

// Limits of a line in a file of commands.
const (
	maxLine  = 10239 // a longer line goes on as another one
	maxWord  = 1023
	maxWords = 253
)

// load is -R: it carries out the commands of a file, once all of them have been
// checked. Commands that make entries wait for that as finished messages to the
// kernel. netns is the namespace of lines that name none.
func load(path, netns, program string, env *Env, out *output) error {
	if path == "-" {
		path = "/dev/stdin"
	}
	in := env.Stdin
	if path != "/dev/stdin" {
		f, err := os.Open(path)
		if err != nil {
			return usagef("Failed to open file %s for reading", path)
		}
		defer f.Close()
		in = f
	}
	l := &loader{env: env, out: out, program: program, netns: netns, writers: map[string]*loadTarget{}}
	defer l.close()
	parts, err := l.parse(in)
	if err != nil {
		return err
	}
	return l.execute(parts)
}

// cutLine takes a line off text: up to and with its newline.
func cutLine(text string) (line, rest string) {
	n := strings.IndexByte(text, '\n') + 1
	if n == 0 {
		n = len(text)
	}
	n = min(n, maxLine)
	return text[:n], text[n:]
}

// words splits a line into dst, after the program's name. skip is true for a line
// that holds no command: an empty one or a comment.
func words(line string, dst []string) (args []string, skip bool, err error) {
	line, _, _ = strings.Cut(line, "\x00") // where a C string ends
	i := 0
	for i < len(line) && (line[i] == ' ' || line[i] == '\t') {
		i++
	}
	if i < len(line) && (line[i] == '\n' || line[i] == '#') {
		return dst, true, nil
	}
	for i < len(line) {
		c := line[i]
		if c == ' ' || c == '\t' || c == '\n' {
			i++
			continue
		}
		var word string
		if word, i, err = cutWord(line, i); err != nil {
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
func cutWord(line string, i int) (word string, next int, err error) {
	start := i
	for i < len(line) && line[i] != ' ' && line[i] != '\t' && line[i] != '\n' && line[i] != '"' {
		i++
	}
	word = line[start:i]
	if i < len(line) && line[i] == '"' {
		var quoted []byte
		for i++; i < len(line) && line[i] != '"'; i++ {
			if line[i] == '\\' && i+1 < len(line) {
				i++
			}
			quoted = append(quoted, line[i])
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
	show    formats // of the last -o

	entries int                    // lines that make an entry
	writers map[string]*loadTarget // by namespace
}

// part is a piece of the file, of whole lines, and what was made of it.
type part struct {
	text  string
	first bool // of the file
	ready chan struct{}

	steps    []step
	lines    int
	entries  int // lines that make an entry
	warnings strings.Builder
	err      error // of parsing; nothing behind it was looked at
	unusable error // the first command that cannot be used in a file
}

// step is a piece of work: a batch of entries to make, or another command.
type step struct {
	netns string
	batch *conntrack.Batch
	made  []madeEntry // of batch

	request *request
	line    int // of request, in its part
}

// madeEntry is an entry of a batch.
type madeEntry struct {
	line int32 // in its part
	cmd  commandID
}

const (
	partSize = 1 << 20
	parsers  = 2 // goroutines that parse
)

// parse reads and checks the whole file, and reports the first line that is wrong.
func (l *loader) parse(in io.Reader) ([]*part, error) {
	work := make(chan *part, parsers)
	for range parsers {
		// Each has an environment of its own: what is read once, like
		// label maps, is not shared.
		env := &Env{Posixly: l.env.Posixly}
		go func() {
			var p partParser
			for piece := range work {
				p.parse(piece, l.program, env)
				close(piece.ready)
			}
		}()
	}
	var parts []*part
	err := eachPiece(in, func(text string) {
		piece := &part{text: text, first: len(parts) == 0, ready: make(chan struct{})}
		parts = append(parts, piece)
		work <- piece
	})
	close(work)
	for _, piece := range parts {
		<-piece.ready
	}
	if err != nil {
		return nil, failf("Can't read: %s", libc.ErrorText(err))
	}
	var unusable error
	for _, piece := range parts {
		l.out.message(piece.warnings.String())
		if piece.err != nil {
			return nil, piece.err
		}
		if unusable == nil {
			unusable = piece.unusable
		}
		l.entries += piece.entries
	}
	return parts, unusable
}

// eachPiece cuts what it reads into pieces of whole lines. A line longer than a piece
// is cut, where the limit on lines would have cut it.
func eachPiece(in io.Reader, f func(text string)) error {
	var pending []byte
	for {
		buf := make([]byte, len(pending)+partSize)
		n := copy(buf, pending)
		m, err := io.ReadFull(in, buf[n:])
		buf = buf[:n+m]
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			if len(buf) > 0 {
				f(string(buf))
			}
			return nil
		}
		if err != nil {
			return err
		}
		end := bytes.LastIndexByte(buf, '\n') + 1
		if end == 0 {
			end = len(buf) / maxLine * maxLine
		}
		pending = buf[end:]
		f(string(buf[:end]))
	}
}

// partParser turns pieces of the file into steps.
type partParser struct {
	*part
	line  parser
	args  []string
	entry conntrack.Entry
	// limit is how many entries go into the open batch. It begins small, since
	// upstream stops at the first failure.
	limit int
	open  *step
}

func (p *partParser) parse(piece *part, program string, env *Env) {
	p.part, p.open, p.limit = piece, nil, conntrack.MaxBatch
	if piece.first {
		p.limit = 1
	}
	for rest := p.text; len(rest) > 0; {
		var line string
		line, rest = cutLine(rest)
		p.lines++
		args, skip, err := words(line, append(p.args[:0], program))
		p.args = args
		if skip {
			continue
		}
		var r *request
		if err == nil {
			r, err = p.line.parse(args, env)
			p.warnings.WriteString(r.warnings)
		}
		if err != nil {
			p.err = err
			return
		}
		if p.unusable == nil && !loadable(r) {
			p.unusable = usagef("Cannot use command `%s' with --load-file", commandLabel(r))
		}
		p.add(r)
	}
	p.text = "" // its memory can go
}

func (p *partParser) add(r *request) {
	if r.cmd == cmdCreate || r.cmd == cmdAdd {
		p.entries++
		if err := r.fillEntry(&p.entry); err == nil {
			p.addEntry(r)
			return
		}
	}
	p.open = nil
	p.steps = append(p.steps, step{netns: r.netns, request: new(*r), line: p.lines})
}

func (p *partParser) addEntry(r *request) {
	if p.open == nil || p.open.netns != r.netns {
		p.steps = append(p.steps, step{netns: r.netns, batch: new(conntrack.Batch)})
		p.open = &p.steps[len(p.steps)-1]
		p.open.batch.Grow(p.limit)
		p.open.made = make([]madeEntry, 0, p.limit)
	}
	if r.cmd == cmdCreate {
		p.open.batch.Create(&p.entry)
	} else {
		p.open.batch.Put(&p.entry)
	}
	p.open.made = append(p.open.made, madeEntry{int32(p.lines), r.cmd})
	if p.open.batch.Len() == p.limit {
		p.open = nil
		p.limit = min(2*p.limit, conntrack.MaxBatch)
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
	if r.implicitHelp {
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

// execute carries out what was parsed, in order, until something fails.
func (l *loader) execute(parts []*part) error {
	before := 0
	for i, piece := range parts {
		for _, s := range piece.steps {
			if err := l.carryOut(&s, before); err != nil {
				return err
			}
		}
		before += piece.lines
		parts[i] = nil // its memory can go
	}
	return nil
}

// carryOut does a step of a part that has so many lines before it.
func (l *loader) carryOut(s *step, before int) error {
	netns := s.netns
	if netns == "" {
		netns = l.netns
	}
	if r := s.request; r != nil {
		if r.given.has(optOutput) {
			l.show = r.show
		}
		r.show, r.netns = l.show, netns // -o stays in force for the lines below it
		x, err := r.executor(l.env, l.out)
		if err != nil {
			return err
		}
		defer x.close()
		_, err = x.run()
		return err
	}
	w, err := l.writer(netns)
	if err != nil {
		return err
	}
	results, err := w.Do(context.Background(), s.batch)
	if err != nil {
		return operationFailed(s.made[0].cmd, tableConntrack, err)
	}
	var failed *failure
	var lines strings.Builder
	for i := range results {
		if results[i].Err == nil {
			continue
		}
		m := s.made[i]
		text := kernelText(m.cmd, tableConntrack, results[i].Err)
		if failed == nil {
			failed = &failure{code: 1, text: "Operation failed: " + text}
		}
		lines.WriteString("\n" + prefix + "line " + itoa(before+int(m.line)) + ": " + text)
	}
	if failed == nil {
		return nil
	}
	if l.entries > 1 {
		// The original's message comes first; as it could be about several
		// lines, those that failed follow.
		failed.text += lines.String()
	}
	return failed
}

// loadTarget is a namespace that entries are made in.
type loadTarget struct {
	*executor
	*conntrack.Writer
}

func (l *loader) writer(netns string) (*conntrack.Writer, error) {
	if t, ok := l.writers[netns]; ok {
		return t.Writer, nil
	}
	x, err := (&request{netns: netns}).executor(l.env, l.out)
	if err != nil {
		return nil, err
	}
	c, err := x.client()
	if err != nil {
		return nil, err
	}
	w, err := c.NewWriter()
	if err != nil {
		x.close()
		return nil, x.dialFailed(err)
	}
	l.writers[netns] = &loadTarget{x, w}
	return w, nil
}

func (l *loader) close() {
	for _, t := range l.writers {
		t.Writer.Close()
		t.executor.close()
	}
}
