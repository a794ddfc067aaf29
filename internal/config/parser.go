package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Lookup tells what is not in the text.
type Lookup struct {
	// Protocol is the number of a transport protocol by its name in /etc/protocols, see [Protocols]. Without it only
	// the keywords TCP and UDP are known.
	Protocol func(name string) (number uint8, ok bool)
	// Interface reports whether there is a device of that name. Without it there is.
	Interface func(name string) bool
}

// Parse reads a configuration. The file's name is only for the places of problems. It takes time and memory in
// proportion to the text, whatever the text is.
func Parse(file string, text []byte, look Lookup) *File {
	f := &File{given: make(map[string]Pos)}
	p := &parser{file: f, look: look}
	p.words = newVocabulary(&fileBlock)
	p.lex = lexer{file: file, rest: string(text), line: 1, reserved: p.words.reserved,
		warn: func(at token, text, advice string) { p.warn(at, text, advice) }}
	p.helpers.c = &f.Config
	defaults(&generalBlock, &f.Config.General)
	fill(p, &fileBlock, &f.Config)
	p.complete()
	if !f.failed {
		p.check()
	}
	return f
}

// parser goes through the text once, with one token of lookahead, which is scanned only when it is looked at: scanning
// can warn, and 1.4.9 does not look farther than it must.
type parser struct {
	lex    lexer
	ahead  token
	peeked bool
	file   *File
	look   Lookup
	words  vocabulary

	lost   bool // after a syntax error, in errorLine: resync must find a place to go on
	unwind bool // a section begins, or the file ends, where blocks are still open
	depth  int

	errorLine int
	// swallowed is the last path that looks as if it had taken in a brace or a comment.
	swallowed *token

	// What is needed beyond the Config.
	modes    [len(modes)]Pos // where each mode was written
	channels []Pos           // where each of Sync.Channels was
	helpers  helperScope
	policies map[string]policy // by helper
	listed   map[any]bool      // what the filter's sets have
}

func (p *parser) peek() *token {
	if !p.peeked {
		p.ahead, p.peeked = p.lex.next(), true
	}
	return &p.ahead
}

func (p *parser) next() token {
	t := *p.peek()
	p.peeked = t.kind == end
	if t.kind == path && strings.ContainsAny(t.text, "}#{") {
		p.swallowed = &t
		p.advise(t, fmt.Sprintf("the path is %q: it ends at the next blank or line, so leave a blank after it", t.c()))
	}
	if t.kind == path && strings.HasSuffix(t.text, "\r") {
		p.advise(t, "the path ends with a carriage return: save the file with the line ends of UNIX")
	}
	return t
}

// back returns the token that was taken last.
func (p *parser) back(t token) { p.ahead, p.peeked = t, true }

// accept takes the next token if it is that reserved word.
func (p *parser) accept(word string) bool {
	if t := p.peek(); t.kind != keyword || t.text != word {
		return false
	}
	p.next()
	return true
}

func (p *parser) warn(at token, text, advice string) {
	p.file.report(Problem{at.Pos, Warning, text, advice})
}

// advise warns of what 1.4.9 does not mind.
func (p *parser) advise(at token, advice string) { p.note(at.Pos, advice) }

func (p *parser) note(at Pos, advice string) { p.file.report(Problem{at, Warning, "", advice}) }

func (p *parser) fail(at token, text, advice string) {
	p.file.report(Problem{at.Pos, Error, text, advice})
	if p.file.done() {
		p.file.Truncated = p.file.Truncated || p.lex.rest != ""
		p.lex.rest, p.peeked = "", false
	}
}

// syntax reports a token that cannot stand where it is.
func (p *parser) syntax(at token, advice string) {
	p.lost, p.errorLine = true, at.Line
	p.fail(at, fmt.Sprintf("parsing config file in line (%d), symbol '%s': syntax error", at.Line, at.c()), advice)
}

// block is what may stand between braces.
type block[T any] struct {
	name  string // as a message calls it; "" is the file
	scope string // what File.Given puts before the words; "" where there can be several such blocks
	rows  []row[T]
	// each is called for every row that has a value, when it has been read.
	each func(*parser, *T, token)
}

