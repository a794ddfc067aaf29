package getopt

import (
	"errors"
	"slices"
	"strings"
)

// The two ways in which an element can be wrong; see [Option.Err].
var (
	// ErrUnknown reports a letter or name that is not an option, a prefix of
	// several different options, or a value on an option that takes none.
	ErrUnknown = errors.New("unknown option")

	// ErrMissingArg reports a required argument beyond the end of the vector.
	ErrMissingArg = errors.New("option requires an argument")
)

// Arg says whether an option takes an argument. Zero is [None].
type Arg uint8

// The argument kinds, numbered as in C.
const (
	None     Arg = iota // no_argument
	Required            // required_argument
	Optional            // optional_argument: only when attached
)

// Option is what [Scanner.Next] found.
type Option struct {
	Value     rune   // the letter, or the Value of the Long; 0 with Err
	Arg       string // the argument, "" without one
	HasArg    bool   // tells an empty argument from none
	LongIndex int    // position in Scanner.Long, -1 for a letter and with Err
	Word      string // the element before Scanner.Index, for messages
	Err       error  // nil, ErrUnknown or ErrMissingArg; scanning may go on
}

// Scanner walks an argument vector. Make one with [New].
type Scanner struct {
	// Args is the vector, program name first, permuted as scanning goes on.
	Args []string

	// Index is the position of the next element to scan. The caller may take
	// Args[Index] as a word of the option just returned by incrementing it.
	// After the end, Args[Index:] are the words that belong to no option.
	Index int

	// Long lists the long options. The caller may append to it at any time.
	Long []Long

	short   string
	ordered bool   // the first word ends the scan
	done    bool   // the end was reported
	cluster string // letters of Args[Index] not yet reported

	// Args[lo:hi] are the words skipped so far. What lies between hi and
	// Index has been scanned since and still has to move in front of them.
	lo, hi int
}

// New returns a scanner over a copy of args, whose first element is the
// program name.
//
// The short string has one byte per letter, followed by ':' if the letter
// takes an argument or "::" if that is optional. A '+' in front means posixly;
// a ':' in front changes nothing, because the two errors are always told
// apart. The caller's long table is never written to.
//
// Pass posixly as true if POSIXLY_CORRECT is in the environment, even empty.
func New(args []string, short string, long []Long, posixly bool) *Scanner {
	s := new(Scanner)
	s.Reset(args, short, long, posixly)
	return s
}

// Reset makes s as New would, and reuses its memory.
func (s *Scanner) Reset(args []string, short string, long []Long, posixly bool) {
	short, plus := strings.CutPrefix(short, "+")
	*s = Scanner{
		Args:    append(s.Args[:0], args...),
		Index:   1,
		Long:    slices.Clip(long),
		short:   short,
		ordered: posixly || plus,
		lo:      1,
		hi:      1,
	}
}

// Next returns the next option. It reports false at the end, and from then on.
// An element that is wrong is returned with Err set and true.
func (s *Scanner) Next() (Option, bool) {
	end := Option{LongIndex: -1}
	if s.done {
		return end, false
	}
	s.Index = min(max(s.Index, 1), len(s.Args))
	if s.cluster == "" && !s.seek() {
		s.done = true
		return end, false
	}

	var opt Option
	if s.cluster != "" {
		opt = s.nextLetter()
	} else if elem := s.Args[s.Index]; elem[1] == '-' {
		opt = s.longOption(elem[2:])
	} else {
		s.cluster = elem[1:]
		opt = s.nextLetter()
	}
	opt.Word = s.Args[s.Index-1]
	return opt, true
}

// nextLetter consumes the first letter of the cluster and its argument.
func (s *Scanner) nextLetter() Option {
	c := s.cluster[0]
	s.cluster = s.cluster[1:]
	if s.cluster == "" {
		s.advance() // before anything can go wrong: it decides who is blamed
	}

	kind, known := s.letter(c)
	opt := Option{Value: rune(c), LongIndex: -1}
	switch {
	case !known:
		return wrong(ErrUnknown)
	case kind == None:
		return opt
	case s.cluster != "":
		opt.Arg, opt.HasArg = s.cluster, true
		s.cluster = ""
		s.advance()
		return opt
	case kind == Optional:
		return opt
	}
	return s.takeNext(opt)
}

// letter looks c up in the short string.
func (s *Scanner) letter(c byte) (kind Arg, known bool) {
	if c == ':' || c == ';' { // notation, never letters
		return None, false
	}
	i := strings.IndexByte(s.short, c)
	if i < 0 {
		return None, false
	}
	switch after := s.short[i+1:]; {
	case strings.HasPrefix(after, "::"):
		return Optional, true
	case strings.HasPrefix(after, ":"):
		return Required, true
	}
	return None, true
}

// longOption consumes a long option; text is its element without the dashes.
func (s *Scanner) longOption(text string) Option {
	s.advance()
	name, value, attached := strings.Cut(text, "=")
	i := find(s.Long, name)
	if i < 0 {
		return wrong(ErrUnknown)
	}

	kind := s.Long[i].Arg
	opt := Option{Value: s.Long[i].Value, LongIndex: i}
	switch {
	case attached && kind == None:
		return wrong(ErrUnknown)
	case attached:
		opt.Arg, opt.HasArg = value, true
		return opt
	case kind == Required:
		return s.takeNext(opt)
	}
	return opt
}

// takeNext gives opt the next element as its argument, whatever it looks like.
func (s *Scanner) takeNext(opt Option) Option {
	if s.Index >= len(s.Args) {
		return wrong(ErrMissingArg)
	}
	opt.Arg, opt.HasArg = s.Args[s.Index], true
	s.advance()
	return opt
}

// advance moves Index past an element. The bound only matters to a caller who
// moved Index in the middle of a cluster.
func (s *Scanner) advance() {
	s.Index = min(s.Index+1, len(s.Args))
}

func wrong(err error) Option {
	return Option{LongIndex: -1, Err: err}
}
