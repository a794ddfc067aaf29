package config

import (
	"strings"
)

// tokens is a set of kinds of tokens.
type tokens uint16

const (
	end     tokens = 1 << iota // of the file
	opening                    // {
	closing                    // }
	keyword                    // a reserved word
	boolean
	number
	signed // a number with a sign
	ipv4
	ipv6
	path
	mode
	name  // any other word
	stray // a byte that begins nothing
)

type token struct {
	kind tokens
	text string
	Pos
	on   bool // of a boolean
	mode Mode // of a mode
}

// is reports whether the token may stand where one of the kinds is asked for. Names of up to four hexadecimal
// digits are scanned as addresses, and are names all the same.
func (t *token) is(kinds tokens) bool {
	return t.kind&kinds != 0 || kinds&name != 0 && t.kind == ipv6 && isLetter(t.text[0]) && !strings.ContainsAny(t.text, ":/")
}

// number is the value as a C program has it that puts a long into an int: it wraps at 32 bits, beyond 63 bits it is -1.
func (t *token) number() int32 { return wrapped(t.text) }

func wrapped(digits string) int32 {
	const limit = 1<<63 - 1
	var n uint64
	for i := range len(digits) {
		d := uint64(digits[i] - '0')
		if n > (limit-d)/10 {
			return -1
		}
		n = n*10 + d
	}
	return int32(n)
}

// c is the text as a C program has it, which ends at a NUL.
func (t *token) c() string {
	s, _, _ := strings.Cut(t.text, "\x00")
	return s
}

// lexer cuts a text into tokens: the longest match wins, and of equally long ones the first in the order of the constants.
type lexer struct {
	file     string
	rest     string
	line     int
	column   int // bytes of this line before rest
	reserved map[string]bool
	// warn is told about words that are no longer used.
	warn func(at token, text, advice string)
}

// next returns the next token, and at the end of the text one of kind end, again and again.
func (l *lexer) next() token {
	l.skipBlanks()
	t := token{kind: end, Pos: Pos{l.file, l.line, l.column + 1}}
	if l.rest == "" {
		return t
	}
	l.scan(&t)
	l.rest = l.rest[len(t.text):]
	l.column += len(t.text)
	return t
}

func (l *lexer) skipBlanks() {
	for l.rest != "" {
		n := 1
		switch l.rest[0] {
		case ' ', '\t', '\r':
		case '\n':
			l.rest, l.line, l.column = l.rest[1:], l.line+1, 0
			continue
		case '#':
			if n = strings.IndexByte(l.rest, '\n'); n < 0 {
				n = len(l.rest)
			}
		default:
			return
		}
		l.rest = l.rest[n:]
		l.column += n
	}
}

// booleans and modeNames are matched in this order.
var booleans = [...]struct {
	word string
	on   bool
}{{"on", true}, {"yes", true}, {"off", false}, {"no", false}}

const (
	oldFTFW  = "nack"
	oldALARM = "persistent"
)

var modeNames = [...]struct {
	word string
	mode Mode
}{{"alarm", ALARM}, {"ftfw", FTFW}, {"notrack", NOTRACK}, {oldFTFW, FTFW}, {oldALARM, ALARM}}

func (l *lexer) scan(t *token) {
	s := l.rest
	t.kind, t.text = stray, s[:1]
	switch s[0] {
	case 0:
		t.kind, l.rest = end, s[:1]
		l.warn(*t, "", "the file ends at this NUL byte, and what follows does not count")
		return
	case '{':
		t.kind = opening
		return
	case '}':
		t.kind = closing
		return
	case '/':
		t.kind, t.text = path, s[:pathLen(s)]
		return
	case '+', '-':
		if n := digits(s[1:]); n > 0 {
			t.kind, t.text = signed, s[:1+n]
		}
		return
	}

	best := 0
	longer := func(kind tokens, n int) bool {
		if n > best {
			best = n
			t.kind, t.text = kind, s[:n]
			return true
		}
		return false
	}
	word := wordLen(s)
	if l.reserved[s[:word]] {
		longer(keyword, word)
	}
	for _, b := range booleans {
		if longer(boolean, foldLen(s, b.word)) {
			t.on = b.on
		}
	}
	longer(number, digits(s))
	longer(ipv4, ipv4Len(s))
	longer(ipv6, ipv6Len(s))
	old := ""
	for _, m := range modeNames {
		n := foldLen(s, m.word)
		if m.word == oldALARM && n > 0 && s[n-1] == 't' {
			n = 0 // only the capital was ever accepted
		}
		if longer(mode, n) {
			t.mode, old = m.mode, m.word
		}
	}
	longer(name, word)

	switch {
	case t.kind != mode:
	case old == oldFTFW:
		l.warn(*t, "Now `nack' mode is called `ftfw'. Please, update your conntrackd.conf file.\n",
			`the mode is called FTFW now; write "Mode FTFW"`)
	case old == oldALARM:
		l.warn(*t, "Now `persistent' mode is called `alarm'. Please, update your conntrackd.conf file.",
			`the mode is called ALARM now; write "Mode ALARM"`)
	}
}

