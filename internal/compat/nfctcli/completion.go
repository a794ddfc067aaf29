package nfctcli

import (
	"fmt"
	"strings"

	"github.com/spoor-project/spoor/conntrack"
	"github.com/spoor-project/spoor/flow"
)

// A completion first finds out which command and subsystem the line begins with, both
// possibly abbreviated, and then offers words by the place of what is being typed. All
// three shells do it in the same steps; what they know are the lists of shellLists.

// protocolWord is a word for a protocol that has states.
type protocolWord struct {
	word  string
	proto flow.Proto
}

var protocolWords = [...]protocolWord{
	{"tcp", flow.TCP}, {"udp", flow.UDP}, {"udplite", flow.UDPLite}, {"icmp", flow.ICMP}, {"icmpv6", flow.ICMPv6}, {"gre", flow.GRE},
	{"generic", conntrack.Generic}, {"sctp", flow.SCTP}, {"dccp", flow.DCCP},
}

// list is words that are offered where a key fits.
type list struct{ key, words string }

func commandNames() string {
	var names []string
	for i := range commandTable {
		names = append(names, commandTable[i].name)
	}
	return strings.Join(names, " ")
}

func subsystemWords() string { return strings.Join(subsystemNames[:subHelp], " ") }

// commandsOf lists the commands of each subsystem that has objects.
func commandsOf() (lists []list) {
	for sub := range objects {
		var names []string
		for i := range commandTable {
			if commandTable[i].actions[sub] != nil {
				names = append(names, commandTable[i].name)
			}
		}
		lists = append(lists, list{subsystemNames[sub], strings.Join(names, " ")})
	}
	return lists
}

// statesOf lists the states of each protocol, in small letters, which are easier to type.
func statesOf() (lists []list) {
	for _, p := range protocolWords {
		var names []string
		for _, s := range states(p.proto) {
			names = append(names, strings.ToLower(s.String()))
		}
		lists = append(lists, list{p.word, strings.Join(names, " ")})
	}
	return lists
}

// transportsOf lists the protocols of each helper.
func transportsOf() (lists []list) {
	for _, h := range helperTable {
		var names []string
		for _, p := range h.protos {
			names = append(names, p.String())
		}
		lists = append(lists, list{h.name, strings.Join(names, " ")})
	}
	return lists
}

func keys(lists []list) string {
	var all []string
	for _, l := range lists {
		all = append(all, l.key)
	}
	return strings.Join(all, " ")
}

// places are what the arguments of commands are, by command and subsystem: n the name of
// an object that there is, h that of a helper, f a family, p and t a protocol of either
// subsystem, s a state and its seconds, as often as wanted, o the option for JSON.
var places = []list{
	{"add timeout", "- f p s"}, {"delete timeout", "n"}, {"get timeout", "n o"}, {"list timeout", "o"},
	{"default-set timeout", "f p s"}, {"default-get timeout", "f p o"},
	{"add helper", "h f t"}, {"disable helper", "h f t"}, {"delete helper", "n f t"}, {"get helper", "n f t o"}, {"list helper", "o"},
}

func ownOptionWords() string {
	var all []string
	for i := range ownOptionTable {
		all = append(all, ownOptionTable[i].letter, ownOptionTable[i].name)
	}
	return strings.Join(all, " ")
}

// fill puts the lists into a script: $COMMANDS and the like are whole lists; a line with
// @STATES@ is repeated for each of its lists, as form writes it.
func fill(script string, form func(list) string) string {
	for name, words := range map[string]string{"COMMANDS": commandNames(), "SUBSYSTEMS": subsystemWords(), "OPTIONS": ownOptionWords(),
		"PROTOCOLS": keys(statesOf()), "HELPERS": keys(transportsOf())} {
		script = strings.ReplaceAll(script, "@"+name+"@", words)
	}
	for name, lists := range map[string][]list{"COMMANDSOF": commandsOf(), "STATESOF": statesOf(), "TRANSPORTSOF": transportsOf(), "PLACES": places} {
		var lines []string
		for _, l := range lists {
			lines = append(lines, form(l))
		}
		script = strings.ReplaceAll(script, "@"+name+"@", strings.Join(lines, "\n"))
	}
	return script
}

// BashCompletion returns the completion for bash.
func BashCompletion() string {
	return fill(bashScript, func(l list) string { return fmt.Sprintf("\t%s) echo '%s' ;;", pattern(l.key), l.words) })
}

// pattern is a key as a pattern of case.
func pattern(key string) string { return strings.ReplaceAll(key, " ", `\ `) }

// ZshCompletion returns the completion for zsh.
func ZshCompletion() string {
	return fill(zshScript, func(l list) string { return fmt.Sprintf("\t(%s) echo '%s' ;;", pattern(l.key), l.words) })
}

