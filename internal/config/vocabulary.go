package config

import (
	"fmt"
	"slices"
	"strings"
)

// vocabulary is what the grammar's tables say about words.
type vocabulary struct {
	reserved map[string]bool
	now      map[string]string   // present names of old words
	places   map[string][]string // names of the blocks where a word is valid
}

// within is a block whose type is not known.
type within interface{ tell(*vocabulary) }

func (b *block[T]) tell(v *vocabulary) {
	for i := range b.rows {
		r := &b.rows[i]
		if !r.ours {
			v.reserved[r.word] = true
		}
		if r.as != "" {
			v.now[r.word] = r.as
		}
		if !slices.Contains(v.places[r.word], b.name) {
			v.places[r.word] = append(v.places[r.word], b.name)
		}
		for _, inner := range r.in {
			inner.tell(v)
		}
	}
}

func (b *block[T]) words() []string {
	words := make([]string, len(b.rows))
	for i := range b.rows {
		words[i] = b.rows[i].word
	}
	return words
}

func newVocabulary(file within) vocabulary {
	v := vocabulary{make(map[string]bool), make(map[string]string), make(map[string][]string)}
	file.tell(&v)
	for _, words := range [][]string{tcpStates[1:], {"CLOSED", "for", "From", "Userspace", "Kernelspace", "Accept", "Ignore", "Default", "TCP", "UDP"}} {
		for _, w := range words {
			v.reserved[w] = true
		}
	}
	return v
}

// current is the present name of a word.
func (v *vocabulary) current(word string) string {
	if now, old := v.now[word]; old {
		return now
	}
	return word
}

// gone are keywords of long ago, and what to do about them.
var gone = map[string]string{
	"CacheWriteThrough":    "write DisableExternalCache in the Mode block",
	"DelayDestroyMessages": "remove it",
	"Family":               "remove it, both families are tracked",
	"IgnoreProtocol":       `write "Filter { Protocol Ignore { … } }" in General`,
	"IgnoreTrafficFor":     `write "Filter { Address Ignore { … } }" in General`,
	"ListenTo":             "remove it",
	"McastRcvSocketBuffer": "write RcvSocketBuffer in the Multicast block",
	"McastSndSocketBuffer": "write SndSocketBuffer in the Multicast block",
	"RelaxTransitions":     "remove it",
	"Replicate":            `write "Filter { State Accept { … for TCP } }" in General`,
	"StripNAT":             "remove it",
}

// misplaced reports a token where a keyword of a block should be.
func (p *parser) misplaced(t token, block string, words []string) {
	where := block
	if block == "" {
		where = "the file outside of all sections"
	}
	p.syntax(t, p.words.advice(&t, block, where, words))
	if t.isSection() || t.kind == opening {
		p.back(t)
	}
}

func (v *vocabulary) advice(t *token, block, where string, words []string) string {
	places := v.places[t.text]
	switch {
	case t.kind == closing:
		return `there is no block that "}" could close: remove it`
	case t.isSection():
		return fmt.Sprintf("%q begins a section, but %s is still open: %q is missing before it", t.text, block, "}")
	case t.kind&(keyword|name) == 0:
		return fmt.Sprintf("%s cannot stand here: %s needs a keyword, one of %s", t.describe(), where, strings.Join(words, ", "))
	case len(places) > 0:
		return fmt.Sprintf("%q is not valid in %s; it belongs in %s", t.text, where, strings.Join(places, " or "))
	case gone[t.text] != "":
		return fmt.Sprintf("%q does not exist any more: %s", t.text, gone[t.text])
	}
	if near := nearest(t.text, words); near != "" {
		return fmt.Sprintf("%s has no keyword %q; did you mean %q?", where, t.text, near)
	}
	all := make([]string, 0, len(v.places))
	for w := range v.places {
		all = append(all, w)
	}
	slices.Sort(all)
	if near := nearest(t.text, all); near != "" {
		return fmt.Sprintf("%s has no keyword %q; did you mean %q, which belongs in %s?", where, t.text, near, strings.Join(v.places[near], " or "))
	}
	return fmt.Sprintf("%s has no keyword %q, only %s", where, t.text, strings.Join(words, ", "))
}

// nearest returns the word that t was probably meant to be, "" if there is none.
func nearest(t string, words []string) string {
	best, least := "", 0
	for _, w := range words {
		if strings.EqualFold(t, w) {
			return w
		}
		if len(t) > len(w)+3 || len(w) > len(t)+3 {
			continue
		}
		if d := distance(strings.ToLower(t), strings.ToLower(w)); d <= 1+min(len(t), len(w))/4 && (best == "" || d < least) {
			best, least = w, d
		}
	}
	return best
}

// distance is how many letters must be changed, added, removed or swapped with their neighbour to make b of a.
func distance(a, b string) int {
	var before, last []int
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before, last, row = last, row, make([]int, len(b)+1)
		row[0] = i + 1
		for j := range len(b) {
			change := 1
			if a[i] == b[j] {
				change = 0
			}
			row[j+1] = min(last[j]+change, last[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
	}
	return row[len(b)]
}

// isSection reports whether the token is a keyword that is valid outside of all blocks, and only there.
func (t *token) isSection() bool {
	return t.kind == keyword && (t.text == "General" || t.text == "Sync" || t.text == "Stats" || t.text == "Helper")
}

func (t *token) isOneOf(words []string) bool {
	return t.kind == keyword && slices.Contains(words, t.text)
}

// describe is how a message calls the token.
func (t *token) describe() string {
	switch t.kind {
	case end:
		return "the end of the file"
	case number, signed:
		return "the number " + short(t.text)
	case keyword:
		return fmt.Sprintf("the keyword %q", t.text)
	case stray:
		if hint := strays[t.text]; hint != "" {
			return hint
		}
	case boolean:
		return fmt.Sprintf("the boolean %q", t.text)
	case mode:
		return fmt.Sprintf("the mode %q", t.text)
	}
	return fmt.Sprintf("%q", short(t.text))
}

var strays = map[string]string{
	`"`: "a quotation mark (there is no quoting)",
	"'": "a quotation mark (there is no quoting)",
	"=": `"=" (a value follows its keyword after a blank)`,
	";": `";" (nothing stands between settings)`,
	",": `"," (nothing stands between values)`,
}

// short keeps messages readable.
func short(s string) string {
	const most = 60
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}

// wanted lists kinds of values.
func wanted(kinds tokens) string {
	var all []string
	for _, k := range []struct {
		kind tokens
		name string
	}{
		{boolean, "on or off"}, {number, "a number"}, {signed, "a number with a sign"}, {ipv4 | ipv6, "an address"},
		{path, "a path that begins with /"}, {name, "a name"},
	} {
		if kinds&k.kind != 0 {
			all = append(all, k.name)
		}
	}
	return strings.Join(all, " or ")
}
