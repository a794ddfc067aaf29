package conntrackcli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spoor-project/spoor/internal/compat/getopt"
)

// The completions of the three shells offer the same: commands until there is one,
// then its tables and the options that go with it, the options of a protocol once
// -p named it, and the words, files and namespaces that are values. make generate
// writes them to packaging/completions.

// source is what the completion of an option's value is drawn from.
type source uint8

const (
	fromNothing source = iota
	fromWords          // one of them
	fromList           // several, by commas
	fromFiles
	fromNamespaces
	fromLabels // the label map; several, by commas
)

// valuesOf tells what the value of an option can be.
func valuesOf(id optionID) (source, []string) {
	switch id {
	case optProto:
		return fromWords, protocolWords()
	case optFamily:
		return fromWords, []string{"ipv4", "ipv6"}
	case optStatus:
		return fromList, itemNames(manStatus[:])
	case optEventMask:
		return fromList, itemNames(manEvents[:])
	case optOutput:
		return fromList, itemNames(manFormats[:])
	case optLabelMap:
		return fromFiles, nil
	case optNetNS:
		return fromNamespaces, nil
	case optLabel, optLabelAdd, optLabelDel:
		return fromLabels, nil
	}
	return fromNothing, nil
}

// extValuesOf tells what the value of a protocol's option can be.
func extValuesOf(e *extension, id extID) []string {
	switch id {
	case extState:
		return stateNames(e)
	case extRole:
		if e.option(id) != nil {
			return []string{"client", "server"}
		}
	}
	return nil
}

func itemNames(items []manItem) []string {
	var names []string
	for _, i := range items {
		names = append(names, strings.Trim(i.name, "{}"))
	}
	return names
}

// protocolWords are the protocols that have options.
func protocolWords() []string {
	var names []string
	for i := range extensions {
		names = append(names, extensions[i].proto.String())
	}
	return names
}

// spellings are all ways to write an option, the letter first.
func (o *option) spellings() []string {
	var s []string
	if o.letter != 0 && isLetter(o.letter) {
		s = append(s, "-"+string(rune(o.letter)))
	}
	for _, name := range append([]string{o.name}, o.names...) {
		s = append(s, "--"+name)
	}
	return s
}

func (o *extOption) spellings() []string {
	s := []string{"--" + o.name}
	if o.alias != "" {
		s = append(s, "--"+o.alias)
	}
	return s
}

// lawNames are what the scripts call the rules for a protocol's options.
var lawNames = [...]string{
	extNone: "none", extSelect: "select", extUpdate: "update", extGet: "get",
	extCreate: "create", extExpectCreate: "announce", extExpectLookup: "lookup",
}

// usage is a command with a table, and what goes with it.
type usage struct {
	command *command
	table   string
	options []*option
	proto   extRules
}

// usages lists all commands with all their tables.
func usages() []usage {
	var all []usage
	for i := range commandTable {
		c := &commandTable[i]
		for t := range tableNames {
			r, ok := c.rules[tableID(t)]
			if !ok {
				continue
			}
			u := usage{command: c, table: tableNames[t], proto: r.proto}
			for _, id := range (r.must | r.may).list() {
				u.options = append(u.options, id.row())
			}
			all = append(all, u)
		}
	}
	return all
}

// tablesOf are the names of the tables that a command can be used with, if that
// means anything.
func tablesOf(c *command) []string {
	var names []string
	for t := range tableNames {
		if _, ok := c.rules[tableID(t)]; ok && c.id != cmdVersion && c.id != cmdHelp {
			names = append(names, tableNames[t])
		}
	}
	return names
}

// protocolUsage is a protocol with what a command holds its options to; before there
// is a command, all of them go.
type protocolUsage struct {
	ext *extension
	law string
	may extSet
}

func (p protocolUsage) key() string { return p.ext.proto.String() + "/" + p.law }

func (p protocolUsage) options() []*extOption { return p.ext.having(p.may) }

// allowed are the options of e that a rule allows or needs.
func (e *extension) allowed(r extRules) extSet {
	s := extLegality[r].must | extLegality[r].may
	if r == extExpectCreate {
		s |= e.expectMust
	}
	return s & e.known()
}

func protocolUsages() []protocolUsage {
	var all []protocolUsage
	for _, e := range pointers(extensions[:]) {
		all = append(all, protocolUsage{e, "", e.known()})
		for r := range extLegality {
			all = append(all, protocolUsage{e, lawNames[r], e.allowed(extRules(r))})
		}
	}
	return all
}

