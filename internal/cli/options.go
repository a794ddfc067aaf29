package cli

import (
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/spoor-project/spoor/internal/compat/getopt"
)

// option is one of a command's options.
type option struct {
	name   string
	letter rune   // 0: none
	value  string // what its value is called; "": it has none
	help   string
}

// common are the options that every command has.
var common = []option{
	{"netns", 0, "NAME", "network namespace: a name, a path, or a process"},
	{"help", 'h', "", "show this help"},
}

func (c *command) all() []option { return append(slices.Clip(c.options), common...) }

// scan takes options from the arguments; what is left are words.
func (c *call) scan(args []string) error {
	all := c.cmd.all()
	var short strings.Builder
	var long []getopt.Long
	for i, o := range all {
		kind := getopt.None
		if o.value != "" {
			kind = getopt.Required
		}
		value := rune(-1 - i)
		if o.letter != 0 {
			value = o.letter
			short.WriteRune(o.letter)
			if o.value != "" {
				short.WriteByte(':')
			}
		}
		long = append(long, getopt.Long{Name: o.name, Arg: kind, Value: value})
	}
	s := getopt.New(append([]string{"spoor"}, args...), short.String(), long, false)
	c.given = make(map[string][]string)
	for {
		got, more := s.Next()
		if !more {
			break
		}
		switch {
		case errors.Is(got.Err, getopt.ErrMissingArg):
			return usagef("%s needs a value", got.Word)
		case got.Err != nil:
			return usagef("%s has no option %s", c.cmd.name, got.Word)
		}
		i := slices.IndexFunc(long, func(l getopt.Long) bool { return l.Value == got.Value })
		name := all[i].name
		c.given[name] = append(c.given[name], got.Arg)
	}
	c.words = s.Args[s.Index:]
	return nil
}

// has reports whether an option was given.
func (c *call) has(name string) bool { return len(c.given[name]) > 0 }

// value is the last value of an option, or what it is without.
func (c *call) value(name, without string) string {
	if v := c.given[name]; len(v) > 0 {
		return v[len(v)-1]
	}
	return without
}

// number is the value of an option that is a number from least on.
func (c *call) number(name string, least, without int) (int, error) {
	text := c.value(name, "")
	if !c.has(name) {
		return without, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < least {
		return 0, usagef("--%s %s: expected a number from %d on", name, text, least)
	}
	return n, nil
}
