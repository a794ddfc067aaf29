package filter

import (
	"cmp"
	"fmt"
	"math"
	"math/bits"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/spoor-project/spoor/flow"
)

// Names says what names in a query stand for. The zero Names knows none but those of the tracker.
type Names struct {
	Service func(name string) (port uint16, ok bool) // "https"; nil: no names of ports
	Labels  *flow.LabelMap                           // nil: labels are numbers
}

// SyntaxError says what is wrong with a query and where.
type SyntaxError struct {
	Column int // of the first character that is wrong, from 1
	Text   string
}

func (e *SyntaxError) Error() string { return fmt.Sprintf("column %d: %s", e.Column, e.Text) }

// Parse reads a query; docs/filter.md describes the language. An empty text, or "any", selects every flow. An error is a
// [*SyntaxError].
func Parse(text string) (*Query, error) { return new(Names).Parse(text) }

// Parse reads a query in which names may stand for numbers.
func (names *Names) Parse(text string) (q *Query, err error) {
	p := parser{names: names, text: text}
	defer func() {
		if r := recover(); r != nil {
			e, ok := r.(*SyntaxError)
			if !ok {
				panic(r)
			}
			q, err = nil, e
		}
	}()
	p.advance()
	if p.kind == tokenEnd {
		return &Query{}, nil
	}
	n := p.or(0)
	if p.kind != tokenEnd {
		p.fail(p.at, "%s: expected and, or, or the end", p.shown())
	}
	return &Query{root: n}, nil
}

// parser reads by recursive descent. Errors are panics with a *SyntaxError, which Parse catches.
type parser struct {
	names *Names
	text  string

	at   int // where the token begins
	next int // behind it
	kind token
	word string // as written; of a quoted text what it means
}

type token uint8

const (
	tokenEnd  token = iota
	tokenWord       // also a number or an address
	tokenQuoted
	tokenMark // ( ) , ! = < and so on
)

// isWord reports whether words consist of c.
func isWord(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("_.:/-%@", c) >= 0
}

// marks are the tokens that are no words, the longer ones first.
var marks = [...]string{"&&", "||", "==", "!=", "<=", ">=", "(", ")", ",", "!", "=", "<", ">"}

func (p *parser) fail(at int, format string, args ...any) {
	column := utf8.RuneCountInString(p.text[:at]) + 1
	panic(&SyntaxError{Column: column, Text: fmt.Sprintf(format, args...)})
}

// shown is the token as errors name it.
func (p *parser) shown() string {
	if p.kind == tokenEnd {
		return "the end"
	}
	return strconv.Quote(p.text[p.at:p.next])
}

func (p *parser) advance() {
	at := p.next
	for at < len(p.text) && strings.IndexByte(" \t\r\n", p.text[at]) >= 0 {
		at++
	}
	p.at, p.next, p.word = at, at, ""
	rest := p.text[at:]
	if rest == "" {
		p.kind = tokenEnd
		return
	}
	if rest[0] == '"' {
		quoted, err := strconv.QuotedPrefix(rest)
		if err != nil {
			p.fail(at, "the quotes are not closed, or hold an escape that does not exist")
		}
		p.word, _ = strconv.Unquote(quoted)
		p.kind, p.next = tokenQuoted, at+len(quoted)
		return
	}
	n := 0
	for n < len(rest) && isWord(rest[n]) {
		n++
	}
	if n > 0 {
		p.kind, p.word, p.next = tokenWord, rest[:n], at+n
		return
	}
	for _, m := range marks {
		if strings.HasPrefix(rest, m) {
			p.kind, p.word, p.next = tokenMark, m, at+len(m)
			return
		}
	}
	r, _ := utf8.DecodeRuneInString(rest)
	p.fail(at, "unexpected %q", r)
}

// is reports whether the token is a mark or keyword; quotes take keywords their meaning.
func (p *parser) is(texts ...string) bool {
	return (p.kind == tokenWord || p.kind == tokenMark) && slices.Contains(texts, strings.ToLower(p.word))
}

