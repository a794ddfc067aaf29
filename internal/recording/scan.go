package recording

import (
	"bytes"
	"encoding/json"
	"math"
	"net/netip"
	"time"
	"unicode/utf8"

	"github.com/spoor-project/spoor/flow"
)

// scanner goes through a line of JSON. The line ends in a line feed, which stands in no value, so that nothing needs to look for the end. The
// first failure stays, and nothing is read after it.
type scanner struct {
	line []byte
	at   int
	bad  *Error

	texts  map[string]string // strings read before
	sets   map[string]flow.Status
	minute [len("2006-01-02T15:04:")]byte
	began  int64 // that minute, in seconds since the Unix epoch
}

// mostTexts bounds texts and sets; a program that names every flow differently does without.
const mostTexts = 1024

// deepest is how deep what is passed over may be nested.
const deepest = 64

var end = []byte{'\n'}

func (s *scanner) fail(at int, text string) {
	if s.bad == nil {
		s.bad = &Error{Column: at + 1, Text: text}
		s.line, s.at = end, 0
	}
}

// peek returns the next byte that is not white space.
func (s *scanner) peek() byte {
	c := s.line[s.at]
	for c == ' ' || c == '\t' || c == '\r' {
		s.at++
		c = s.line[s.at]
	}
	return c
}

// take reads a byte.
func (s *scanner) take(want byte, text string) bool {
	if s.line[s.at] != want && s.peek() != want {
		s.fail(s.at, text)
		return false
	}
	s.at++
	return true
}

// open begins an object and returns its first key, nil if it has none. After the value follows next.
func (s *scanner) open() []byte {
	if !s.take('{', "{ expected") {
		return nil
	}
	if s.peek() == '}' {
		s.at++
		return nil
	}
	return s.key()
}

// next returns the next key of an object, nil at its end.
func (s *scanner) next() []byte {
	c := s.line[s.at]
	if c <= ' ' {
		c = s.peek()
	}
	switch c {
	case ',':
		s.at++
		return s.key()
	case '}':
		s.at++
	default:
		s.fail(s.at, ", or } expected")
	}
	return nil
}

func (s *scanner) key() []byte {
	// Ours are plain, and nothing stands between them and what is around.
	if line, i := s.line, s.at; line[i] == '"' {
		i++
		for line[i]-'_' <= 'z'-'_' {
			i++
		}
		if line[i] == '"' && line[i+1] == ':' {
			key := line[s.at+1 : i : i]
			s.at = i + 2
			return key
		}
	}
	key := s.text()
	s.take(':', ": expected")
	if s.bad != nil {
		return nil
	}
	return key
}

// each calls what for each element of an array.
func (s *scanner) each(what func()) {
	if !s.take('[', "[ expected") {
		return
	}
	if s.peek() == ']' {
		s.at++
		return
	}
	for s.bad == nil {
		what()
		if s.peek() == ']' {
			s.at++
			return
		}
		s.take(',', ", or ] expected")
	}
}

// text reads a string and returns what is between its quotes, as it is written.
func (s *scanner) text() []byte {
	if !s.take('"', "string expected") {
		return nil
	}
	line, begin := s.line, s.at
	i := begin
	for plain[line[i]] {
		i++
	}
	if line[i] != '"' {
		return s.escaped(begin, i)
	}
	s.at = i + 1
	return line[begin:i:i]
}

// plain bytes of a string mean themselves and do not end it.
var plain = func() (t [256]bool) {
	for c := range t {
		t[c] = c >= ' ' && c != '"' && c != '\\'
	}
	return t
}()

// escaped goes on with a string where it has the first byte that is not simple.
func (s *scanner) escaped(begin, at int) []byte {
	for {
		switch c := s.line[at]; {
		case c == '"':
			s.at = at + 1
			return s.line[begin:at:at]
		case c < ' ':
			s.fail(at, "unfinished string")
			return nil
		case c == '\\':
			at++
			if s.line[at] < ' ' {
				s.fail(at, "unfinished string")
				return nil
			}
		}
		at++
	}
}