// FishCompletion returns the completion for fish.
func FishCompletion() string {
	return fill(fishScript, func(l list) string {
		return fmt.Sprintf("        case '%s'\n            string split ' ' -- '%s'", l.key, l.words)
	})
}

const bashScript = `# Completion of nfct(8) for bash. Made by make generate: do not edit.

_nfct_commands()
{
	case $1 in
@COMMANDSOF@
	esac
}

_nfct_states()
{
	case ${1,,} in
@STATESOF@
	esac
}

_nfct_transports()
{
	case $1 in
@TRANSPORTSOF@
	*) echo 'tcp udp' ;;
	esac
}

_nfct_places()
{
	case $1 in
@PLACES@
	esac
}

# _nfct_first WORD LIST... prints the first of the list that the word begins.
_nfct_first()
{
	local word=$1 name
	shift
	for name; do
		[[ $name == "$word"* ]] && echo "$name" && return
	done
}

# _nfct_names SUBSYSTEM prints the names of what there is.
_nfct_names()
{
	nfct list "$1" 2>/dev/null | sed -n 's/^\.\(.*\) = {$/\1/p; s/^\t\.name = \(.*\),$/\1/p'
}

_nfct()
{
	local cur=${COMP_WORDS[COMP_CWORD]} words=("${COMP_WORDS[@]:1:COMP_CWORD-1}") places offer='' command subsystem place
	local IFS=$' \t\n'
	while [[ ${words[0]} == -* ]]; do
		case ${words[0]} in
		-o | --output)
			if ((${#words[@]} == 1)); then
				mapfile -t COMPREPLY < <(compgen -W json -- "$cur")
				return
			fi
			words=("${words[@]:2}")
			;;
		*) return ;;
		esac
	done
	if ((${#words[@]} == 0)); then
		offer='@COMMANDS@ @SUBSYSTEMS@'
		[[ $cur == -* ]] && offer='@OPTIONS@'
	else
		command=$(_nfct_first "${words[0]}" @COMMANDS@)
		if ((${#words[@]} == 1)); then
			if [[ $command ]]; then
				offer='@SUBSYSTEMS@'
			else
				offer=$(_nfct_commands "$(_nfct_first "${words[0]}" @SUBSYSTEMS@)")
			fi
		else
			subsystem=${words[1]}
			[[ $command ]] || command=$(_nfct_first "${words[1]}" @COMMANDS@) subsystem=${words[0]}
			subsystem=$(_nfct_first "$subsystem" @SUBSYSTEMS@)
			words=("${words[@]:2}")
			read -ra places < <(_nfct_places "$command $subsystem")
			local n=${#words[@]} last=$((${#places[@]} - 1)) final='' prior=''
			((last >= 0)) && final=${places[last]}
			((n > 0)) && prior=${words[n-1]}
			place=${places[n]}
			if [[ $final == s ]] && ((n >= last)); then
				place=''
				(((n - last) % 2)) || place=s
			elif [[ $final == o && $prior == -o ]]; then
				place=json
			elif [[ $final == o && $prior && $cur == -* ]]; then
				place=o
			fi
			case $place in
			n) offer=$(_nfct_names "$subsystem") IFS=$'\n' ;;
			h) offer='@HELPERS@' ;;
			f) offer='inet inet6' ;;
			p) offer='@PROTOCOLS@' ;;
			t) offer=$(_nfct_transports "${words[0]}") ;;
			s) offer=$(_nfct_states "${words[last-1]}") ;;
			o) offer=-o ;;
			json) offer=json ;;
			esac
		fi
	fi
	mapfile -t COMPREPLY < <(compgen -W "$offer" -- "$cur")
}
complete -F _nfct nfct
`

