package guard

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spoor-project/spoor/filter"
)

// Problem is what is wrong at a place of the rules.
type Problem struct {
	Line, Column int // from 1; columns count bytes
	Text         string
}

// Problems are all that is wrong with a text of rules. They are an error.
type Problems []Problem

func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, at := range p {
		lines[i] = fmt.Sprintf("line %d, column %d: %s", at.Line, at.Column, at.Text)
	}
	return strings.Join(lines, "\n")
}

// Limits of a text of rules.
const (
	mostLines = 10_000
	mostLine  = 4096 // bytes
)

// ParseRules reads rules. An error is [Problems]: all there are, not only the first.
func ParseRules(text string) (*Rules, error) {
	p := parser{rules: &Rules{Memory: DefaultLimits, Brake: Brake{Actions: 30, Within: time.Minute}}}
	for i, line := range strings.Split(text, "\n") {
		if p.line = i + 1; p.line > mostLines {
			p.fail(1, "more than %d lines", mostLines)
			break
		}
		p.parseLine(strings.TrimSuffix(line, "\r"))
	}
	if len(p.problems) > 0 {
		return nil, p.problems
	}
	return p.rules, nil
}

// word is a part of a line. A comma that was not quoted is a word of its own.
type word struct {
	text   string
	column int
	comma  bool
}

type parser struct {
	rules    *Rules
	problems Problems
	line     int
	text     string // of the line
	words    []word // that have not been read yet
	seen     map[string]int
}

func (p *parser) fail(column int, format string, args ...any) {
	p.problems = append(p.problems, Problem{p.line, column, fmt.Sprintf(format, args...)})
}

// errAt is a problem with a place in the line.
type errAt struct {
	column int
	text   string
}

func (e *errAt) Error() string { return e.text }

func at(column int, format string, args ...any) error {
	return &errAt{column, fmt.Sprintf(format, args...)}
}

func (p *parser) parseLine(text string) {
	p.text = text
	err := p.split()
	if err == nil && len(p.words) > 0 {
		err = p.statement()
	}
	if e := (*errAt)(nil); errors.As(err, &e) {
		p.fail(e.column, "%s", e.text)
	}
}

// split cuts the line into words, up to a comment or to the word where, which is kept together with what follows.
func (p *parser) split() error {
	p.words = p.words[:0]
	s := p.text
	if len(s) > mostLine {
		return at(mostLine, "a line of more than %d bytes", mostLine)
	}
	for i := 0; i < len(s); {
		c := s[i]
		switch {
		case c == ' ' || c == '\t':
			i++
		case c == '#':
			return nil
		case c == ',':
			p.words = append(p.words, word{",", i + 1, true})
			i++
		case c == '"':
			quoted, err := strconv.QuotedPrefix(s[i:])
			if err != nil {
				return at(i+1, "a quotation mark without its other half")
			}
			text, _ := strconv.Unquote(quoted)
			p.words = append(p.words, word{text, i + 1, false})
			i += len(quoted)
		case c < ' ' || c == 0x7f:
			return at(i+1, "a control character")
		default:
			n := strings.IndexAny(s[i:], " \t,#\"")
			if n < 0 {
				n = len(s) - i
			}
			p.words = append(p.words, word{s[i : i+n], i + 1, false})
			i += n
			if p.words[len(p.words)-1].text == "where" && len(p.words) > 1 {
				rest, _, _ := strings.Cut(s[i:], "#")
				blanks := len(rest) - len(strings.TrimLeft(rest, " \t"))
				p.words = append(p.words, word{strings.TrimSpace(rest), i + 1 + blanks, false})
				return nil
			}
		}
	}
	return nil
}

// next takes the next word; a zero word is the end.
func (p *parser) next() (w word) {
	if len(p.words) == 0 {
		return word{column: len(p.text) + 1}
	}
	w, p.words = p.words[0], p.words[1:]
	return w
}