// str reads a string of somebody else's and returns what it means. Strings are the same again and again.
func (s *scanner) str() string {
	s.peek()
	begin := s.at
	raw := s.text()
	if s.bad != nil {
		return ""
	}
	if text, ok := s.texts[string(raw)]; ok {
		return text
	}
	text := string(raw)
	if bytes.IndexByte(raw, '\\') >= 0 || !utf8.Valid(raw) {
		if json.Unmarshal(s.line[begin:s.at], &text) != nil {
			s.fail(begin, "not a string of JSON")
			return ""
		}
	}
	if len(s.texts) < mostTexts {
		if s.texts == nil {
			s.texts = make(map[string]string)
		}
		s.texts[string(raw)] = text
	}
	return text
}

// number reads a whole number from 0 to most.
func (s *scanner) number(most uint64) uint64 {
	s.peek()
	line, begin := s.line, s.at
	var n uint64
	i := begin
	for ; line[i]-'0' <= 9; i++ {
		d := uint64(line[i] - '0')
		if i >= begin+19 && n > (math.MaxUint64-d)/10 {
			n = math.MaxUint64
			most = 0
			break
		}
		n = 10*n + d
	}
	switch {
	case i == begin:
		s.fail(begin, "number expected")
		return 0
	case n > most:
		s.fail(begin, "number too large")
		return 0
	case line[begin] == '0' && i > begin+1 || line[i]|0x20 == 'e' || line[i] == '.':
		s.fail(begin, "not a whole number")
		return 0
	}
	s.at = i
	return n
}

// signed reads a number of 32 bits with a sign.
func (s *scanner) signed() int32 {
	if s.peek() == '-' {
		s.at++
		return int32(-int64(s.number(1 << 31)))
	}
	return int32(s.number(1<<31 - 1))
}

// skip passes over a value.
func (s *scanner) skip() { s.skipAt(0) }

func (s *scanner) skipAt(depth int) {
	if depth == deepest {
		s.fail(s.at, "nested too deep")
		return
	}
	switch c := s.peek(); {
	case c == '"':
		s.text()
	case c == '{':
		for key := s.open(); key != nil; key = s.next() {
			s.skipAt(depth + 1)
		}
	case c == '[':
		s.each(func() { s.skipAt(depth + 1) })
	default:
		begin := s.at
		for s.line[s.at] >= '+' && s.line[s.at] <= 'z' && s.line[s.at] != ',' && s.line[s.at] != ']' {
			s.at++
		}
		if word := s.line[begin:s.at]; len(word) == 0 || !json.Valid(word) {
			s.fail(begin, "value expected")
		}
	}
}

// time reads a time of RFC 3339.
func (s *scanner) time() time.Time {
	s.peek()
	begin := s.at
	b := s.text()
	if s.bad != nil {
		return time.Time{}
	}
	// Lines follow each other closely: mostly only seconds and what is less differ.
	n := len(s.minute)
	if len(b) != len("2006-01-02T15:04:05.000000000Z") || b[n+2] != '.' || b[len(b)-1] != 'Z' || [len(s.minute)]byte(b) != s.minute {
		return s.otherMinute(begin, b)
	}
	sec, ok1 := decimal(b[n : n+2])
	nsec, ok2 := decimal(b[n+3 : len(b)-1])
	if !ok1 || !ok2 || sec > 59 {
		return s.otherMinute(begin, b)
	}
	return time.Unix(s.began+sec, nsec).UTC()
}

func (s *scanner) otherMinute(begin int, b []byte) time.Time {
	t, err := time.Parse(time.RFC3339Nano, string(b))
	if err != nil || !time.Unix(0, t.UnixNano()).Equal(t) { // which is out of the range of a flow.Timestamp
		s.fail(begin, "not a time")
		return time.Time{}
	}
	if len(b) > len(s.minute) && b[len(b)-1] == 'Z' {
		s.minute = [len(s.minute)]byte(b)
		s.began = t.Unix() - int64(t.Second())
	}
	return t.UTC()
}

// decimal is the number that digits mean.
func decimal(b []byte) (n int64, ok bool) {
	for _, c := range b {
		if c -= '0'; c > 9 {
			return 0, false
		}
		n = 10*n + int64(c)
	}
	return n, len(b) > 0
}