// script collects lines of a shell.
type script struct{ strings.Builder }

func (s *script) linef(format string, args ...any) { fmt.Fprintf(s, format+"\n", args...) }

// groups joins keys with the same value, in order.
func groups[T any](items []T, key, value func(T) string) (keys [][]string, values []string) {
	for _, item := range items {
		v := value(item)
		if v == "" {
			continue
		}
		i := slices.Index(values, v)
		if i < 0 {
			i = len(values)
			values, keys = append(values, v), append(keys, nil)
		}
		keys[i] = append(keys[i], key(item))
	}
	return keys, values
}

// BashCompletion returns the completion for bash.
func BashCompletion() string {
	var s script
	s.linef("# Completion of conntrack(8) for bash. Made by make generate: do not edit.\n")
	s.WriteString(bashFunctions)
	s.linef("\n_conntrack()\n{")
	s.linef("\tlocal cur prev word next command='' table=conntrack proto='' map=%s options='' law='' i", defaultLabelMap)
	s.WriteString(bashScan)
	s.bashCommands()
	s.bashValues()
	s.bashOptions()
	s.linef("\t_conntrack_words \"$options\"\n}\ncomplete -F _conntrack conntrack")
	return s.String()
}

const bashFunctions = `# _conntrack_words WORD... offers words.
_conntrack_words()
{
	mapfile -t COMPREPLY < <(compgen -W "$*" -- "$cur")
}

# _conntrack_list WORD... offers words for the last place of a comma list.
_conntrack_list()
{
	local last=${cur##*,} word
	local before=${cur%"$last"}
	if [[ $last == '!'* ]]; then
		before+='!' last=${last#!}
	fi
	COMPREPLY=()
	for word; do
		[[ ${word,,} == "${last,,}"* ]] && COMPREPLY+=("$before$word")
	done
	compopt -o nospace 2>/dev/null
}

# _conntrack_labels FILE offers names of labels.
_conntrack_labels()
{
	local bit name names=()
	while read -r bit name; do
		[[ $bit == [0-9]* && $name != *' '* ]] && names+=("$name")
	done 2>/dev/null <"$1"
	_conntrack_list "${names[@]}"
}

_conntrack_namespaces()
{
	local file names=()
	for file in /run/netns/*; do
		[[ -e $file ]] && names+=("${file##*/}")
	done
	_conntrack_words "${names[@]}"
}

_conntrack_files()
{
	mapfile -t COMPREPLY < <(compgen -f -- "$cur")
	compopt -o filenames 2>/dev/null
}
`

// An equals sign is a word of its own: "--output = xml".
const bashScan = `
	cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}
	[[ $prev == '=' ]] && prev=${COMP_WORDS[COMP_CWORD-2]}
	[[ $cur == '=' ]] && cur=''
	for ((i = 1; i < COMP_CWORD; i++)); do
		word=${COMP_WORDS[i]} next=${COMP_WORDS[i+1]}
		[[ $next == '=' ]] && next=${COMP_WORDS[i+2]}
		((i + 1 < COMP_CWORD)) || next=''
		case $word in
		-p | --protonum) proto=${next,,} ;;
		-p*) proto=${word#-p} proto=${proto,,} ;;
		--labelmap) map=$next ;;
`

func (s *script) bashCommands() {
	for i := range commandTable {
		c := &commandTable[i]
		s.linef("\t\t-%c | --%s)", c.letter, c.name)
		s.linef("\t\t\tcommand='%s'", c.name)
		if tables := tablesOf(c); len(tables) > 1 {
			s.linef("\t\t\tfor word in %s; do", strings.Join(tables, " "))
			s.linef("\t\t\t\t[[ $next && $word == \"$next\"* ]] && table=$word")
			s.linef("\t\t\tdone")
		}
		s.linef("\t\t\t;;")
	}
	s.linef("\t\tesac\n\tdone")
}