// row is a keyword of a block.
type row[T any] struct {
	word string
	// field is where the value goes. Its type says what the value is, see the package's overview.
	field func(*T) any
	def   any // default, of the field's type
	// takes are the kinds of value, if the field does not tell. Without both, read reads on by itself.
	takes tokens
	read  func(p *parser, t *T, key, value token)
	show  func(w *printer, t *T)

	as   string   // the word's present name
	list bool     // may be written several times
	ours bool     // unknown to 1.4.9
	in   []within // the blocks it opens, for vocabulary
}

func (b *block[T]) find(t *token) *row[T] {
	if t.kind&(keyword|name) != 0 {
		for i := range b.rows {
			if r := &b.rows[i]; r.word == t.text && (t.kind == keyword || r.ours) {
				return r
			}
		}
	}
	return nil
}

func (r *row[T]) kinds(t *T) tokens {
	if r.takes != 0 || r.field == nil {
		return r.takes
	}
	switch r.field(t).(type) {
	case *bool:
		return boolean
	case *string:
		return name
	}
	return number
}

// maxDepth bounds the recursion; only helpers can lie in each other.
const maxDepth = 50

// open reads a brace, what t's block has, and the closing brace. It reports whether that was there.
func open[T any](p *parser, key token, b *block[T], t *T) bool {
	if p.depth == maxDepth {
		p.syntax(key, "too many blocks lie in each other")
		return false
	}
	if !p.brace(key, func(t *token) bool { return b.find(t) != nil }) {
		return false
	}
	p.depth++
	closed := fill(p, b, t)
	p.depth--
	return closed
}

// brace reads a brace that opens key's block. A missing one is reported, and is taken for forgotten if what
// follows fits into the block.
func (p *parser) brace(key token, fits func(*token) bool) bool {
	t := p.peek()
	if t.kind == opening {
		p.next()
		return true
	}
	p.syntax(*t, fmt.Sprintf("%q needs a block: write %q before %s", key.text, "{", t.describe()))
	p.lost = !fits(t)
	return !p.lost
}

// fill reads what a block has up to the brace that closes it, and reports whether that was there.
func fill[T any](p *parser, b *block[T], t *T) bool {
	seen := p.file.given
	if b.scope == "" && b.name != "" {
		seen = make(map[string]Pos)
	}
	for {
		if p.lost {
			resync(p, b)
		}
		if p.unwind {
			if b.name != "" {
				return false
			}
			p.unwind = false
		}
		key := p.next()
		switch r := b.find(&key); {
		case key.kind == closing && b.name != "":
			return true
		case key.kind == end && b.name == "":
			return true
		case key.kind == end:
			p.ended(b.name)
		case r == nil:
			p.misplaced(key, b.name, b.words())
		default:
			p.entry(key, b.scope, seen, !r.list && r.kinds(t) != 0)
			apply(p, b, r, t, key)
		}
	}
}

// entry notes that key was written.
func (p *parser) entry(key token, scope string, seen map[string]Pos, once bool) {
	word := p.words.current(key.text)
	id := word
	if scope != "" {
		id = scope + "." + word
	}
	if at, again := seen[id]; again && once {
		p.advise(key, fmt.Sprintf("%q was given in line %d already; this one counts", word, at.Line))
	}
	seen[id] = key.Pos
	if word != key.text {
		p.advise(key, fmt.Sprintf("%q is called %q now", key.text, word))
	}
}

func apply[T any](p *parser, b *block[T], r *row[T], t *T, key token) {
	var value token
	if takes := r.kinds(t); takes != 0 {
		if v := p.peek(); !v.is(takes) {
			p.syntax(*v, fmt.Sprintf("%q needs %s, found %s", key.text, wanted(takes), v.describe()))
			return
		}
		value = p.next()
		if b.each != nil {
			b.each(p, t, key)
		}
	}
	if r.read != nil {
		r.read(p, t, key, value)
	} else {
		p.put(r.field(t), value, r.def)
	}
}