const zshScript = `#compdef nfct
# Completion of nfct(8) for zsh. Made by make generate: do not edit.

_nfct_commands()
{
	case $1 in
@COMMANDSOF@
	esac
}

_nfct_states()
{
	case ${(L)1} in
@STATESOF@
	esac
}

_nfct_transports()
{
	case $1 in
@TRANSPORTSOF@
	(*) echo 'tcp udp' ;;
	esac
}

_nfct_places()
{
	case $1 in
@PLACES@
	esac
}

# _nfct_first WORD LIST... prints the first of the list that the word begins.
_nfct_first()
{
	local word=$1 name
	shift
	for name; do
		[[ $name == $word* ]] && print -r -- $name && return
	done
}

_nfct()
{
	local command subsystem place
	local -a line offer places
	line=("${(@)words[2,CURRENT-1]}")
	while [[ $line[1] == -* ]]; do
		case $line[1] in
		(-o|--output)
			if (($#line == 1)); then
				compadd json
				return
			fi
			shift 2 line
			;;
		(*) return 1 ;;
		esac
	done
	if (($#line == 0)); then
		if [[ $PREFIX == -* ]]; then
			compadd -- @OPTIONS@
		else
			compadd -- @COMMANDS@ @SUBSYSTEMS@
		fi
		return
	fi
	command=$(_nfct_first "$line[1]" @COMMANDS@)
	if (($#line == 1)); then
		if [[ -n $command ]]; then
			compadd -- @SUBSYSTEMS@
		else
			compadd -- $(_nfct_commands "$(_nfct_first "$line[1]" @SUBSYSTEMS@)")
		fi
		return
	fi
	subsystem=$line[2]
	[[ -n $command ]] || command=$(_nfct_first "$line[2]" @COMMANDS@) subsystem=$line[1]
	subsystem=$(_nfct_first "$subsystem" @SUBSYSTEMS@)
	shift 2 line
	places=($(_nfct_places "$command $subsystem"))
	local n=$#line last=$#places
	place=$places[n+1]
	if ((n + 1 >= last)) && [[ $places[last] == s ]]; then
		place=s
		(((n + 1 - last) % 2)) && return 1
	fi
	if ((n > 0)) && [[ $places[last] == o ]]; then
		[[ $PREFIX == -* ]] && place=o
		[[ $line[n] == -o ]] && place=json
	fi
	case $place in
	(n) offer=(${(f)"$(nfct list $subsystem 2>/dev/null | sed -n 's/^\.\(.*\) = {$/\1/p; s/^\t\.name = \(.*\),$/\1/p')"}) ;;
	(h) offer=(@HELPERS@) ;;
	(f) offer=(inet inet6) ;;
	(p) offer=(@PROTOCOLS@) ;;
	(t) offer=($(_nfct_transports "$line[1]")) ;;
	(s) offer=($(_nfct_states "$line[last-1]")) ;;
	(o) offer=(-o) ;;
	(json) offer=(json) ;;
	esac
	compadd -a -- offer
}

_nfct "$@"
`

const fishScript = `# Completion of nfct(8) for fish. Made by make generate: do not edit.

function __nfct_commands
    switch "$argv[1]"
@COMMANDSOF@
    end
end

function __nfct_states
    switch (string lower -- "$argv[1]")
@STATESOF@
    end
end

function __nfct_transports
    switch "$argv[1]"
@TRANSPORTSOF@
        case '*'
            string split ' ' 'tcp udp'
    end
end

function __nfct_places
    switch "$argv[1]"
@PLACES@
    end
end

# __nfct_first WORD LIST... prints the first of the list that the word begins.
function __nfct_first
    set -l length (string length -- "$argv[1]")
    for name in $argv[2..-1]
        if test (string sub -l $length -- $name) = "$argv[1]"
            echo $name
            return
        end
    end
end

# __nfct_offer prints what can stand in the place of the word that is being typed.
function __nfct_offer
    set -l line (commandline -opc)[2..-1]
    set -l current (commandline -ct)
    while string match -q -- '-*' "$line[1]"
        contains -- $line[1] -o --output; or return
        if test (count $line) -eq 1
            echo json
            return
        end
        set line $line[3..-1]
    end
    if test (count $line) -eq 0
        if string match -q -- '-*' "$current"
            string split ' ' -- '@OPTIONS@'
        else
            string split ' ' '@COMMANDS@ @SUBSYSTEMS@'
        end
        return
    end
    set -l command (__nfct_first $line[1] @COMMANDS@)
    if test (count $line) -eq 1
        if test -n "$command"
            string split ' ' '@SUBSYSTEMS@'
        else
            __nfct_commands (__nfct_first $line[1] @SUBSYSTEMS@)
        end
        return
    end
    set -l subsystem $line[2]
    if test -z "$command"
        set command (__nfct_first $line[2] @COMMANDS@)
        set subsystem $line[1]
    end
    set subsystem (__nfct_first $subsystem @SUBSYSTEMS@)
    set line $line[3..-1]
    set -l places (__nfct_places "$command $subsystem")
    set -l n (count $line)
    set -l last (count $places)
    test $last -gt 0; or return
    set -l place $places[(math $n + 1)]
    if test (math $n + 1) -ge $last; and test $places[$last] = s
        set place s
        test (math "($n + 1 - $last) % 2") -eq 0; or return
    end
    if test $n -gt 0; and test $places[$last] = o
        string match -q -- '-*' "$current"; and set place o
        test $line[$n] = -o; and set place json
    end
    switch "$place"
        case n
            nfct list $subsystem 2>/dev/null | string replace -rf '^\.(.*) = \{$|^\t\.name = (.*),$' '$1$2'
        case h
            string split ' ' '@HELPERS@'
        case f
            string split ' ' 'inet inet6'
        case p
            string split ' ' '@PROTOCOLS@'
        case t
            __nfct_transports $line[1]
        case s
            __nfct_states $line[(math $last - 1)]
        case o
            echo -- -o
        case json
            echo json
    end
end

complete -c nfct -f -a '(__nfct_offer)'
`