// bashValues offers values of the word before.
func (s *script) bashValues() {
	s.linef("\tcase $prev in")
	keys, values := groups(rows(), func(o *option) string { return strings.Join(o.spellings(), " | ") },
		func(o *option) string {
			switch from, words := valuesOf(o.id); from {
			case fromWords:
				return "_conntrack_words " + strings.Join(words, " ")
			case fromList:
				return "_conntrack_list " + strings.Join(words, " ")
			case fromFiles:
				return "_conntrack_files"
			case fromNamespaces:
				return "_conntrack_namespaces"
			case fromLabels:
				return `_conntrack_labels "$map"`
			}
			if o.arg == getopt.Required {
				return "COMPREPLY=()"
			}
			return ""
		})
	for i := range keys {
		s.linef("\t%s)\n\t\t%s\n\t\treturn\n\t\t;;", strings.Join(keys[i], " | "), values[i])
	}
	s.linef("\t%s | %s)\n\t\t_conntrack_files\n\t\treturn\n\t\t;;", loadLetter, loadName)
	s.linef("\t--state | --role)\n\t\tcase $prev/$proto in")
	for i := range extensions {
		for _, id := range []extID{extState, extRole} {
			if words := extValuesOf(&extensions[i], id); words != nil {
				s.linef("\t\t--%s/%v) _conntrack_words %s ;;", extensions[i].option(id).name, extensions[i].proto, strings.Join(words, " "))
			}
		}
	}
	s.linef("\t\tesac\n\t\treturn\n\t\t;;")
	var free []string
	for i := range extensions {
		for j := range extensions[i].options {
			for _, name := range extensions[i].options[j].spellings() {
				if name != "--state" && name != "--role" && !slices.Contains(free, name) {
					free = append(free, name)
				}
			}
		}
	}
	s.linef("\t%s)\n\t\tCOMPREPLY=()\n\t\treturn\n\t\t;;", strings.Join(free, " | \\\n\t"))
	ckeys, cvalues := groups(commands(), func(c *command) string { return fmt.Sprintf("-%c | --%s", c.letter, c.name) },
		func(c *command) string { return strings.Join(tablesOf(c), " ") })
	for i := range ckeys {
		s.linef("\t%s)", strings.Join(ckeys[i], " | "))
		s.linef("\t\tif [[ $cur != -* ]]; then\n\t\t\t_conntrack_words %s\n\t\t\treturn\n\t\tfi\n\t\t;;", cvalues[i])
	}
	s.linef("\tesac")
}

// bashOptions collects the options that go with the command, and with the protocol.
func (s *script) bashOptions() {
	s.linef("\tcase $command/$table in")
	keys, values := groups(usages(), func(u usage) string { return u.command.name + "/" + u.table },
		func(u usage) string {
			return "options='" + spellings(u.options) + "' law=" + lawNames[u.proto]
		})
	for i := range keys {
		s.linef("\t%s) %s ;;", strings.Join(keys[i], " | "), values[i])
	}
	var all []string
	for _, c := range helpCommands() {
		all = append(all, c.letter, c.name)
	}
	all = append(all, spellings(rows()))
	s.linef("\t/*) options='%s' ;;", strings.Join(all, " "))
	s.linef("\tesac\n\tcase $proto/$law in")
	keys, values = groups(protocolUsages(), protocolUsage.key, func(p protocolUsage) string { return spellings(p.options()) })
	for i := range keys {
		s.linef("\t%s) options+=' %s' ;;", strings.Join(keys[i], " | "), values[i])
	}
	s.linef("\tesac")
}

// rows are the options that are offered.
func rows() []*option {
	return slices.DeleteFunc(pointers(optionTable[:]), func(o *option) bool {
		return o.id == optNATRange // nobody shall begin to use it
	})
}

func commands() []*command {
	return pointers(commandTable[:])
}

// spellings are all ways to write some options.
func spellings[T interface{ spellings() []string }](options []T) string {
	var all []string
	for _, o := range options {
		all = append(all, o.spellings()...)
	}
	return strings.Join(all, " ")
}

