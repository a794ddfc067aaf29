package nfctcli

import "strings"

// To add a command: a row here; help, manual page and completions follow with make
// generate.

// subsystem is a class of objects.
type subsystem uint8

const (
	subTimeout subsystem = iota
	subHelper
	subVersion
	subHelp
	objects = subVersion // subsystems before this one have objects
)

// subsystemNames are in the order in which an abbreviation is looked up.
var subsystemNames = [...]string{subTimeout: "timeout", subHelper: "helper", subVersion: "version", subHelp: "help"}

// command is a row of the table of commands.
type command struct {
	name    string
	actions [objects]*action // nil: there is no such thing
}

// action is what a command does with the objects of a subsystem.
type action struct {
	args  []string // names of its arguments, in brackets if they can be left out
	least int      // arguments that it needs
	shows bool     // it prints something, for which there is JSON
	help  string
	do    func(*executor, []string) error
}

// commandTable is in the order in which an abbreviation is looked up.
var commandTable = [...]command{
	{"list", [objects]*action{
		{shows: true, help: "print the timeout policies", do: (*executor).listTimeouts},
		{shows: true, help: "print the registered helpers", do: (*executor).listHelpers},
	}},
	{"add", [objects]*action{
		{args: []string{"name", "family", "protocol", "state seconds ..."}, least: 3,
			help: "make a timeout policy", do: (*executor).addTimeout},
		{args: []string{"name", "family", "protocol"}, least: 3,
			help: "register a helper", do: (*executor).addHelper},
	}},
	{"delete", [objects]*action{
		{args: []string{"name"}, least: 1, help: "remove a timeout policy", do: (*executor).deleteTimeout},
		{args: []string{"name", "[family", "protocol]"}, least: 1, help: "remove the registrations of a helper", do: (*executor).deleteHelper},
	}},
	{"get", [objects]*action{
		{args: []string{"name"}, least: 1, shows: true, help: "print a timeout policy", do: (*executor).getTimeout},
		{args: []string{"name", "[family", "protocol]"}, least: 1, shows: true, help: "print a registered helper", do: (*executor).getHelper},
	}},
	{"flush", [objects]*action{
		{help: "remove the timeout policies that no rule uses", do: (*executor).flushTimeouts},
		{help: "remove the helpers that no rule uses", do: (*executor).flushHelpers},
	}},
	{"disable", [objects]*action{
		nil,
		{args: []string{"name", "family", "protocol"}, least: 3, help: "let packets pass a helper by", do: (*executor).disableHelper},
	}},
	{"default-set", [objects]*action{
		{args: []string{"family", "protocol", "state seconds ..."}, least: 3,
			help: "change the timeouts of flows without a policy", do: (*executor).setDefaults},
		nil,
	}},
	{"default-get", [objects]*action{
		{args: []string{"family", "protocol"}, least: 2, shows: true,
			help: "print the timeouts of flows without a policy", do: (*executor).getDefaults},
		nil,
	}},
}

// commandOf finds the command that the word is or begins, also if it is empty; nil if
// there is none.
func commandOf(word string) *command {
	for i := range commandTable {
		if strings.HasPrefix(commandTable[i].name, word) {
			return &commandTable[i]
		}
	}
	return nil
}

// subsystemOf is like commandOf.
func subsystemOf(word string) (subsystem, bool) {
	for i, name := range subsystemNames {
		if strings.HasPrefix(name, word) {
			return subsystem(i), true
		}
	}
	return 0, false
}