func (p *parser) statement() error {
	first := p.next()
	if p.seen == nil {
		p.seen = make(map[string]int)
	}
	if before, ok := p.seen[first.text]; ok && first.text != "allow" && first.text != "inside" {
		return at(first.column, "%s has been set in line %d", first.text, before)
	}
	p.seen[first.text] = p.line
	if k, ok := KindNamed(first.text); ok {
		return p.rule(k)
	}
	switch first.text {
	case "allow":
		return p.prefixes(&p.rules.Allow)
	case "inside":
		return p.prefixes(&p.rules.Inside)
	case "limit":
		values, err := p.values("limit", []param{{"actions", number, 30, 0, 1e6}, {"within", span, 60, 1, 86400}})
		if err == nil {
			p.rules.Brake = Brake{int(values[0]), time.Duration(values[1] * float64(time.Second))}
		}
		return err
	case "memory":
		d := DefaultLimits
		values, err := p.values("memory", []param{{"flows", number, float64(d.Flows), 1 << 10, 1 << 26},
			{"sources", number, float64(d.Sources), 1 << 10, 1 << 26}, {"services", number, float64(d.Services), 1 << 10, 1 << 26}})
		if err == nil {
			p.rules.Memory = Limits{int(values[0]), int(values[1]), int(values[2])}
		}
		return err
	}
	return at(first.column, "unknown word %q; expected allow, inside, limit, memory or one of %s", first.text, strings.Join(kindNames(), ", "))
}

func kindNames() []string {
	names := make([]string, numKinds)
	for k := range kinds {
		names[k] = kinds[k].name
	}
	return names
}

func (p *parser) rule(k Kind) (err error) {
	if len(p.words) == 1 && p.words[0].text == "off" {
		p.words = nil
		return nil
	}
	r := &Rule{Kind: k, Where: new(filter.Query), Line: p.line}
	if r.Values, err = p.values(k.String(), kinds[k].params); err != nil {
		return err
	}
	if len(p.words) > 0 && p.words[0].text == "then" {
		p.next()
		if err := p.responses(r); err != nil {
			return err
		}
	}
	if len(p.words) > 0 && p.words[0].text == "where" {
		p.next()
		query := p.next()
		if query.text == "" {
			return at(query.column, "where wants a query, such as: where not src 192.0.2.0/24")
		}
		if r.Where, err = filter.Parse(query.text); err != nil {
			column := query.column
			if e := (*filter.SyntaxError)(nil); errors.As(err, &e) {
				return at(column+e.Column-1, "%s", e.Text)
			}
			return at(column, "%v", err)
		}
	}
	if rest := p.next(); rest.text != "" || rest.comma {
		return at(rest.column, "unexpected %q; expected NAME=VALUE, then or where", rest.text)
	}
	p.rules.Of[k] = r
	return nil
}

// values reads words NAME=VALUE; those not given have their usual value.
func (p *parser) values(of string, params []param) ([]float64, error) {
	values := make([]float64, len(params))
	given := make([]bool, len(params))
	for i := range params {
		values[i] = params[i].usual
	}
	for len(p.words) > 0 {
		w := p.words[0]
		name, text, ok := strings.Cut(w.text, "=")
		if !ok {
			break
		}
		p.next()
		i := slices.IndexFunc(params, func(q param) bool { return q.name == name })
		if i < 0 {
			names := make([]string, len(params))
			for i := range params {
				names[i] = params[i].name
			}
			return nil, at(w.column, "%s has no %q; it has %s", of, name, strings.Join(names, ", "))
		}
		if given[i] {
			return nil, at(w.column, "%s is given twice", name)
		}
		given[i] = true
		q := &params[i]
		v, ok := q.unit.parse(text)
		if !ok {
			return nil, at(w.column+len(name)+1, "%s=%s: expected %s", name, text, q.unit.expected())
		}
		if v < q.least || v > q.most {
			return nil, at(w.column+len(name)+1, "%s=%s: must be from %s to %s", name, text, q.unit.text(q.least), q.unit.text(q.most))
		}
		values[i] = v
	}
	if of == "limit" || of == "memory" {
		if rest := p.next(); rest.text != "" || rest.comma {
			return nil, at(rest.column, "unexpected %q; expected NAME=VALUE", rest.text)
		}
	}
	return values, nil
}

func (u unit) expected() string {
	return [...]string{"a number", "a rate such as 500/s", "a share such as 90%", "a time such as 90s, 10m, 6h or 1d", "bytes such as 500M or 10G"}[u]
}