// reserved reports whether a word has a meaning to the parser wherever it stands.
func reserved(word string) bool {
	switch strings.ToLower(word) {
	case "and", "or", "not", "to":
		return true
	}
	return false
}

// maxDepth bounds how deep parentheses and negations may lie.
const maxDepth = 200

func (p *parser) or(depth int) *node {
	return p.chain(depth, opOr, p.and, "or", "||")
}

func (p *parser) and(depth int) *node {
	return p.chain(depth, opAnd, p.not, "and", "&&")
}

func (p *parser) chain(depth int, o op, part func(int) *node, joints ...string) *node {
	n := part(depth)
	for p.is(joints...) {
		p.advance()
		n = join(o, n, part(depth))
	}
	return n
}

// join joins two conditions, flat. A condition that is nil holds always.
func join(o op, a, b *node) *node {
	if a == nil || b == nil {
		if o == opOr {
			return nil
		}
		return cmp.Or(a, b)
	}
	if a.op != o {
		a = &node{op: o, kids: []node{*a}}
	}
	if b.op == o {
		a.kids = append(a.kids, b.kids...)
	} else {
		a.kids = append(a.kids, *b)
	}
	return a
}

func (p *parser) not(depth int) *node {
	if depth > maxDepth {
		p.fail(p.at, "nested too deeply")
	}
	switch {
	case p.is("not", "!"):
		at := p.at
		p.advance()
		return p.negate(at, p.not(depth+1))
	case p.is("("):
		p.advance()
		n := p.or(depth + 1)
		if !p.is(")") {
			p.fail(p.at, "%s: expected )", p.shown())
		}
		p.advance()
		return n
	}
	return p.condition()
}

func (p *parser) negate(at int, n *node) *node {
	switch {
	case n == nil:
		p.fail(at, "not any selects nothing")
	case n.op == opNot:
		return &n.kids[0]
	}
	return &node{op: opNot, kids: []node{*n}}
}

// condition reads a word that is one, or a field and what it is compared with.
func (p *parser) condition() *node {
	if p.kind != tokenWord || reserved(p.word) {
		p.fail(p.at, "%s: expected a condition", p.shown())
	}
	at, name := p.at, strings.ToLower(p.word)
	if name == "any" {
		p.advance()
		return nil
	}
	for _, w := range words {
		if w.text != name {
			continue
		}
		p.advance()
		n := &node{test: test{field: fieldStatus, status: w.status}}
		if w.not {
			return p.negate(at, n)
		}
		return n
	}
	for _, k := range [...]struct {
		kind  kind
		field field
	}{{kindProto, fieldProto}, {kindFamily, fieldFamily}} {
		if n, ok := numberOf(k.kind, name); ok {
			p.advance()
			return &node{test: test{field: k.field, numbers: []span{{n, n}}}}
		}
	}
	return p.comparison()
}

func (p *parser) comparison() *node {
	var t test
	switch {
	case p.is("orig", "original"):
		t.dir = original
	case p.is("reply"):
		t.dir = reply
	}
	if t.dir != noDirection {
		p.advance()
		if p.kind != tokenWord {
			p.fail(p.at, "%s: expected a field of that direction, such as src or bytes", p.shown())
		}
	}
	at, name := p.at, strings.ToLower(p.word)
	var ok bool
	if t.field, ok = fieldOf(name); !ok {
		p.fail(at, "unknown condition %q%s", p.word, suggestion(name))
	}
	row := &fields[t.field]
	if t.dir != noDirection && !row.directed {
		p.fail(at, "%s does not differ between the directions", row.name)
	}
	p.advance()
	if row.kind == kindNAT {
		if p.is("to") {
			p.advance()
			p.set(&t, kindAddr)
		}
		return &node{test: t}
	}
	operator, opAt := "=", p.at
	if p.is("=", "==", "!=", "<", "<=", ">", ">=") {
		operator = p.word
		p.advance()
	}
	switch operator {
	case "=", "==", "!=":
		p.set(&t, row.kind)
		if operator == "!=" {
			return p.negate(at, &node{test: t})
		}
		return &node{test: t}
	}
	if !t.field.ordered() {
		p.fail(opAt, "%s can be equal or not, but not less or greater", row.name)
	}
	valueAt, value := p.value(row.name)
	n := p.number(row.kind, row.max, valueAt, value)
	s := span{0, row.max}
	switch {
	case operator == "<" && n == 0, operator == ">" && n == row.max:
		p.fail(opAt, "no %s is %s %s", row.name, operator, value)
	case operator == "<":
		s.hi = n - 1
	case operator == "<=":
		s.hi = n
	case operator == ">":
		s.lo = n + 1
	case operator == ">=":
		s.lo = n
	}
	t.numbers = []span{s}
	return &node{test: t}
}

