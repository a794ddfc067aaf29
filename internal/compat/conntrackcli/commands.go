package conntrackcli

import (
	"sync"

	"github.com/spoor-project/spoor/internal/compat/getopt"
)

// commandID is what to do, and to which table.
type commandID uint8

const (
	cmdNone commandID = iota
	cmdList
	cmdCreate
	cmdAdd
	cmdDelete
	cmdUpdate
	cmdGet
	cmdFlush
	cmdEvent
	cmdCount
	cmdStats
	cmdVersion
	cmdHelp
	cmdLoad
)

// tableID is the table that a command works on.
type tableID uint8

const (
	tableConntrack tableID = iota
	tableExpect
	tableDying
	tableUnconfirmed
)

var tableNames = [...]string{tableConntrack: "conntrack", tableExpect: "expect", tableDying: "dying", tableUnconfirmed: "unconfirmed"}

// tableOrder is the order in which an abbreviated table name is looked up.
var tableOrder = [...]tableID{tableExpect, tableConntrack, tableDying, tableUnconfirmed}

// command is a row of the table of commands.
type command struct {
	id     commandID
	letter byte
	name   string
	arg    getopt.Arg
	help   string
	rules  map[tableID]rules // tables that the command works on
}

// rules say which options a command needs and which it may have.
type rules struct {
	must, may optionSet
	// pair: the command needs both addresses of one direction.
	pair bool
	// ownOutput: of -o only the formats that the original does not have.
	ownOutput bool
	// proto is what the options of the protocol are held to.
	proto extRules
}

// The options that select flows, and what each command knows of them.
var (
	selectors = options(optSrc, optDst, optReplySrc, optReplyDst, optProto, optMaskSrc, optMaskDst, optMark,
		optFamily, optSrcNAT, optDstNAT, optOutput, optLabel, optLabelMap)
	zones    = options(optZone, optOrigZone, optReplyZone)
	pair     = options(optSrc, optDst, optReplySrc, optReplyDst)
	where    = options(optNetNS)
	listing  = rules{may: selectors | zones | where | options(optStatus, optZero, optSecMark, optAnyNAT, optVerbose), proto: extSelect}
	creation = rules{must: options(optProto, optTimeout), pair: true, proto: extCreate,
		may: pair | zones | where | options(optStatus, optMark, optSrcNAT, optDstNAT, optLabelAdd)}
	onlyTable    = rules{may: where}
	numbers      = rules{may: where | options(optOutput), ownOutput: true}
	expectLookup = rules{must: options(optSrc, optDst, optProto), may: where | options(optReplySrc, optReplyDst), proto: extExpectLookup}
)

var commandTable = [...]command{
	{id: cmdList, letter: 'L', name: "dump", arg: getopt.Optional, help: "list the table",
		rules: map[tableID]rules{
			tableConntrack: listing, tableDying: listing, tableUnconfirmed: listing,
			tableExpect: {may: where | options(optFamily, optOutput)},
		}},
	{id: cmdCreate, letter: 'I', name: "create", arg: getopt.Optional, help: "create an entry",
		rules: map[tableID]rules{
			tableConntrack: creation,
			tableExpect: {proto: extExpectCreate,
				must: options(optSrc, optDst, optProto, optTimeout, optTupleSrc, optTupleDst, optMaskSrc, optMaskDst),
				may:  where | options(optReplySrc, optReplyDst, optStatus)},
		}},
	{id: cmdDelete, letter: 'D', name: "delete", arg: getopt.Optional, help: "delete the entries that match",
		rules: map[tableID]rules{
			tableConntrack: {may: selectors | zones | where | options(optTimeout, optStatus, optID, optDryRun, optVerbose), proto: extSelect},
			tableExpect:    expectLookup,
		}},
	{id: cmdUpdate, letter: 'U', name: "update", arg: getopt.Optional, help: "change the entries that match",
		rules: map[tableID]rules{
			tableConntrack: {may: selectors | where | options(optTimeout, optStatus, optID, optLabelAdd, optLabelDel, optDryRun), proto: extUpdate},
		}},
	{id: cmdGet, letter: 'G', name: "get", arg: getopt.Optional, help: "look an entry up",
		rules: map[tableID]rules{
			tableConntrack: {must: options(optProto), pair: true, proto: extGet,
				may: pair | where | options(optID, optOutput, optLabel)},
			tableExpect: expectLookup,
		}},
	{id: cmdFlush, letter: 'F', name: "flush", arg: getopt.Optional, help: "empty the table",
		rules: map[tableID]rules{tableConntrack: {may: where | options(optFamily)}, tableExpect: onlyTable}},
	{id: cmdEvent, letter: 'E', name: "event", arg: getopt.Optional, help: "show changes as they happen",
		rules: map[tableID]rules{
			tableConntrack: {may: selectors | zones | where | options(optEventMask, optSecMark, optBuffer, optAnyNAT, optWithTable, optExitOnLoss), proto: extSelect},
			tableExpect:    {may: where | options(optOutput, optExitOnLoss)},
		}},
	{id: cmdCount, letter: 'C', name: "counter", arg: getopt.Optional, help: "count the entries",
		rules: map[tableID]rules{tableConntrack: numbers, tableExpect: numbers}},
	{id: cmdStats, letter: 'S', name: "stats", help: "show the tracker's statistics",
		rules: map[tableID]rules{tableConntrack: numbers, tableExpect: numbers}},
	{id: cmdAdd, letter: 'A', name: "add", arg: getopt.Optional, help: "create an entry, or change it if it exists",
		rules: map[tableID]rules{tableConntrack: creation}},
	{id: cmdVersion, letter: 'V', name: "version", help: "show the version",
		rules: map[tableID]rules{tableConntrack: onlyTable, tableExpect: onlyTable}},
	{id: cmdHelp, letter: 'h', name: "help", help: "show this help, and with -p the options of a protocol",
		rules: map[tableID]rules{tableConntrack: {may: where | options(optProto)}, tableExpect: {may: where | options(optProto)}}},
}

