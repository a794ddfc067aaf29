package config

import (
	"cmp"
	"errors"
	"slices"
	"strconv"
)

// Pos is a place in a file. Lines and columns count from 1, columns in bytes.
type Pos struct {
	File         string
	Line, Column int
}

// String is "file:line:column".
func (p Pos) String() string {
	return p.File + ":" + strconv.Itoa(p.Line) + ":" + strconv.Itoa(p.Column)
}

// Severity says what a problem means for the daemon.
type Severity uint8

const (
	Warning Severity = iota // it starts; Advice says with what
	Error                   // it does not start; has a Text
)

// String is "warning" or "error".
func (s Severity) String() string {
	if s == Error {
		return "error"
	}
	return "warning"
}

// Problem is something wrong or odd in a file.
type Problem struct {
	Pos
	Severity Severity
	Text     string // as conntrackd 1.4.9 says it, without the last newline; "" if it says nothing
	Advice   string // what is the matter and what to do
}

// String is "file:line:column: severity: advice".
func (p Problem) String() string {
	return p.Pos.String() + ": " + p.Severity.String() + ": " + p.Advice
}

// maxProblems bounds what a hostile file can cost. A first error is taken even beyond it.
const maxProblems = 1000

// File is a parsed file.
type File struct {
	// Config is what could be understood. Start nothing with it if there is an error.
	Config Config
	// Problems come in the order in which 1.4.9 would have found them, then those found by looking at the whole.
	Problems []Problem
	// Truncated says that there are more problems than fit; after the first error the file is then not read on.
	Truncated bool

	given  map[string]Pos
	failed bool
}

// Err returns all errors joined, nil if there is none.
func (f *File) Err() error {
	var all []error
	for _, p := range f.Problems {
		if p.Severity == Error {
			all = append(all, errors.New(p.String()))
		}
	}
	return errors.Join(all...)
}

// Original returns what conntrackd 1.4.9 says about the file: the problems with a Text, up to the
// first error, where it stops.
func (f *File) Original() []Problem {
	var said []Problem
	for _, p := range f.Problems {
		if p.Text != "" {
			said = append(said, p)
		}
		if p.Severity == Error {
			break
		}
	}
	return said
}

// Sorted returns the problems in the order of their places.
func (f *File) Sorted() []Problem {
	sorted := slices.Clone(f.Problems)
	slices.SortStableFunc(sorted, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return sorted
}

// Given reports whether a setting was written, and where last: "General.HashSize",
// "General.UNIX.Path", "Sync.Mode", "Sync.CommitTimeout" wherever it may stand, "Sync.Options.TCPWindowTracking",
// "Sync.UDP", "Stats.LogFile". It does not tell what is in a channel or in a helper.
func (f *File) Given(setting string) (Pos, bool) {
	pos, ok := f.given[setting]
	return pos, ok
}

func (f *File) report(p Problem) {
	first := p.Severity == Error && !f.failed
	f.failed = f.failed || first
	if f.full() && !first {
		f.Truncated = true
		return
	}
	f.Problems = append(f.Problems, p)
}

// full reports whether only a first error would be taken.
func (f *File) full() bool { return len(f.Problems) >= maxProblems }

// done reports whether nothing would be taken.
func (f *File) done() bool { return f.full() && f.failed }