// parse reads a value, without a fraction for numbers and times.
func (u unit) parse(text string) (float64, bool) {
	scale, ok := 1.0, true
	switch u {
	case perSecond:
		text, ok = strings.CutSuffix(text, "/s")
	case share:
		text, ok = strings.CutSuffix(text, "%")
		scale = 100
	case span:
		seconds := 0.0
		for _, s := range spans {
			if rest, has := strings.CutSuffix(text, s.letter); has {
				text, seconds = rest, s.seconds
			}
		}
		n, err := strconv.ParseUint(text, 10, 32)
		return float64(n) * seconds, err == nil && seconds > 0
	case volume:
		for i := range volumes[1:] {
			if rest, has := strings.CutSuffix(text, volumes[i+1:i+2]); has {
				n, err := strconv.ParseUint(rest, 10, 32)
				return float64(n) * float64(uint64(1)<<(10*(i+1))), err == nil
			}
		}
		fallthrough
	case number:
		n, err := strconv.ParseUint(text, 10, 53)
		return float64(n), err == nil && n < 1<<53
	}
	if !ok || strings.ContainsAny(text, "eExXpPnN_+-") {
		return 0, false
	}
	v, err := strconv.ParseFloat(text, 64)
	if u == share {
		// To the ten-thousandth, so that what is written is what is meant.
		v = math.Round(v*10_000) / 10_000
	}
	return v / scale, err == nil
}

// responses reads a list with commas, up to where.
func (p *parser) responses(r *Rule) error {
	for {
		do := p.next()
		t := Respond{}
		var args []word
		for len(p.words) > 0 && !p.words[0].comma && p.words[0].text != "where" {
			args = append(args, p.next())
		}
		wants := func(n int, what string) error {
			if len(args) < n {
				return at(do.column+len(do.text), "%s wants %s", do.text, what)
			}
			if len(args) > n {
				return at(args[n].column, "unexpected %q after %s", args[n].text, do.text)
			}
			return nil
		}
		switch do.text {
		case "block":
			if err := wants(1, "a time, such as block 1h"); err != nil {
				return err
			}
			v, ok := span.parse(args[0].text)
			if !ok || v < 1 || v > 30*86400 {
				return at(args[0].column, "block %s: expected a time from 1s to 30d", args[0].text)
			}
			t.Do, t.For = Block, time.Duration(v*float64(time.Second))
		case "delete":
			if err := wants(0, ""); err != nil {
				return err
			}
			t.Do = Delete
		case "run":
			if len(args) == 0 || !strings.HasPrefix(args[0].text, "/") {
				return at(do.column, "run wants the absolute path of a program")
			}
			t.Do = Run
			for _, a := range args {
				if strings.ContainsRune(a.text, 0) {
					return at(a.column, "an argument with a zero byte")
				}
				t.Command = append(t.Command, a.text)
			}
		case "post":
			if err := wants(1, "a URL"); err != nil {
				return err
			}
			if err := CheckURL(args[0].text); err != nil {
				return at(args[0].column, "post %v", err)
			}
			t.Do, t.URL = Post, args[0].text
		default:
			return at(do.column, "unknown response %q; expected block, delete, run or post", do.text)
		}
		if slices.ContainsFunc(r.Then, func(o Respond) bool { return o.Do == t.Do && t.Do != Run && t.Do != Post }) {
			return at(do.column, "%s is given twice", do.text)
		}
		r.Then = append(r.Then, t)
		if len(p.words) == 0 || !p.words[0].comma {
			return nil
		}
		p.next()
	}
}

// CheckURL says what is wrong with a URL that findings are to be sent to.
func CheckURL(text string) error {
	if u, err := url.Parse(text); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return fmt.Errorf("%s: expected http://HOST/… or https://HOST/…", text)
	}
	return nil
}

func (p *parser) prefixes(into *[]netip.Prefix) error {
	for len(p.words) > 0 {
		if err := p.prefix(into); err != nil {
			return err
		}
	}
	return nil
}

// prefix reads an address or a network.
func (p *parser) prefix(into *[]netip.Prefix) error {
	w := p.next()
	if w.comma {
		return nil
	}
	network, err := netip.ParsePrefix(w.text)
	if a, bad := netip.ParseAddr(w.text); err != nil && bad == nil && a.Zone() == "" {
		network, err = a.Prefix(a.BitLen())
	}
	if err != nil {
		return at(w.column, "%q is neither an address nor a network", w.text)
	}
	if network.Addr().Is4In6() {
		return at(w.column, "%s: write the IPv4 address itself", w.text)
	}
	if network != network.Masked() {
		return at(w.column, "%s has bits set behind its mask; did you mean %s?", network, network.Masked())
	}
	if !slices.Contains(*into, network) {
		*into = append(*into, network)
	}
	return nil
}
