package flow

import (
	"bufio"
	"bytes"
	"io"
	"math"
	"strconv"
)

const (
	// mapBits is the number of labels that a label map can name. An entry of the
	// table holds the first LabelBits of them.
	mapBits = 1024
	// mapLine is the longest line of a label map; the rest of a longer one is read
	// as a line of its own.
	mapLine = 1023
)

// LabelMap holds the names of connlabel bits, which the administrator gives in a
// file (/etc/xtables/connlabel.conf). It never changes once parsed, so goroutines
// may share it. A nil LabelMap has no names.
type LabelMap struct {
	names [mapBits]string
	bits  map[string]int
}

// ParseLabelMap reads a label map. A line is a number, from 0 to 1023 and decimal,
// octal (0...) or hexadecimal (0x...), and a name of letters, digits, blanks and
// '-'. The first definition of a number, or of a name, wins.
//
// A line that fits no rule is skipped without a word, as is a comment ('#' in the
// first column): the file belongs to iptables, and what that program accepts
// must not stop this one. The only error is one of r. A map without a usable line
// is no error and has Len 0.
func ParseLabelMap(r io.Reader) (*LabelMap, error) {
	m := &LabelMap{bits: make(map[string]int)}
	br := bufio.NewReaderSize(r, 16*mapLine)
	for {
		line, err := readMapLine(br)
		m.define(line)
		if err == io.EOF {
			return m, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// readMapLine returns the next line with its newline, but no more than mapLine
// bytes. The line is valid until the next call.
func readMapLine(br *bufio.Reader) ([]byte, error) {
	line, err := br.Peek(mapLine)
	if i := bytes.IndexByte(line, '\n'); i >= 0 {
		line, err = line[:i+1], nil
	}
	if _, discardErr := br.Discard(len(line)); discardErr != nil {
		return nil, discardErr
	}
	return line, err
}

// define adds the name that line gives, if it gives one.
func (m *LabelMap) define(line []byte) {
	if len(line) == 0 || line[0] == '#' {
		return
	}
	if i := bytes.IndexByte(line, 0); i >= 0 {
		line = line[:i] // the format is one of C strings
	}
	bit, rest, ok := cutNumber(line)
	if !ok || bit >= mapBits || m.names[bit] != "" {
		return
	}
	name := string(bytes.Trim(rest, mapSpace))
	if name == "" || !validLabel(name) {
		return
	}
	if _, taken := m.bits[name]; taken {
		return
	}
	m.names[bit], m.bits[name] = name, int(bit)
}

// mapSpace is the white space of the C locale.
const mapSpace = " \t\n\v\f\r"

func validLabel(name string) bool {
	for _, c := range []byte(name) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == ' ', c == '-':
		default:
			return false
		}
	}
	return true
}

// cutNumber reads the number that line begins with, by the rules of strtoul with
// base 0: white space, a sign (a negative number wraps around), and as many
// digits of the base as there are. Nothing need stand between it and the rest.
func cutNumber(line []byte) (n uint64, rest []byte, ok bool) {
	rest = bytes.TrimLeft(line, mapSpace)
	negative := false
	if len(rest) > 0 && (rest[0] == '+' || rest[0] == '-') {
		negative, rest = rest[0] == '-', rest[1:]
	}
	base := 10
	switch {
	case len(rest) > 2 && rest[0] == '0' && rest[1]|0x20 == 'x' && digit(rest[2]) < 16:
		base, rest = 16, rest[2:]
	case len(rest) > 0 && rest[0] == '0':
		base = 8
	}
	i := 0
	for i < len(rest) && digit(rest[i]) < base {
		i++
	}
	if i == 0 {
		return 0, rest, false
	}
	n, err := strconv.ParseUint(string(rest[:i]), base, 64)
	if err != nil {
		return math.MaxUint64, rest[i:], true
	}
	if negative {
		n = -n
	}
	return n, rest[i:], true
}

// digit returns the value of a hexadecimal digit, or 16 for any other byte.
func digit(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c|0x20 && c|0x20 <= 'f':
		return int(c|0x20-'a') + 10
	}
	return 16
}

// Name returns the name of a bit, or "" if it has none.
func (m *LabelMap) Name(bit int) string {
	if m == nil || bit < 0 || bit >= mapBits {
		return ""
	}
	return m.names[bit]
}

// Bit returns the bit that has the given name. It may be one that no entry can
// hold (LabelBits and above).
func (m *LabelMap) Bit(name string) (bit int, ok bool) {
	if m == nil {
		return 0, false
	}
	bit, ok = m.bits[name]
	return bit, ok
}

// Len returns how many bits have a name.
func (m *LabelMap) Len() int {
	if m == nil {
		return 0
	}
	return len(m.bits)
}

// AppendText appends the map as a file, by ascending bits; [ParseLabelMap] reads
// it back. The error is always nil.
func (m *LabelMap) AppendText(b []byte) ([]byte, error) {
	if m == nil {
		return b, nil
	}
	for bit, name := range &m.names {
		if name == "" {
			continue
		}
		start := len(b)
		b = strconv.AppendUint(b, uint64(bit), 10)
		// A name too long for number and blank can only come from a line that had
		// no blank either.
		if len(b)-start+len(" ")+len(name) <= mapLine {
			b = append(b, ' ')
		}
		b = append(b, name...)
		b = append(b, '\n')
	}
	return b, nil
}