// ZshCompletion returns the completion for zsh.
func ZshCompletion() string {
	var s script
	s.linef("#compdef conntrack\n# Completion of conntrack(8) for zsh. Made by make generate: do not edit.\n")
	s.WriteString(zshFunctions)
	s.linef("\n_conntrack()\n{")
	s.linef("\tlocal command table=conntrack proto map=%s law option i word next command_words", defaultLabelMap)
	s.WriteString(zshScan)
	for _, c := range commands() {
		s.linef("\t\t(-%c|--%s)", c.letter, c.name)
		s.linef("\t\t\tcommand=%s", c.name)
		if tables := tablesOf(c); len(tables) > 1 {
			s.linef("\t\t\tfor word in %s; do", strings.Join(tables, " "))
			s.linef("\t\t\t\t[[ -n $next && $word == $next* ]] && table=$word")
			s.linef("\t\t\tdone")
		}
		s.linef("\t\t\t;;")
	}
	s.linef("\t\tesac\n\tdone")
	s.zshOptional()
	s.zshCommands()
	s.linef("\tcase $command/$table in")
	name := func(o *option) string { return o.name }
	keys, values := groups(usages(), func(u usage) string { return u.command.name + "/" + u.table },
		func(u usage) string {
			return "options=(" + joined(u.options, name) + ") law=" + lawNames[u.proto]
		})
	for i := range keys {
		s.linef("\t(%s) %s ;;", strings.Join(keys[i], "|"), values[i])
	}
	s.linef("\t(*) options=(%s) ;;\n\tesac", joined(rows(), name))
	s.linef("\tfor option in $options; do\n\t\tcase $option in")
	for _, o := range rows() {
		s.linef("\t\t(%s) specs+=(%s) ;;", o.name, zshOption(o))
	}
	s.linef("\t\tesac\n\tdone\n\tcase $proto/$law in")
	ext := func(o *extOption) string { return o.name }
	keys, values = groups(protocolUsages(), protocolUsage.key, func(p protocolUsage) string { return joined(p.options(), ext) })
	for i := range keys {
		s.linef("\t(%s) options=(%s) ;;", strings.Join(keys[i], "|"), values[i])
	}
	s.linef("\t(*) options=() ;;\n\tesac")
	s.linef("\tfor option in $options; do\n\t\tcase $proto/$option in")
	var all []zshExt
	for i := range extensions {
		for _, o := range pointers(extensions[i].options) {
			all = append(all, zshExt{&extensions[i], o})
		}
	}
	keys, values = groups(all, func(x zshExt) string { return x.e.proto.String() + "/" + x.o.name }, zshExt.spec)
	for i := range keys {
		s.linef("\t\t(%s) specs+=(%s) ;;", strings.Join(keys[i], "|"), values[i])
	}
	s.linef("\t\tesac\n\tdone\n\t_arguments -s : $specs '*: : '\n}\n\n_conntrack \"$@\"")
	return s.String()
}

const zshFunctions = `_conntrack_labels()
{
	local -a names
	[[ -r $map ]] && names=(${${(f)"$(<$map)"}:#[^0-9]*})
	names=(${${names#[0-9]##[[:space:]]##}%%[[:space:]]#})
	_values -s , label ${names:#*[^[:alnum:]-]*}
}

_conntrack_namespaces()
{
	local -a names
	names=(/run/netns/*(N:t))
	compadd -a names
}
`

// The functions of labels and namespaces use its pattern syntax and variables.
const zshScan = `	local -a specs options
	setopt local_options extended_glob
	for ((i = 2; i < CURRENT; i++)); do
		next=''
		((i + 1 < CURRENT)) && next=$words[i+1]
		case $words[i] in
		(-p|--protonum) proto=${(L)next} ;;
		(-p*) proto=${(L)words[i]#-p} ;;
		(--protonum=*) proto=${(L)words[i]#*=} ;;
		(--labelmap) map=$next ;;
`

// zshOptional offers values that are words of their own and may be missing. _arguments
// has a notion of these, but takes --option=value for one.
func (s *script) zshOptional() {
	s.linef("\tif [[ $PREFIX != -* ]]; then\n\t\tcase $words[CURRENT-1] in")
	keys, values := groups(commands(), func(c *command) string { return fmt.Sprintf("-%c|--%s", c.letter, c.name) },
		func(c *command) string { return strings.Join(tablesOf(c), " ") })
	for i := range keys {
		s.linef("\t\t(%s) compadd %s; return ;;", strings.Join(keys[i], "|"), values[i])
	}
	s.linef("\t\t(--%s) _conntrack_labels; return ;;\n\t\tesac\n\tfi", optLabelDel.row().name)
}

// zshCommands writes the commands, each of which excludes the others.
func (s *script) zshCommands() {
	var names []string
	for _, c := range helpCommands() {
		names = append(names, c.letter, c.name)
	}
	s.linef("\tcommand_words='(%s)'\n\tspecs=(", strings.Join(names, " "))
	for i, c := range helpCommands() {
		argument := ""
		if i >= len(commandTable) {
			argument = ":file:_files"
		}
		s.linef("\t\t$command_words{%s,%s}%s", c.letter, c.name, quoted("["+brief(c.help)+"]"+argument))
	}
	s.linef("\t)")
}