// value reads one value.
func (p *parser) value(what string) (at int, text string) {
	if p.kind != tokenWord && p.kind != tokenQuoted || p.kind == tokenWord && reserved(p.word) {
		p.fail(p.at, "%s: expected a value for %s", p.shown(), what)
	}
	at, text = p.at, p.word
	p.advance()
	return at, text
}

// set reads values with commas between them.
func (p *parser) set(t *test, k kind) {
	row := &fields[t.field]
	for {
		quoted := p.kind == tokenQuoted
		at, text := p.value(row.name)
		p.add(t, k, row.max, at, text, quoted)
		if !p.is(",") {
			break
		}
		p.advance()
	}
	slices.SortFunc(t.numbers, func(a, b span) int { return cmp.Compare(a.lo, b.lo) })
	t.numbers = merged(t.numbers)
	slices.SortFunc(t.addrs, func(a, b addrSpan) int {
		return cmp.Or(a.lo.Compare(b.lo), b.hi.Compare(a.hi))
	})
	t.addrs = slices.Compact(t.addrs)
}

// merged joins spans in order that overlap or touch.
func merged(spans []span) []span {
	var out []span
	for _, s := range spans {
		if last := len(out) - 1; last >= 0 && (out[last].hi == math.MaxUint64 || s.lo <= out[last].hi+1) {
			out[last].hi = max(out[last].hi, s.hi)
		} else {
			out = append(out, s)
		}
	}
	return out
}

// add adds one value to the set of t.
func (p *parser) add(t *test, k kind, limit uint64, at int, text string, quoted bool) {
	switch k {
	case kindAddr:
		t.addrs = append(t.addrs, p.addrs(at, text))
	case kindState:
		var found bool
		for _, proto := range flow.Protos() {
			if n, ok := proto.ParseState(strings.ToUpper(text)); ok {
				found = true
				if s := (State{proto, n}); !slices.Contains(t.states, s) {
					t.states = append(t.states, s)
				}
			}
		}
		if !found {
			p.fail(at, "no protocol has a state %q", text)
		}
	case kindStatus:
		for _, bit := range flow.StatusBits() {
			if bit.Name() == strings.ToUpper(text) {
				t.status |= bit
				return
			}
		}
		p.fail(at, "no status is called %q", text)
	case kindMark:
		m := p.mark(at, text)
		if !slices.Contains(t.marks, m) {
			t.marks = append(t.marks, m)
		}
	case kindLabel:
		t.labels.Set(p.label(at, text))
	case kindText:
		if !slices.Contains(t.texts, text) {
			t.texts = append(t.texts, text)
		}
	default:
		t.numbers = append(t.numbers, p.span(k, limit, at, text, quoted))
	}
}

// span reads a number or a range of them.
func (p *parser) span(k kind, limit uint64, at int, text string, quoted bool) span {
	if n, ok := p.named(k, text); ok {
		return span{n, n}
	}
	lo, hi, isRange := strings.Cut(text, "-")
	if !isRange || lo == "" || quoted {
		n := p.number(k, limit, at, text)
		return span{n, n}
	}
	s := span{p.number(k, limit, at, lo), p.number(k, limit, at+len(lo)+1, hi)}
	if s.lo > s.hi {
		p.fail(at, "the range %s ends before it begins", text)
	}
	return s
}

