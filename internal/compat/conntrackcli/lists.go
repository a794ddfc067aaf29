package conntrackcli

import (
	"strings"

	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/render"
)

// The values of -u, -e and -o are comma lists of words that can be shortened.

// formats is what -o asks for.
type formats struct {
	xml, extended, timestamp, id, ktimestamp, labels, save bool
	json, jsonl, csv                                       bool
}

// ours reports whether the format is one that the original does not have.
func (o *formats) ours() bool { return o.json || o.jsonl || o.csv }

// outputNames are the words of -o, in the order in which an abbreviation is looked
// up. Ours stand last: no old abbreviation means something else.
var outputNames = []struct {
	name string
	set  func(*formats)
}{
	{"xml", func(o *formats) { o.xml = true }},
	{"extended", func(o *formats) { o.extended = true }},
	{"timestamp", func(o *formats) { o.timestamp = true }},
	{"id", func(o *formats) { o.id = true }},
	{"ktimestamp", func(o *formats) { o.ktimestamp = true }},
	{"labels", func(o *formats) { o.labels = true }},
	{"userspace", func(*formats) {}}, // always shown
	{"save", func(o *formats) { o.save = true }},
	{"json", func(o *formats) { o.json = true }},
	{"jsonl", func(o *formats) { o.jsonl = true }},
	{"csv", func(o *formats) { o.csv = true }},
}

// eventNames are the words of -e.
var eventNames = []struct {
	name  string
	types []flow.EventType
}{
	{"ALL", []flow.EventType{flow.New, flow.Update, flow.Destroy}},
	{"NEW", []flow.EventType{flow.New}},
	{"UPDATES", []flow.EventType{flow.Update}},
	{"DESTROY", []flow.EventType{flow.Destroy}},
}

// statusNames are the words of -u, in the order in which an abbreviation is looked up.
var statusNames = []struct {
	name string
	bit  flow.Status
}{
	{"ASSURED", flow.Assured}, {"SEEN_REPLY", flow.SeenReply}, {"UNSET", 0}, {"FIXED_TIMEOUT", flow.FixedTimeout},
	{"EXPECTED", flow.Expected}, {"OFFLOAD", flow.Offload}, {"HW_OFFLOAD", flow.HWOffload},
}

// eachElement calls f for the elements of a comma list until it returns false, with
// the element and the text from it to the end.
func eachElement(list string, f func(element, rest string) bool) {
	for {
		element, tail, more := strings.Cut(list, ",")
		if !f(element, list) || !more {
			return
		}
		list = tail
	}
}

// abbreviates reports whether word, in any case, is a beginning of name.
func abbreviates(word, name string) bool {
	return len(word) <= len(name) && strings.EqualFold(word, name[:len(word)])
}

// natWarnings are words that every list takes and ignores.
var natWarnings = []struct{ name, warning string }{
	{"SRC_NAT", "WARNING: ignoring SRC_NAT, use --src-nat instead\n"},
	{"DST_NAT", "WARNING: ignoring DST_NAT, use --dst-nat instead\n"},
}

// list reads a comma list: element is called with each word until it does not know one.
func (p *parser) list(arg string, element func(word string) bool) (err error) {
	eachElement(arg, func(word, rest string) bool {
		for _, w := range natWarnings {
			if word != "" && abbreviates(word, w.name) {
				p.warnings += w.warning
				return true
			}
		}
		if word == "" || !element(word) {
			err = usagef("Bad parameter `%s'", rest)
			return false
		}
		return true
	})
	return err
}

func (p *parser) status(arg string) (err error) {
	s := &p.tmpl.status
	// A negated word is shown without its mark in messages, so the list is
	// walked here.
	eachElement(arg, func(word, rest string) bool {
		word, negated := strings.CutPrefix(word, "!")
		if !negated && strings.HasPrefix(word, "UNREPLIED") {
			s.mask |= flow.SeenReply
			s.not |= flow.SeenReply
			return true
		}
		err = p.list(word, func(word string) bool {
			for _, row := range statusNames {
				if !abbreviates(word, row.name) {
					continue
				}
				if negated {
					s.mask |= row.bit
					s.not |= row.bit
				} else {
					s.set |= row.bit
				}
				s.unset = s.unset || row.bit == 0
				return true
			}
			return false
		})
		if err != nil {
			err = usagef("Bad parameter `%s'", strings.TrimPrefix(rest, "!"))
		}
		return err == nil
	})
	if s.mask == 0 {
		s.mask = s.set
	}
	return err
}

func (p *parser) events(arg string) error {
	if p.types == nil {
		p.types = []flow.EventType{}
	}
	return p.list(arg, func(word string) bool {
		for _, row := range eventNames {
			if abbreviates(word, row.name) {
				p.types = append(p.types, row.types...)
				return true
			}
		}
		return false
	})
}

func (p *parser) output(arg string) error {
	err := p.list(arg, func(word string) bool {
		for _, row := range outputNames {
			if abbreviates(word, row.name) {
				row.set(&p.show)
				return true
			}
		}
		return false
	})
	o := &p.show
	if err == nil && o.save && (o.xml || o.extended || o.timestamp || o.id || o.ktimestamp || o.labels) {
		return failf("cannot combine save output with any other output type, use -o save only")
	}
	formats := 0
	for _, given := range []bool{o.xml, o.save, o.json, o.jsonl, o.csv} {
		if given {
			formats++
		}
	}
	if err == nil && formats > 1 {
		return usagef("choose one of the outputs xml, save, json, jsonl and csv")
	}
	return err
}

// style is the form of the output of flows.
func (r *request) style() render.Style {
	s := render.Style{Extended: r.show.extended, ID: r.show.id, Labels: r.labels}
	switch {
	case r.show.xml:
		s.Format = render.XML
	case r.show.save:
		s.Format = render.Save
	case r.show.json:
		s.Format = render.JSON
	case r.show.jsonl:
		s.Format = render.JSONL
	case r.show.csv:
		s.Format = render.CSV
	}
	return s
}
