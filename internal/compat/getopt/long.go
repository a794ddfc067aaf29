package getopt

import "strings"

// Long is a long option.
type Long struct {
	Name  string // without the dashes
	Arg   Arg
	Value rune // the letter it is a synonym of, or any number of its own
	Exact bool // never abbreviated, so that it cannot make an older abbreviation ambiguous
}

// find returns the position of the option that name stands for, or -1 if there
// is none or more than one.
func find(table []Long, name string) int {
	first, ambiguous := -1, false
	for i := range table {
		l := &table[i]
		switch {
		case name != "" && (l.Name == "" || l.Name[0] != name[0]): // cheap, and nearly always enough
		case !strings.HasPrefix(l.Name, name):
		case len(l.Name) == len(name):
			return i
		case l.Exact:
		case first < 0:
			first = i
		case l.Arg != table[first].Arg || l.Value != table[first].Value:
			ambiguous = true // unless an exact name follows
		}
	}
	if ambiguous {
		return -1
	}
	return first
}