// named looks text up among names.
func (p *parser) named(k kind, text string) (uint64, bool) {
	if k == kindPort && p.names.Service != nil && (text == "" || text[0] < '0' || text[0] > '9') {
		port, ok := p.names.Service(text)
		return uint64(port), ok
	}
	return numberOf(k, strings.ToLower(text))
}

// numberOf is the number of a protocol or family of that name.
func numberOf(k kind, name string) (uint64, bool) {
	switch k {
	case kindProto:
		switch name {
		case "icmp6", "ipv6-icmp":
			name = flow.ICMPv6.String()
		}
		n, ok := flow.ParseProto(name)
		return uint64(n), ok
	case kindFamily:
		for _, f := range []flow.Family{flow.IPv4, flow.IPv6} {
			if f.String() == name {
				return uint64(f), true
			}
		}
	}
	return 0, false
}

// number reads one number of at most limit.
func (p *parser) number(k kind, limit uint64, at int, text string) uint64 {
	if n, ok := p.named(k, text); ok {
		return n
	}
	var n uint64
	var err error
	switch k {
	case kindCount:
		n, err = parseUnits(text, count)
	case kindDuration:
		n, err = parseUnits(text, duration)
	case kindFamily:
		p.fail(at, "%q: the families are ipv4 and ipv6", text)
	case kindProto:
		if n, err = strconv.ParseUint(text, 0, 64); err != nil {
			p.fail(at, "no protocol is called %q", text)
		}
	case kindPort:
		if n, err = strconv.ParseUint(text, 0, 64); err != nil && p.names.Service != nil {
			p.fail(at, "%q is neither a port nor the name of a service", text)
		}
	default:
		n, err = strconv.ParseUint(text, 0, 64)
	}
	if err != nil {
		p.fail(at, "%q is not %s", text, [...]string{kindNumber: "a number", kindCount: "a number, such as 500, 10k, 1.5M or 2Gi",
			kindDuration: "a time, such as 90, 30s, 5m or 1h30m", kindPort: "a port"}[k])
	}
	if n > limit {
		p.fail(at, "%s is too large, at most %d is possible", text, limit)
	}
	return n
}

// mark reads value or value/mask, as conntrack does.
func (p *parser) mark(at int, text string) Mark {
	value, mask, masked := strings.Cut(text, "/")
	m := Mark{Value: uint32(p.number(kindNumber, math.MaxUint32, at, value)), Mask: ^uint32(0)}
	if masked {
		m.Mask = uint32(p.number(kindNumber, math.MaxUint32, at+len(value)+1, mask))
	}
	if m.Value&^m.Mask != 0 {
		p.fail(at, "%s selects nothing: the value has bits that the mask leaves out", text)
	}
	return m
}

func (p *parser) label(at int, text string) int {
	if p.names.Labels != nil {
		if bit, ok := p.names.Labels.Bit(text); ok {
			return bit
		}
	}
	n, err := strconv.ParseUint(text, 0, 64)
	if err != nil || n >= flow.LabelBits {
		p.fail(at, "%q is no label, which are numbers from 0 to %d%s", text, flow.LabelBits-1,
			map[bool]string{true: " or names from connlabel.conf"}[p.names.Labels != nil])
	}
	return int(n)
}

// addrs reads an address, a network or a range.
func (p *parser) addrs(at int, text string) addrSpan {
	lo, hi, isRange := strings.Cut(text, "-")
	if isRange {
		s := spanOf(p.addr(at, lo), p.addr(at+len(lo)+1, hi))
		if s.lo.BitLen() != s.hi.BitLen() || s.hi.Less(s.lo) {
			p.fail(at, "the range %s ends before it begins", text)
		}
		return s
	}
	if !strings.Contains(text, "/") {
		a := p.addr(at, text)
		return spanOf(a, a)
	}
	net, err := netip.ParsePrefix(text)
	if err != nil {
		p.fail(at, "%q is not a network, such as 192.0.2.0/24", text)
	}
	return spanOf(net.Masked().Addr(), lastOf(net))
}