// loadLetter and loadName make the command that reads others from a file; it counts
// as a command only if it stands first, so the scanner does not know it.
const (
	loadLetter = "-R"
	loadName   = "--load-file"
)

// longCommands is the order of the commands' long names, see longOrder.
var longCommands = []commandID{cmdList, cmdCreate, cmdAdd, cmdDelete, cmdUpdate, cmdGet, cmdFlush, cmdEvent, cmdCount,
	cmdStats, cmdVersion, cmdHelp}

func (id commandID) row() *command {
	for i := range commandTable {
		if commandTable[i].id == id {
			return &commandTable[i]
		}
	}
	return nil
}

// shortOptions and longOptions are what the scanner knows from the start.
func shortOptions() string {
	var b []byte
	letter := func(l byte, arg getopt.Arg) {
		if l == 0 {
			return
		}
		b = append(b, l)
		for range arg {
			b = append(b, ':')
		}
	}
	for i := range commandTable {
		// Attached text belongs to a short command only for -C: in a cluster
		// the letters behind the others are options.
		arg := getopt.None
		if commandTable[i].id == cmdCount {
			arg = getopt.Optional
		}
		letter(commandTable[i].letter, arg)
	}
	for i := range optionTable {
		letter(optionTable[i].letter, optionTable[i].arg)
	}
	return string(b)
}

func longOptions() []getopt.Long {
	long := make([]getopt.Long, 0, len(longCommands)+len(longOrder)+8)
	for _, id := range longCommands {
		row := id.row()
		long = append(long, getopt.Long{Name: row.name, Arg: row.arg, Value: rune(row.letter)})
	}
	for _, id := range longOrder {
		row := id.row()
		for _, name := range row.names {
			long = append(long, getopt.Long{Name: name, Arg: row.arg, Value: row.scanned()})
		}
		long = append(long, getopt.Long{Name: row.name, Arg: row.arg, Value: row.scanned(), Exact: row.ours})
	}
	return long
}

// tables are the command line's tables in the forms that scanning needs. A file of
// commands is parsed a million lines at a time.
type tables struct {
	short    string
	long     []getopt.Long
	commands [ownValue + rune(optNATRange) + 1]*command // by the scanner's value
	options  [ownValue + rune(optNATRange) + 1]*option
	extended map[*extension][]getopt.Long // long, and those of one protocol
}

var scannerTables = sync.OnceValue(func() *tables {
	t := &tables{short: shortOptions(), long: longOptions(), extended: map[*extension][]getopt.Long{}}
	for i := range commandTable {
		t.commands[commandTable[i].letter] = &commandTable[i]
	}
	for i := range optionTable {
		t.options[optionTable[i].scanned()] = &optionTable[i]
	}
	for i := range extensions {
		e := &extensions[i]
		t.extended[e] = append(longOptions(), e.long(1)...)
	}
	return t
})