// put stores a value in a field.
func (p *parser) put(field any, value token, def any) {
	switch f := field.(type) {
	case *bool:
		*f = value.on
	case *string:
		*f = value.c()
	case *uint16:
		if *f = uint16(p.number(value, math.MaxUint16)); *f == 0 && def != nil {
			*f = def.(uint16)
		}
	case *uint32:
		if *f = uint32(p.number(value, math.MaxUint32)); *f == 0 && def != nil {
			*f = def.(uint32)
		}
	case *time.Duration:
		if *f = seconds(p.number(value, math.MaxUint32)); *f == 0 && def != nil {
			*f = def.(time.Duration)
		}
	}
}

// number is the value that 1.4.9 makes of a number for a field of that size. It warns if that is another than was written.
func (p *parser) number(value token, most uint32) int32 {
	n := value.number()
	if kept := uint32(n) & most; strings.TrimLeft(value.text, "0") != strings.TrimLeft(strconv.FormatUint(uint64(kept), 10), "0") {
		p.advise(value, fmt.Sprintf("the number wraps around to %d: write at most %d", kept, most))
	}
	return n
}

func seconds(n int32) time.Duration { return time.Duration(uint32(n)) * time.Second }

// defaults sets the fields of a block that have a default.
func defaults[T any](b *block[T], t *T) {
	for _, r := range b.rows {
		if r.def == nil || r.field == nil {
			continue
		}
		switch f := r.field(t).(type) {
		case *bool:
			*f = r.def.(bool)
		case *string:
			*f = r.def.(string)
		case *uint16:
			*f = r.def.(uint16)
		case *uint32:
			*f = r.def.(uint32)
		case *time.Duration:
			*f = r.def.(time.Duration)
		}
	}
}

// resync skips what follows a syntax error, up to where the block can go on: one of its keywords, its closing brace,
// the next section, what comes after a block, or a word that begins a line.
func resync[T any](p *parser, b *block[T]) {
	p.lost = false
	line := p.errorLine
	for depth := 0; ; {
		switch t := p.peek(); {
		case t.kind == end, t.isSection():
			p.unwind = true
			return
		case depth == 0 && (t.kind == closing && b.name != "" || b.find(t) != nil):
			return
		case depth == 0 && t.Line > line && t.kind&(name|keyword) != 0:
			return
		case t.kind == opening:
			depth++
		case t.kind == closing && depth > 0:
			if depth--; depth == 0 {
				p.next()
				return
			}
		}
		line = p.next().Line
	}
}

// ended reports that the file ends inside a block, once.
func (p *parser) ended(block string) {
	advice := fmt.Sprintf("the file ends inside %s: %q is missing", block, "}")
	if p.swallowed != nil {
		advice += fmt.Sprintf("; perhaps it was taken for a part of the path in line %d, which needs a blank before it", p.swallowed.Line)
	}
	p.syntax(*p.peek(), advice)
}

// list reads a block of names. What fits is passed on; something else is reported and left out.
func (p *parser) list(key token, what string, kinds tokens, words []string, each func(token)) {
	fits := func(t *token) bool { return t.is(kinds) || t.isOneOf(words) }
	if !p.brace(key, fits) {
		return
	}
	for {
		t := p.next()
		switch {
		case fits(&t):
			each(t)
			continue
		case t.kind == closing:
			return
		case t.kind == end:
			p.ended(key.text)
			return
		}
		p.syntax(t, fmt.Sprintf("%s cannot stand in %s, where only %s may be", t.describe(), key.text, what))
		if t.kind == keyword {
			p.back(t) // the brace that closes the list is missing
			return
		}
		if t.kind == opening {
			p.back(t)
			p.skipBlock()
		}
		p.lost = false
	}
}

// skipBlock skips an opening brace and all up to its closing one.
func (p *parser) skipBlock() {
	for depth := 0; ; {
		switch t := p.peek(); {
		case t.kind == end, t.isSection():
			return
		case t.kind == opening:
			depth++
		case t.kind == closing:
			depth--
		}
		p.next()
		if depth == 0 {
			return
		}
	}
}