func (p *parser) addr(at int, text string) netip.Addr {
	a, err := netip.ParseAddr(text)
	if err != nil || a.Zone() != "" {
		p.fail(at, "%q is not an address", text)
	}
	return a
}

// unit is what a number with units consists of.
type unit struct {
	name string
	size uint64
}

var count, duration = func() (c, d []unit) {
	for _, u := range countUnits {
		c = append(c, unit{strings.ToLower(u.name), u.size})
	}
	for _, u := range durationUnits {
		d = append(d, unit{u.name, uint64(u.size)})
	}
	return append(c, unit{"", 1}), append(d, unit{"", 1e9}) // without a unit: seconds
}()

// parseUnits reads numbers with units, which are added: 1h30m, 1.5M. A byte may be called so: 10MB, 10MiB.
func parseUnits(text string, units []unit) (sum uint64, err error) {
	for rest := text; ; {
		digits := 0
		for digits < len(rest) && (rest[digits] >= '0' && rest[digits] <= '9' || rest[digits] == '.') {
			digits++
		}
		end := digits
		for end < len(rest) && (rest[end] < '0' || rest[end] > '9') {
			end++
		}
		name := strings.ToLower(rest[digits:end])
		i := slices.IndexFunc(units, func(u unit) bool { return u.name == name })
		if i < 0 && units[0].name == "k" {
			i = slices.IndexFunc(units, func(u unit) bool { return u.name+"b" == name })
		}
		if digits == 0 || i < 0 || units[i].name == "" && rest != text {
			return 0, strconv.ErrSyntax
		}
		n, err := multiple(rest[:digits], units[i].size)
		if err != nil || sum+n < sum {
			return 0, strconv.ErrSyntax
		}
		sum += n
		if rest = rest[end:]; rest == "" {
			return sum, nil
		}
	}
}

// multiple is a decimal number times size, without what is left behind the point.
func multiple(decimal string, size uint64) (uint64, error) {
	whole, fraction, _ := strings.Cut(decimal, ".")
	if strings.Contains(fraction, ".") || whole == "" || strings.HasSuffix(decimal, ".") {
		return 0, strconv.ErrSyntax
	}
	n, err := strconv.ParseUint(whole, 10, 64)
	if err != nil || n > math.MaxUint64/size {
		return 0, strconv.ErrRange
	}
	// What is behind the point is below one unit, so neither step overflows.
	if len(fraction) > 18 {
		return 0, strconv.ErrRange
	}
	scale := uint64(1)
	for range fraction {
		scale *= 10
	}
	part, err := strconv.ParseUint("0"+fraction, 10, 64)
	if err != nil {
		return 0, err
	}
	hi, lo := bits.Mul64(part, size)
	part, _ = bits.Div64(hi, lo, scale)
	if n = n*size + part; n < part {
		return 0, strconv.ErrRange
	}
	return n, nil
}

// suggestion is a hint at what an unknown word may have been meant to be.
func suggestion(name string) string {
	best, least := "", 3
	try := func(word string) {
		if d := distance(name, word); d < least && d < len(word) {
			best, least = word, d
		}
	}
	for i := range fields {
		try(fields[i].name)
	}
	for i := range words {
		try(words[i].text)
	}
	for _, proto := range flow.Protos() {
		try(proto.String())
	}
	for _, word := range []string{"ipv4", "ipv6", "orig", "reply", "and", "not", "any"} {
		try(word)
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %s?", best)
}

// distance is how many letters have to be changed, added, left out or swapped with the next to make one word of another.
func distance(a, b string) int {
	before, row := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		next := make([]int, len(b)+1)
		next[0] = i + 1
		for j := range len(b) {
			change := row[j]
			if a[i] != b[j] {
				change++
			}
			next[j+1] = min(change, next[j]+1, row[j+1]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				next[j+1] = min(next[j+1], before[j-1]+1)
			}
		}
		before, row = row, next
	}
	return row[len(b)]
}
