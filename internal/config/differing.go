package config

import (
	"slices"
	"strings"
)

// Differing names the settings in which two configurations differ, as they stand in the file: "General { HashSize }",
// "Sync { Mode FTFW { ACKWindowSize } }". A block that only one has, or that is of another kind, is named for all that is
// in it. The Configs must be such that [Parse] made without error.
func Differing(a, b *Config) []string {
	x, y := a.effective(), b.effective()
	var names, blocks []string
	for _, s := range slices.Concat(x, y) { // in the order of the file, those that only b has at the end
		name := s.name()
		if slices.Contains(names, name) || slices.Equal(values(x, s.path), values(y, s.path)) ||
			slices.ContainsFunc(blocks, func(block string) bool { return strings.HasPrefix(s.path, block) }) {
			continue
		}
		names = append(names, name)
		if s.block {
			blocks = append(blocks, s.path+" ")
		}
	}
	return names
}

// effective is a line of the effective configuration.
type effective struct {
	path  string // the keywords that lead to it, and its own
	value string
	block bool
}

// name is the path with the braces of the file.
func (s *effective) name() string {
	words := strings.Split(s.path, pathMark)
	return strings.Join(words, " { ") + strings.Repeat(" }", len(words)-1)
}

// pathMark is between the words of a path. The blank at its end keeps words apart of which one begins like the other.
const pathMark = " \x00"

// lists are blocks whose lines are no settings.
var lists = []string{"ExpectationSync", "Protocol", "State"}

func values(all []effective, path string) (v []string) {
	for _, s := range all {
		if s.path == path {
			v = append(v, s.value)
		}
	}
	return v
}

func (c *Config) effective() (all []effective) {
	var within []string
	for line := range strings.Lines(string(c.AppendEffective(nil))) {
		line = strings.TrimSpace(line)
		if line == "}" {
			within = within[:len(within)-1]
			continue
		}
		header, block := strings.CutSuffix(line, " {")
		word, _, _ := strings.Cut(header, " ")
		path := strings.Join(append(slices.Clone(within), word), pathMark)
		if n := len(within); n > 0 && slices.Contains(lists, within[n-1]) {
			path = strings.Join(within, pathMark)
		}
		all = append(all, effective{path, header, block})
		if !block {
			continue
		}
		if word == "Mode" { // its keywords depend on which
			word = header
		}
		within = append(within, word)
	}
	return all
}