func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }
func isDigit(c byte) bool  { return '0' <= c && c <= '9' }
func isHex(c byte) bool    { return isDigit(c) || 'a' <= c|0x20 && c|0x20 <= 'f' }

// digits is the number of digits that s begins with.
func digits(s string) int {
	n := 0
	for n < len(s) && isDigit(s[n]) {
		n++
	}
	return n
}

// wordLen is the length of the name at the beginning of s: a letter, then letters, digits and ".-_".
func wordLen(s string) int {
	if !isLetter(s[0]) {
		return 0
	}
	n := 1
	for n < len(s) && (isLetter(s[n]) || isDigit(s[n]) || s[n] == '.' || s[n] == '-' || s[n] == '_') {
		n++
	}
	return n
}

// foldLen is the length of word if s begins with it in any case, otherwise 0. A bar stands for any letter.
func foldLen(s, word string) int {
	if len(s) < len(word) {
		return 0
	}
	for i := range len(word) {
		if s[i]|0x20 != word[i] && s[i] != '|' {
			return 0
		}
	}
	return len(word)
}

func pathLen(s string) int {
	if n := strings.IndexAny(s, " \n\""); n >= 0 {
		return n
	}
	return len(s)
}

// ipv4Len is the length of four groups of digits at the beginning of s, and perhaps "/" and digits.
func ipv4Len(s string) int {
	n := 0
	for group := range 4 {
		if group > 0 {
			if n == len(s) || s[n] != '.' {
				return 0
			}
			n++
		}
		d := digits(s[n:])
		if d == 0 {
			return 0
		}
		n += d
	}
	return n + prefixLen(s[n:])
}

// prefixLen is the length of "/" and digits at the beginning of s.
func prefixLen(s string) int {
	if s != "" && s[0] == '/' {
		if n := digits(s[1:]); n > 0 {
			return 1 + n
		}
	}
	return 0
}

// ipv6Len is the length of what looks like an IPv6 address at the beginning of s, and perhaps "/" and digits. That is
// either up to eight groups with colons between them, or a "::" with up to seven parts on each side, where a part is up
// to four digits and perhaps a colon.
func ipv6Len(s string) int {
	n := max(groupsLen(s), gapLen(s))
	if n == 0 {
		return 0
	}
	return n + prefixLen(s[n:])
}

func groupsLen(s string) int {
	n := hexLen(s)
	for group := 1; group < 8 && n > 0 && n < len(s) && s[n] == ':'; group++ {
		d := hexLen(s[n+1:])
		if d == 0 {
			break
		}
		n += 1 + d
	}
	return n
}

func gapLen(s string) int {
	n := partsLen(s)
	switch rest := s[n:]; {
	case strings.HasPrefix(rest, "::"):
		n += 2
	case n > 0 && s[n-1] == ':' && strings.HasPrefix(rest, ":"): // the colon was none of a part's
		n++
	default:
		return 0
	}
	return n + partsLen(s[n:])
}

func partsLen(s string) int {
	n := 0
	for range 7 {
		d := hexLen(s[n:])
		if d == 0 {
			break
		}
		if n += d; n < len(s) && s[n] == ':' {
			n++
		}
	}
	return n
}

func hexLen(s string) int {
	n := 0
	for n < len(s) && n < 4 && isHex(s[n]) {
		n++
	}
	return n
}