// brief is a line of help without the list that it may have, which is offered.
func brief(help string) string {
	help = strings.TrimPrefix(strings.TrimPrefix(help, "with -E: "), "with -D and -U: ")
	help, _, _ = strings.Cut(help, ": ")
	help, _, _ = strings.Cut(help, " (")
	return help
}

// quoted is a word of a shell.
func quoted(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// joined writes words with blanks between them.
func joined[T any](items []T, word func(T) string) string {
	var words []string
	for _, i := range items {
		words = append(words, word(i))
	}
	return strings.Join(words, " ")
}

func pointers[T any](items []T) []*T {
	var all []*T
	for i := range items {
		all = append(all, &items[i])
	}
	return all
}

// zshOption is the description of an option for _arguments.
func zshOption(o *option) string {
	value := ""
	switch from, words := valuesOf(o.id); from {
	case fromNothing:
		value = " "
	case fromWords:
		value = "(" + strings.Join(words, " ") + ")"
	case fromList:
		if o.id == optStatus {
			for _, w := range words {
				if w != "UNSET" && w != "UNREPLIED" {
					words = append(words, "!"+w)
				}
			}
		}
		value = "_values -s , " + o.name + " " + strings.Join(words, " ")
	case fromFiles:
		value = "_files"
	case fromNamespaces:
		value = "_conntrack_namespaces"
	case fromLabels:
		value = "_conntrack_labels"
	}
	return zshSpec(o.spellings(), brief(o.help), o.arg, o.name, value)
}

// zshSpec describes one option that has several spellings.
func zshSpec(spellings []string, help string, arg getopt.Arg, name, value string) string {
	tail, marked := "", slices.Clone(spellings)
	if arg == getopt.Required {
		tail = ":" + name + ":" + value
		for i, s := range marked { // the value may be attached
			marked[i] = s + map[bool]string{true: "=", false: "+"}[strings.HasPrefix(s, "--")]
		}
	}
	if len(marked) == 1 {
		return quoted(marked[0] + "[" + help + "]" + tail)
	}
	return quoted("("+strings.Join(spellings, " ")+")") + "{" + strings.Join(marked, ",") + "}" + quoted("["+help+"]"+tail)
}

// zshExt is an option of a protocol.
type zshExt struct {
	e *extension
	o *extOption
}

func (x zshExt) spec() string {
	value, help := " ", x.o.help
	if words := extValuesOf(x.e, x.o.id); words != nil {
		value, help = "("+strings.Join(words, " ")+")", x.o.name
	}
	return zshSpec(x.o.spellings(), help, getopt.Required, x.o.name, value)
}

// FishCompletion returns the completion for fish.
func FishCompletion() string {
	var s script
	s.linef("# Completion of conntrack(8) for fish. Made by make generate: do not edit.\n")
	s.WriteString(fishFunctions)
	s.fishUsage()
	s.linef("\ncomplete -c conntrack -f\n")
	for i, c := range helpCommands() {
		s.linef("complete -c conntrack -n '__conntrack_with none' -s %s -l %s%s -d %s", c.letter[1:], c.name[2:],
			map[bool]string{true: " -r -F"}[i >= len(commandTable)], quoted(brief(c.help)))
	}
	keys, values := groups(commands(), func(c *command) string { return fmt.Sprintf("-%c --%s", c.letter, c.name) },
		func(c *command) string { return strings.Join(tablesOf(c), " ") })
	for i := range keys {
		s.linef("complete -c conntrack -n '__conntrack_after %s' -a '%s'", strings.Join(keys[i], " "), values[i])
	}
	s.linef("")
	for _, o := range rows() {
		s.fishOption(o)
	}
	s.linef("\ncomplete -c conntrack -n '__conntrack_after --label-del' -a '(__conntrack_labels)'\n")
	seen := map[string]bool{}
	for i := range extensions {
		for _, o := range pointers(extensions[i].options) {
			if !seen[o.name] {
				s.fishExt(o)
			}
			seen[o.name] = true
		}
	}
	return s.String()
}

const fishFunctions = `# __conntrack_value prints what is being typed, without the option it is attached to.
function __conntrack_value
    string replace -r '^--[^=]*=' '' -- (commandline -ct)
end

# __conntrack_list WORD... prints words for the last place of a comma list.
function __conntrack_list
    set -l before (string replace -r '[^,!]*$' '' -- (__conntrack_value))
    for word in $argv
        echo $before$word
    end
end

function __conntrack_labels
    set -l map (__conntrack_option --labelmap)
    test -n "$map"; or set map ` + defaultLabelMap + `
    test -r "$map"; and __conntrack_list (string replace -rf '^[0-9]+\s+([A-Za-z0-9-]+)\s*$' '$1' <$map)
end

function __conntrack_namespaces
    for file in /run/netns/*
        string replace -r '.*/' '' -- $file
    end
end

# __conntrack_option NAME... prints the value that an option was given.
function __conntrack_option
    set -l words (commandline -opc)
    for i in (seq (count $words))
        if contains -- $words[$i] $argv
            echo $words[(math $i + 1)]
        end
    end 2>/dev/null | tail -n 1
end

# __conntrack_after WORD... is true if the last word is one of them.
function __conntrack_after
    set -l words (commandline -opc)
    contains -- $words[-1] $argv
end

# __conntrack_proto PROTO... is true if -p named one of them.
function __conntrack_proto
    set -l proto (string lower -- (__conntrack_option -p --protonum))
    contains -- "$proto" $argv
end

# __conntrack_with USAGE... is true if the command and its table are one of them.
function __conntrack_with
    contains -- (__conntrack_usage) $argv
end
`

// fishUsage writes the function that finds the command.
func (s *script) fishUsage() {
	s.linef("\n# __conntrack_usage prints the command and its table, or none.\nfunction __conntrack_usage")
	s.linef("    set -l words (commandline -opc)\n    for i in (seq (count $words))")
	s.linef("        set -l next $words[(math $i + 1)]\n        set -l command\n        set -l tables")
	s.linef("        switch $words[$i]")
	for _, c := range commands() {
		s.linef("            case -%c --%s\n                set command %s\n                set tables %s",
			c.letter, c.name, c.name, strings.Join(tablesOf(c), " "))
	}
	s.WriteString(`        end
        if test -n "$command"
            set -l table conntrack
            for word in $tables
                test -n "$next"; and string match -q -- "$next*" $word; and set table $word
            end
            echo $command/$table
            return
        end
    end 2>/dev/null
    echo none
end
`)
}

// usagesOf are the usages in which an option is possible.
func usagesOf(possible func(usage) bool) string {
	keys := []string{"none"}
	for _, u := range usages() {
		if possible(u) {
			keys = append(keys, u.command.name+"/"+u.table)
		}
	}
	return strings.Join(keys, " ")
}

// fishSpellings are the options' names for complete.
func fishSpellings(spellings []string) string {
	var words []string
	for _, s := range spellings {
		if long, ok := strings.CutPrefix(s, "--"); ok {
			words = append(words, "-l "+long)
		} else {
			words = append(words, "-s "+s[1:])
		}
	}
	return strings.Join(words, " ")
}

func (s *script) fishOption(o *option) {
	value := ""
	from, words := valuesOf(o.id)
	if o.arg == getopt.Required {
		value = " -x"
		switch from {
		case fromWords:
			value += " -a " + quoted(strings.Join(words, " "))
		case fromList:
			value += " -a " + quoted("(__conntrack_list "+strings.Join(words, " ")+")")
		case fromFiles:
			value = " -r -F"
		case fromNamespaces:
			value += " -a '(__conntrack_namespaces)'"
		case fromLabels:
			value += " -a '(__conntrack_labels)'"
		}
	}
	s.linef("complete -c conntrack -n '__conntrack_with %s' %s%s -d %s",
		usagesOf(func(u usage) bool { return slices.Contains(u.options, o) }), fishSpellings(o.spellings()), value, quoted(brief(o.help)))
}

func (s *script) fishExt(o *extOption) {
	with := protocolsWith(o)
	possible := usagesOf(func(u usage) bool { return with[0].allowed(u.proto).has(o.id) })
	line := func(with []*extension, value, help string) {
		s.linef("complete -c conntrack -n '__conntrack_proto %s; and __conntrack_with %s' %s -x%s -d %s",
			joined(with, func(e *extension) string { return e.proto.String() }), possible, fishSpellings(o.spellings()), value, quoted(help))
	}
	if extValuesOf(with[0], o.id) == nil {
		line(with, "", o.help)
		return
	}
	for _, e := range with {
		line([]*extension{e}, " -a "+quoted(strings.Join(extValuesOf(e, o.id), " ")), o.name)
	}
}