// addr reads an address.
func (s *scanner) addr() netip.Addr {
	s.peek()
	begin := s.at
	if four, n, ok := quotedIPv4(s.line[begin:]); ok {
		s.at += n
		return netip.AddrFrom4(four)
	}
	b := s.text()
	if s.bad != nil {
		return netip.Addr{}
	}
	a, ok := parseAddr(b)
	if !ok {
		s.fail(begin, "not an address")
	}
	return a
}

// quotedIPv4 reads an IPv4 address with its quotes in one go; n is how long they are.
func quotedIPv4(b []byte) (four [4]byte, n int, ok bool) {
	if b[0] != '"' {
		return four, 0, false
	}
	i := 1
	for part := range four {
		value, begin := uint(0), i
		for b[i]-'0' <= 9 {
			value = 10*value + uint(b[i]-'0')
			i++
		}
		stop := byte('.')
		if part == 3 {
			stop = '"'
		}
		if b[i] != stop || value > 255 || i == begin || i > begin+3 || b[begin] == '0' && i > begin+1 {
			return four, 0, false
		}
		four[part] = byte(value)
		i++
	}
	return four, i, true
}

// parseAddr is [netip.ParseAddr] without zones, which allocates for a slice of bytes.
func parseAddr(b []byte) (netip.Addr, bool) {
	if bytes.IndexByte(b, ':') < 0 {
		four, ok := parseIPv4(b)
		return netip.AddrFrom4(four), ok
	}
	var all [16]byte
	n, gap := 0, -1 // bytes that are known; where the zeros belong that :: stands for
	if len(b) >= 2 && b[0] == ':' && b[1] == ':' {
		gap, b = 0, b[2:]
	}
	for len(b) > 0 {
		if n == len(all) {
			return netip.Addr{}, false
		}
		digits, group := 0, uint16(0)
		for digits < len(b) && hexDigit[b[digits]] > 0 {
			group = group<<4 | uint16(hexDigit[b[digits]]-1)
			digits++
		}
		if digits < len(b) && b[digits] == '.' { // the rest is an IPv4 address
			four, ok := parseIPv4(b)
			if !ok || n > len(all)-4 {
				return netip.Addr{}, false
			}
			n += copy(all[n:], four[:])
			break
		}
		if digits == 0 || digits > 4 {
			return netip.Addr{}, false
		}
		all[n], all[n+1] = byte(group>>8), byte(group)
		n += 2
		if b = b[digits:]; len(b) == 0 {
			break
		}
		if b[0] != ':' || len(b) == 1 {
			return netip.Addr{}, false
		}
		if b = b[1:]; b[0] == ':' {
			if gap >= 0 {
				return netip.Addr{}, false
			}
			gap, b = n, b[1:]
		}
	}
	if n < len(all) {
		if gap < 0 {
			return netip.Addr{}, false
		}
		moved := copy(all[len(all)-(n-gap):], all[gap:n])
		clear(all[gap : len(all)-moved])
	} else if gap >= 0 {
		return netip.Addr{}, false
	}
	return netip.AddrFrom16(all), true
}

func parseIPv4(b []byte) (four [4]byte, ok bool) {
	part, digits, n := 0, 0, uint(0)
	for _, c := range b {
		if c == '.' {
			if digits == 0 || part == 3 {
				return four, false
			}
			four[part] = byte(n)
			part, digits, n = part+1, 0, 0
			continue
		}
		if c -= '0'; c > 9 || digits > 0 && n == 0 {
			return four, false
		}
		if n = 10*n + uint(c); n > 255 {
			return four, false
		}
		digits++
	}
	four[part] = byte(n)
	return four, part == 3 && digits > 0
}

// hexDigit has the value of each digit, plus 1.
var hexDigit = func() (t [256]uint8) {
	for i := range 10 {
		t['0'+i] = uint8(i + 1)
	}
	for i := range 6 {
		t['a'+i], t['A'+i] = uint8(i+11), uint8(i+11)
	}
	return t
}()
