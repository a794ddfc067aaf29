package conntrackcli

import (
	"strings"

	"github.com/spoor-project/spoor/internal/compat/getopt"
)

// Lines of a file of commands are mostly alike: the same options in the same places,
// with other values. A shape remembers how such a line was scanned, so that the
// next one need not be: the options are found to be the same, word for word, and
// their values are read straight away.

// shape is a command line of options each of which stands in an element of its own,
// with its value, if any, in the next.
type shape struct {
	elements int // of the vector, all of them in steps but the first
	steps    []shapeStep
}

// shapeStep is an option of a shape.
type shapeStep struct {
	at, next int // where it stands, and where scanning went on
	word     string
	value    string // of options whose value decides what others mean
	fixed    bool   // value must be the same

	// What the option is; one of these.
	command *command
	option  *option
	ext     extID

	hasValue bool // it takes an element, besides those it takes itself
}

// maxShapes is how many shapes a parser remembers.
const maxShapes = 8

// record adds an option that has just been handled to the shape being scanned; at is
// where the scanner was before. ok is false if the line is not of the plain kind.
func (s *shape) record(p *parser, at int, opt getopt.Option) (ok bool) {
	next := p.scan.Index
	row := scannerTables()
	switch {
	case at != s.elements: // something was passed over
		return false
	case opt.Value >= extValue, row.options[opt.Value] != nil:
		if next != at+2 || opt.HasArg && opt.Arg != p.scan.Args[at+1] {
			return false // attached, abbreviated into a cluster, or without a value
		}
	case next != at+1 || opt.HasArg: // a command
		return false
	}
	// The words are copied: the line's memory is not kept.
	step := shapeStep{at: at, next: next, word: strings.Clone(p.scan.Args[at]), hasValue: opt.HasArg}
	if opt.Value >= extValue {
		step.ext = extID(opt.Value % extValue)
	} else {
		step.command, step.option = row.commands[opt.Value], row.options[opt.Value]
	}
	if step.option != nil && step.option.id == optProto {
		step.fixed, step.value = true, strings.Clone(opt.Arg)
	}
	s.steps = append(s.steps, step)
	s.elements = next
	return true
}

// fits reports whether args has the shape s.
func (s *shape) fits(args []string) bool {
	if len(args) != s.elements {
		return false
	}
	for i := range s.steps {
		step := &s.steps[i]
		if args[step.at] != step.word || step.fixed && args[step.at+1] != step.value {
			return false
		}
	}
	return true
}

// apply handles the options of a line that fits s. done is false if it turned out to
// need scanning: a word that could be the value of an option was not.
func (s *shape) apply(p *parser, args []string) (done bool, err error) {
	p.scan.Args = append(p.scan.Args[:0], args...)
	for i := range s.steps {
		step := &s.steps[i]
		value := ""
		p.scan.Index = step.at + 1
		if step.hasValue {
			value = args[step.at+1]
			p.scan.Index++
		}
		switch {
		case step.option != nil:
			err = p.generic(step.option, value)
		case step.command != nil:
			err = p.command(step.command, false)
		default:
			err = p.extOption(step.ext, value)
		}
		if err != nil {
			return true, err
		}
		if p.scan.Index != step.next {
			return false, nil
		}
	}
	return true, nil
}
