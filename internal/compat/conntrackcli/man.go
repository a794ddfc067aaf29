package conntrackcli

import (
	"strings"

	"github.com/spoor-project/spoor/internal/compat/getopt"
)

// To document a new command, option, or word of a list: add a row to the texts below.
// The tests say which is missing, and make generate rewrites man/conntrack.8.

// manDate is when the texts below were changed last.
const manDate = "November 21, 2026"

// ManPage returns the manual page conntrack(8), in mdoc(7). Syntax and legality come
// from the tables of commands, options and protocols, explanations from the texts
// in this file.
func ManPage() string {
	var m manual
	m.line(".Dd " + manDate)
	m.line(".Dt CONNTRACK 8")
	m.line(".Os Linux")
	m.section("NAME")
	m.line(".Nm conntrack")
	m.line(".Nd list, change and follow tracked connections")
	m.synopsis()
	m.section("DESCRIPTION")
	m.prose(manIntroduction)
	m.tables()
	m.commands()
	m.options()
	m.protocols()
	m.formats()
	for _, chapter := range manChapters {
		m.section(chapter.title)
		m.prose(chapter.text)
		m.items(chapter.items)
		if chapter.after != "" {
			m.line(".Pp")
		}
		m.prose(chapter.after)
	}
	return m.String()
}

// manCommand is what is told about a command; -R, which is in no table, is cmdLoad.
type manCommand struct {
	id   commandID
	text string
}

var manIntroduction = `
The kernel remembers every connection that passes it: who talks to whom, by which protocol, what has been translated, and how long
it waits for the next packet.
.Nm
shows that memory, changes it, and reports changes as they happen.
It takes the place of the program of that name in conntrack-tools 1.4.9: the same arguments give the same output, messages and
exit status, except where COMPATIBILITY says otherwise.

Connections are tracked only while something in the network namespace asks for it, such as a firewall rule that looks at connection
state.
Everything but {-h} and {-V} needs the capability CAP_NET_ADMIN.

A command line has one command, and options in any order.
A long name may be shortened as long as it fits one option only.
Words that belong to no option are ignored.`

// manTables are what the tables hold.
var manTables = [...]manItem{
	{"{conntrack}", `The connections.
This is the table if none is named.`},
	{"{expect}", `Expectations: connections that a helper has read about in another one, its master, and that are let through as related when
they come.`},
	{"{dying}", `Connections that have ended and whose last event has not been delivered yet.
Only {-L} can be used with it.`},
	{"{unconfirmed}", `Connections whose first packet is still on its way through the host.
Only {-L} can be used with it, and since Linux 5.19 it is always empty.`},
}

// manItem is an entry of a list.
type manItem struct{ name, text string }

// manCommands explain the commands beyond their line of help.
var manCommands = [...]manCommand{
	{cmdList, `Entries come in no particular order; one that lives through the whole listing is in it.
An empty list is no failure.`},
	{cmdCreate, `The direction that is not given is the mirror image of the one that is, changed by {-n} and {-g}.
An entry that exists already is an error.
At most one of {-w}, {--orig-zone} and {--reply-zone} can be given.
With {--icmp-type} or {--icmpv6-type} the addresses have to stand before it.

With {expect}, {-s}, {-d} and the ports are those of the master, which must have a helper; {--tuple-src} and the options like it are
those of the expected connection.`},
	{cmdAdd, `An entry that exists already gets the timeout, status, mark, state and additional labels that were given.
This is the command that {-o save} writes.`},
	{cmdDelete, `Prints the entries that it deletes.
Without any option that selects, these are all.
Each is named to the kernel by its identifier, too, which spares most connections that took its place meanwhile;
the kernel may give an identifier out again at once.
To hit nothing is exit status 1.

With {expect}, {-s}, {-d} and the ports are those of the expected connection itself.
The reply ports are asked for and not used.
The message and exit status are those of a failure, also when it succeeds.`},
	{cmdUpdate, `Addresses, protocol, ports, {-i}, {-l}, {-n} and {-g} select, everything else is a new value.
Prints the entries as they are afterwards; those that have the new values already are left out.
To change nothing is exit status 1.
The kernel is asked in batches of up to 128 entries: if it refuses one, some behind it may have been changed.
Entries in a zone of both directions are out of reach.`},
	{cmdGet, `Finds one entry by its addresses and ports.
Entries in a zone are out of reach.

With {expect}, the options are those of {-D} {expect}.`},
	{cmdFlush, `All addresses, families and zones, whatever {-f} says.
Entries that the kernel still uses come back with the next packet, usually as new connections without translation.`},
	{cmdEvent, `Until interrupted; see EVENTS.`},
	{cmdCount, `Those of the whole namespace; with {expect}, of IPv4.`},
	{cmdStats, `Counters of each processor, by the names that the kernel's source has for them.
A number that grows in {drop}, {insert_failed}, {early_drop} or {chaintoolong} is a reason to look at
{net.netfilter.nf_conntrack_max} and {net.netfilter.nf_conntrack_buckets}.`},
	{cmdVersion, `That of the program whose place this one takes: scripts read it.
{-h} tells our own.`},
	{cmdHelp, ``},
	{cmdLoad, `See BATCH FILES.
{--netns} is the only option that may stand before it; what stands behind the file's name is ignored.`},
}

// manOptions explain the options beyond their line of help.
var manOptions = [...]string{
	optSrc: `IPv4 in any form that {inet_aton(3)} reads, or IPv6.
With a prefix length it stands for a network, and {--mask-src} is set.
{-I}, {-A} and {-G} want a single address.`,
	optDst:      `Like {-s}.`,
	optReplySrc: `A single address.`,
	optReplyDst: `A single address.`,
	optProto: `One of those with options of their own, a name of {/etc/protocols}, or a number.
Options of the protocol stand behind it.
A name of {/etc/protocols} opens none, even if it is another name of a protocol that has some.
If there are several, the last one counts.`,
	optTimeout: `{-I}, {-A} and {-U} set it; what is no number is 0, and such an entry is gone at once.
With {-D} it must be the seconds that are left, exactly, and has no effect unless another option selects entries too.`,
	optStatus: `The words below may be shortened and in small letters.
With {-I}, {-A} and {-U} they are bits to set; bits cannot be taken away.
With {-L} they select: either all words plain, in one list, or all negated.
With {-D} they select what has all of the plain and none of the negated ones.`,
	optZero: `Cannot be combined with options that select, except {-f}, {-n}, {-g} and {-j}.
Only what is shown is set to zero.
Counting is off unless {net.netfilter.nf_conntrack_acct} is 1.`,
	optEventMask: `All, if not given.`,
	optTupleSrc:  `Addresses of the connection that {-I} {expect} is to announce.`,
	optTupleDst:  `See {--tuple-src}.`,
	optMaskSrc: `Any pattern of bits, such as {255.255.0.255}.
Needs {-s}.
With {-I} {expect} it is a mask of the expected address.`,
	optMaskDst: `Like {--mask-src}, for {-d}.`,
	optMark: `Selects entries whose mark, with only the bits of <mask>, is <mark>.
{-U} sets the mark: bits of <mask> are cleared, then those of <mark> are flipped.
Without <mask> all bits count.
Numbers may be decimal, {0x} hexadecimal, or octal with a leading {0}.
An event has no mark if it is 0.`,
	optID: `Unique among entries with the same addresses, protocol and ports.`,
	optFamily: `If not given, that of the first address; without addresses both, except that everything about expectations, {-I} and {-A} is IPv4
then.
With {-F} it has no effect.`,
	optSrcNAT: `The address must be a word of its own: attached with an equals sign it is ignored.
An IPv6 address with a port has brackets.
{-I} and {-A} set a translation up, the other commands select entries that have it; IPv6 addresses are not compared then, only the
port is.
{-U} with an address asks for another translation, which the kernel refuses.
ICMP counts as translated in both ways once a rule for translation exists.`,
	optDstNAT: `Like {-n}.`,
	optAnyNAT: `Cannot be combined with {-n} or {-g}.`,
	optOutput: `See OUTPUT.`,
	optSecMark: `Compared with nothing: {-L -c 5} shows all entries.
It exists so that old scripts run.`,
	optBuffer: `The kernel takes twice as much, which a notice tells.
If not given, 8 MiB.
From there the queue grows, up to 512 MiB, while events come faster than they are read.`,
	optZone: `0 selects entries without a zone.`,
	optLabel: `Names of the label map, see LABELS.
The entry must have all of them, whether they are in one list or the option is repeated.`,
	optLabelAdd: `Labels that the entry has already stay.`,
	optLabelDel: `The names must be a word of their own.
Without one, and with a name attached by an equals sign, {all} labels go.`,
	optOrigZone:  `Selects, or sets, a zone that holds for packets of the original direction only.`,
	optReplyZone: `Like {--orig-zone}, for the reply direction.`,
	optLabelMap:  `May be given once in a command line.`,
	optNATRange:  `Prints a warning.`,
	optNetNS: `A name as {ip-netns(8)} gives it, a path with a slash in it, or the number of a process: its namespace is the one.
A namespace called by a number is taken before the process.
Needs CAP_SYS_ADMIN.`,
	optDryRun: `Prints the entries as they are, and how many there are.
The exit status is that of the real run.`,
	optWithTable: `The subscription is made first, so that nothing is missed in between; an entry that changes meanwhile may be in the list and cause
an event.
Entries of the list have no event type.`,
	optExitOnLoss: `The exit status is 1 then.
For programs that start over with a new listing.`,
	optVerbose: `A line on the standard error says whether the table is read by a snapshot or over netlink, see {SPOOR_SNAPSHOT} below.`,
}

// manExtensions explain the options of protocols.
var manExtensions = [...]string{
	extSrcPort:      `Only the low 16 bits count, and what is no number is 0.`,
	extDstPort:      ``,
	extReplySrcPort: ``,
	extReplyDstPort: ``,
	extMaskSrcPort:  `With {-I} {expect}: usually 0, for any.`,
	extMaskDstPort:  `With {-I} {expect}: usually 65535, for exactly that one.`,
	extState: `In capitals.
{LISTEN} is another name of {SYN_SENT2}.`,
	extTupleSrcPort: `With {-I} {expect}.`,
	extTupleDstPort: `With {-I} {expect}.`,
	extOrigVTag: `Written in the byte order of the machine, as {-o save} prints it.
{-U} does not take a new tag alone for a change.`,
	extReplyVTag: `Likewise.`,
	extRole: `Of the side that sent the first packet.
May be shortened.`,
	extICMPType: `The reply's type follows from it.`,
	extICMPCode: ``,
	extICMPID:   ``,
}

// manStatus, manEvents and manFormats explain the words of -u, -e and -o.
var (
	manStatus = [...]manItem{
		{"{ASSURED}", `Seen in both directions, long enough not to be dropped when the table is full.`},
		{"{SEEN_REPLY}", `There was a packet in the reply direction.`},
		{"{UNSET}", `No bit.
For {-I} and {-A}; {-D} takes it for entries that have none of EXPECTED, SEEN_REPLY, ASSURED and FIXED_TIMEOUT, {-L} fails.`},
		{"{FIXED_TIMEOUT}", `Packets do not renew the timeout.`},
		{"{EXPECTED}", `There was an expectation for it.`},
		{"{OFFLOAD}", `Packets take the fast path of a flow table.`},
		{"{HW_OFFLOAD}", `A network card has taken it over.`},
		{"{UNREPLIED}", `The same as {!SEEN_REPLY}; in capitals and in full.`},
	}
	manEvents = [...]manItem{
		{"{ALL}", `Everything.`},
		{"{NEW}", `A connection, or an entry made by a program.`},
		{"{UPDATES}", `Changes of status, state, mark, helper or labels; not every packet is one.`},
		{"{DESTROY}", `The end, with the final counters.`},
	}
	manFormats = [...]manItem{
		{"{xml}", `A document, a record a line.
{-G} leaves it open, {-D} and {-U} print records alone.`},
		{"{extended}", `Text that begins with the layer 3 protocol.`},
		{"{timestamp}", `With {-E}: when the event happened, by the kernel's clock if it tells, in seconds since 1970 before a line of text or as an element of XML.`},
		{"{id}", `Text with the entry's identifier.`},
		{"{ktimestamp}", `When the connection began, and ended: if {net.netfilter.nf_conntrack_timestamp} was 1 then.
With {-L}, {-G} and {-E}.`},
		{"{labels}", `Text and XML with the names of labels, JSON and CSV with names beside the numbers.
Implied by every other option about labels.
With {-L}, {-G}, {-E} and {-U}.`},
		{"{userspace}", `No effect: the program that made a change is always shown.`},
		{"{save}", `Lines of options for {-R}: {-A} for entries and for new ones, {-U} and {-D} for other events.
Mark, labels, helper and counters are not in them.
Cannot be combined with other words.`},
		{"{json}", `One array of objects; an empty one if there is nothing.`},
		{"{jsonl}", `An object a line, for streams.`},
		{"{csv}", `A row of column names, then a row a record.`},
	}
)

// manChapter is a section that no table is behind.
type manChapter struct {
	title string
	text  string
	items []manItem
	after string
}

var manChapters = [...]manChapter{
	{title: "EVENTS", text: `
{-E} runs until SIGINT or SIGTERM, after which it tells how many events it has shown.
Lines of text look as those of {-L}, behind {[NEW]}, {[UPDATE]} or {[DESTROY]}.
If a program caused the event, its netlink port and, if it still runs, its name are at the end.

A connection that began before anyone listened causes no events, unless {net.netfilter.nf_conntrack_events} is 1.
{-E -o json} closes its array at the end; {jsonl} is the better choice for a program that reads along.

Events that come faster than they are read wait in a queue of the kernel, which grows.
When it cannot grow further, the kernel drops events.
A warning then says so, once, and how many were lost, at most once a second; JSON and CSV have a record of type {lost} at that
place.
{-E} goes on, as does {-E} {expect}.
What was derived from events before is to be refreshed from a new listing.
Against loss help a larger {-b}, a shorter {-e}, options that select, and a faster reader; {--exit-on-loss} is for those who want to
start over instead.`},
	{title: "BATCH FILES", text: `
{-R} carries out the commands of a file, {-} being standard input.
A line holds the arguments of one command: {-I}, {-A}, {-U}, {-D} or {-F} of the table of connections.
Empty lines are skipped, and those that begin with {#}.
Words are separated by blanks.
A part in double quotes may hold blanks, and {\e} before a quote; it ends the word.
The program's own name at the beginning of a line does no harm.

The whole file is read and checked first: a line that is wrong prevents all of them.
Then they are carried out in order, until the kernel refuses one.
Lines that make entries go to the kernel in batches, of one at first and of up to 256 later; when one is refused, those behind it in
the same batch may have been made.
If the file has more than one such line, the message is followed by the number of each line that failed.

No line counts what it did, and hitting nothing is no failure.
{-D} and {-U} print entries; {-o} holds for its line and for those below it.
{--netns} before {-R} is the namespace of the lines that name none.`},
	{title: "LABELS", text: `
Entries can carry 128 labels, which are bits with names.
The names are in a file: on each line the number of a bit, blanks, and a name of letters, digits, blanks and hyphens.
Lines that begin with {#}, and lines that make no sense, are skipped; the first of two definitions counts.

The kernel keeps labels in a network namespace only while a rule there tests or sets one, and in entries that are younger than that
rule.
{-U} passes over entries that cannot have labels.`},
	{title: "ENVIRONMENT", items: []manItem{
		{".Ev POSIXLY_CORRECT", `If set, options end at the first word that is none.`},
		{".Ev SPOOR_SNAPSHOT", `How a table is read by
.Fl L
and
.Fl D .
Large ones are read by an eBPF program where that is possible, which is much faster.
.Cm off
always uses netlink instead;
.Cm on
always uses the program, and says why if it cannot.`},
		{".Ev TZ", `The time zone of {-o ktimestamp} and of XML events.
JSON and CSV use UTC.`},
	}},
	{title: "FILES", items: []manItem{
		{".Pa " + defaultLabelMap, `Names of labels.`},
		{".Pa /etc/protocols", `Names of protocols.`},
		{".Pa /run/netns", `Names of network namespaces.`},
		{".Pa /proc/sys/net/netfilter/nf_conntrack_count", `Read by {-C} if the kernel refuses to tell.`},
		{".Pa /proc/net/stat/nf_conntrack", `Read by {-S} if the kernel refuses to tell.`},
	}},
	{title: "EXIT STATUS", items: []manItem{
		{".Li 0", `Success; for {-L} and {-E} also if there was nothing to show, and for {-R} if a line hit nothing.`},
		{".Li 1", `The kernel refused, a value is not a number, or {-I}, {-A}, {-U}, {-D} or {-G} hit nothing; and always after {-D} {expect}.`},
		{".Li 2", `The command line is wrong.`},
	}, after: `
Errors in writing to standard output are ignored.
Data goes to standard output and all else to standard error.`},
	{title: "EXAMPLES", text: `
Assured HTTPS connections of a network:
	conntrack -L -s 10.0.1.0/24 -p tcp --dport 443 -u ASSURED

Connections by source address, those with most first:
	conntrack -L -o jsonl | jq -r .orig.src | sort | uniq -c | sort -rn

Connections with source translation, and what to:
	conntrack -L -n -o jsonl | jq -r '[.orig.src, .reply.dst] | @tsv'

See what a deletion would hit, then do it:
	conntrack -D -p udp -s 10.0.1.7 --dry-run
	conntrack -D -p udp -s 10.0.1.7

Mark the connections to a server, and let each end after 30 seconds without a packet:
	conntrack -U -d 192.0.2.1 -t 30 -m 0x10/0xff

Make an entry:
	conntrack -I -s 192.0.2.1 -d 198.51.100.2 -p tcp \e
	    --sport 4000 --dport 80 --state ESTABLISHED \e
	    -u SEEN_REPLY,ASSURED -t 3600

The table as it is, then every change:
	conntrack -E --with-table -o jsonl

Ends of connections, with their counters:
	conntrack -E -e DESTROY -o timestamp

Save a table and restore it in another namespace:
	conntrack -L -o save > flows
	conntrack --netns blue -R flows

The table of a container, by a process of it:
	conntrack -L --netns 4711`},
	{title: "DIAGNOSTICS", text: `
Messages begin with the name and version of the program whose place this one takes.`, items: []manItem{
		{"sorry, you must be root or get CAP_NET_ADMIN capability to do this", `Become root, or give the capability to the service or container.
It is that of the user namespace which owns the network namespace.`},
		{"Illegal option / You need to supply / you have to specify", `The option cannot be used with the command, or one is missing: see COMMANDS.
A network given to {-s} counts as {--mask-src}.`},
		{"unknown option", `Misspelt, shortened to something that fits two options, or an option of a protocol without {-p} before it.
The word shown may be the one before.`},
		{"invalid parameters", `The kernel does not take the combination.
Likely reasons: ICMP options before the addresses, two kinds of zone, {-L -u UNSET}, a reply direction given in half.`},
		{"Such conntrack exists, try -U to update", `{-A} makes or changes; {-U} changes.`},
		{"such conntrack doesn't exist", `It has ended meanwhile, or lives in a zone.`},
		{"Operation not supported", `The translation of an entry cannot be changed.
Delete it first, or load the file into an empty table.`},
		{"Device or resource busy", `EXPECTED cannot be set on an entry that exists.`},
		{"master conntrack not found", `The connection that the expectation belongs to is not in the table, or not by these addresses and ports.`},
		{"Numerical result out of range", `The label's bit is 128 or above.`},
		{"nfct_labelmap_new: No such file or directory", `There is no label map: write {/etc/xtables/connlabel.conf}, or name one by {--labelmap}.`},
		{"We have hit ENOBUFS", `Events were lost, see EVENTS.`},
		{"No buffer space available", `Events were lost, and {--exit-on-loss} was given.`},
		{"Interrupted system call", `The kernel resized its table during the listing, which may lack entries.
Run it again.`},
	}},
	{title: "COMPATIBILITY", text: `
The command line, the output and the messages are those of conntrack-tools 1.4.9, down to its misspellings, and hold still.
These are additions: {--netns}, {--dry-run}, {--with-table}, {--exit-on-loss} and {--verbose}, which cannot be shortened; the
formats {json}, {jsonl} and {csv}; {-o} with {-C} and {-S}, for these formats only.

Where the original loses data, crashes, or hits more than it was told to, this program does not:
{-D} with {-u UNREPLIED} or a negated status deletes what it says and not everything;
{-z} with a filter for translation leaves the counters of entries alone that are not shown;
lists of labels count as a whole, and {--label-del} removes no other labels than its own;
{-b} sizes the queue that events wait in;
{-E} {expect} goes on after a loss;
lines of a file do not change the meaning of others;
long lines are not cut.
.Pa docs/compatibility.md
in the sources has all of them, and why.`},
	{title: "SEE ALSO", text: `
.Xr jq 1 ,
.Xr ip-netns 8 ,
.Xr iptables 8 ,
.Xr nft 8

The members of JSON and the columns of CSV are described in
.Pa docs/output.md
of the sources; guides to common tasks are in
.Pa docs/howto .`},
	{title: "CAVEATS", text: `
Some behaviour of the original surprises and is kept, since scripts rely on it:`, items: []manItem{
		{".Ic conntrack \\-D", `deletes all entries.`},
		{".Ic conntrack \\-F \\-f ipv6", `deletes those of IPv4, too.`},
		{".Ic conntrack \\-\\-dump=expect", `lists connections: a table that is attached is ignored.
So is an address attached to {-n}, {-g} or {-j}.`},
		{".Ic conntrack \\-L \\-o s", `is not {save}: in every list, {s} and {d} are taken for obsolete words, with a warning.`},
		{".Ic conntrack \\-U \\-i 5 \\-m 1", `does not reach an entry in a zone.`},
		{".Ic conntrack \\-R file \\-z", `carries the file out: what stands behind its name is ignored,
except our additions, which are refused there.`},
		{".Ic conntrack \\-D \\-t 30", `ignores the timeout and deletes all entries.`},
		{".Ic conntrack \\-I \\-p icmp \\-\\-icmp\\-type 8 \\-s ...", `fails; the addresses come first.`},
	}},
}

// manual collects mdoc(7).
type manual struct{ strings.Builder }

func (m *manual) line(s string)        { m.WriteString(s + "\n") }
func (m *manual) section(title string) { m.line(".Sh " + title) }

// items writes a list. A name that begins with a dot is mdoc(7) of its own, one in
// braces is to be typed.
func (m *manual) items(items []manItem) {
	if len(items) == 0 {
		return
	}
	m.line(".Bl -tag -width Ds")
	for _, i := range items {
		name := i.name
		if macro, ok := strings.CutPrefix(name, "."); ok {
			name = macro
		} else if macro := inline(name); macro != "" {
			name = macro
		} else {
			name = `\&` + strings.ReplaceAll(name, " ", ` \&`) // a word may be a macro's name
		}
		m.line(".It " + name)
		m.prose(i.text)
	}
	m.line(".El")
}

func (m *manual) synopsis() {
	m.section("SYNOPSIS")
	for _, c := range helpCommands() {
		m.line(".Nm")
		if c.letter == loadLetter {
			m.line(".Op Fl -netns Ar ns")
		}
		s := ".Fl " + c.letter[1:]
		switch c.table {
		case "FILE":
			s += " Ar file"
		case "[table]":
			s += " Op Ar table"
		}
		m.line(s)
		if row := commandByLetter(c.letter[1]); row != nil && takesOptions(row) {
			m.line(".Op Ar options")
		}
	}
}

func commandByLetter(letter byte) *command {
	for i := range commandTable {
		if commandTable[i].letter == letter {
			return &commandTable[i]
		}
	}
	return nil
}

// takesOptions reports whether there is more than the namespace to say.
func takesOptions(c *command) bool {
	for _, r := range c.rules {
		if (r.must|r.may)&^where != 0 {
			return true
		}
	}
	return false
}

func (m *manual) tables() {
	m.line(".Pp")
	m.prose("A command works on one of these tables, whose names may be shortened:")
	m.items(manTables[:])
}

// commands writes what each command does, needs and takes.
func (m *manual) commands() {
	m.section("COMMANDS")
	m.prose("Options of a protocol are possible only behind {-p}, and needed only if the protocol has them.")
	m.line(".Bl -tag -width Ds")
	for i, c := range helpCommands() {
		s := ".It Fl " + c.letter[1:] + " , Fl " + c.name[1:]
		switch c.table {
		case "FILE":
			s += " Ar file"
		case "[table]":
			s += " Op Ar table"
		}
		m.line(s)
		m.prose(sentence(c.help))
		id := cmdLoad
		if i < len(commandTable) {
			id = commandTable[i].id
		}
		m.prose(commandText(id))
		if i < len(commandTable) {
			m.rules(&commandTable[i])
		}
	}
	m.line(".El")
}

func commandText(id commandID) string {
	for _, c := range manCommands {
		if c.id == id {
			return c.text
		}
	}
	return ""
}

// sentence makes one of a line of help.
func sentence(help string) string {
	return strings.ToUpper(help[:1]) + help[1:] + "."
}

// rules writes which options a command needs and takes, by table.
func (m *manual) rules(c *command) {
	for table := range tableNames {
		r, ok := c.rules[tableID(table)]
		switch tableID(table) {
		case tableDying, tableUnconfirmed:
			continue // as the table of connections
		case tableExpect:
			if c.id == cmdVersion || c.id == cmdHelp {
				continue // means nothing
			}
		}
		if !ok {
			continue
		}
		var needs, takes []string
		for _, id := range r.must.list() {
			needs = append(needs, "{"+id.row().shortest()+"}")
		}
		may := r.may &^ r.must
		if r.pair {
			needs = append(needs, "{-s} with {-d} or {-r} with {-q}")
			may &^= pair
		}
		for _, id := range may.list() {
			takes = append(takes, "{"+id.row().shortest()+"}")
		}
		where := ""
		if tableID(table) == tableExpect {
			where = "With {expect} "
		}
		m.line(".Pp")
		if len(needs) > 0 {
			m.prose(capital(where+"needs ") + enumeration(needs) + ".")
		}
		switch {
		case len(takes) > 0 && len(needs) > 0:
			m.prose("Takes " + enumeration(takes) + ".")
		case len(takes) > 0:
			m.prose(capital(where+"takes ") + enumeration(takes) + ".")
		case len(needs) == 0:
			m.prose(capital(where+"takes ") + "no options.")
		}
		m.extRules(r.proto)
	}
}

// extRules writes which options of a protocol are needed and taken.
func (m *manual) extRules(r extRules) {
	law := extLegality[r]
	needs, takes := law.must.kinds(), (law.may &^ law.must).kinds()
	if law.pair {
		needs = append([]string{"the ports or keys of one direction"}, needs...)
	}
	if len(needs) > 0 {
		m.prose("Of the options of a protocol it needs " + enumeration(needs) + ".")
	}
	for i := range extensions {
		e := &extensions[i]
		if r != extExpectCreate || e.expectMust == 0 {
			continue
		}
		var names []string
		for _, o := range e.having(e.expectMust) {
			names = append(names, "{--"+o.name+"}")
		}
		m.prose("With {" + e.proto.String() + "} it also needs " + enumeration(names) + ".")
	}
	if len(takes) > 0 && len(needs) > 0 {
		m.prose("It takes " + enumeration(takes) + ".")
	} else if len(takes) > 0 {
		m.prose("Of the options of a protocol it takes " + enumeration(takes) + ".")
	}
}

// having returns those of e's options that are in a set.
func (e *extension) having(s extSet) []*extOption {
	var all []*extOption
	for i := range e.options {
		if o := &e.options[i]; s.has(o.id) {
			all = append(all, o)
		}
	}
	return all
}

// extKinds are the kinds of options of protocols.
var extKinds = [...]struct {
	ids  extSet
	name string
}{
	{extPorts, "all ports or keys"},
	{exts(extSrcPort, extDstPort), "the original ports or keys"},
	{extMaskPorts, "the masks of ports or keys"},
	{extTuplePorts, "the expected ports or keys"},
	{exts(extState), "the state"},
	{extVTags, "the verification tags"},
	{exts(extRole), "the role"},
	{exts(extICMPType, extICMPCode), "type and code of ICMP"},
	{exts(extICMPID), "the identifier of ICMP"},
}

// kinds names the options of a set.
func (s extSet) kinds() []string {
	var names []string
	for _, k := range extKinds {
		if k.ids&s == k.ids {
			names = append(names, k.name)
			s &^= k.ids
		}
	}
	return names
}

func capital(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

func enumeration(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:len(words)-1], ", ") + " and " + words[len(words)-1]
}

// list returns the options of a set in the order of the table.
func (s optionSet) list() []optionID {
	var ids []optionID
	for i := range optionTable {
		if s.has(optionTable[i].id) {
			ids = append(ids, optionTable[i].id)
		}
	}
	return ids
}

// shortest is what the option is called in running text.
func (o *option) shortest() string {
	if o.letter != 0 && isLetter(o.letter) {
		return "-" + string(rune(o.letter))
	}
	return "--" + o.name
}

// options writes the generic options by topic.
func (m *manual) options() {
	m.section("OPTIONS")
	for topic, title := range topicTitles {
		m.line(".Ss " + title)
		m.line(".Bl -tag -width Ds")
		for i := range optionTable {
			if o := &optionTable[i]; int(o.topic) == topic {
				m.option(o)
			}
		}
		m.line(".El")
	}
}

func (m *manual) option(o *option) {
	var names []string
	if o.letter != 0 && isLetter(o.letter) {
		names = append(names, "Fl "+string(rune(o.letter)))
	}
	for _, name := range append([]string{o.name}, o.names...) {
		names = append(names, "Fl -"+name)
	}
	s := ".It " + strings.Join(names, " , ")
	switch o.arg {
	case getopt.Required:
		s += " " + argument(o.value)
	case getopt.Optional:
		s += " Op " + argument(o.value)
	}
	m.line(s)
	help := o.help
	if words, _, ok := strings.Cut(help, ": "); ok && (m.words(o.id) != nil || o.id == optOutput) {
		help = words // which are explained elsewhere
	}
	if strings.HasPrefix(help, "with -") {
		_, help, _ = strings.Cut(help, ": ") // as is told below
	}
	m.prose(sentence(help))
	m.prose(manOptions[o.id])
	if with := commandsWith(o); with != "" {
		m.prose("With " + with + ".")
	}
	if o.ours {
		m.prose("An addition: the original does not know it.")
	}
	if words := m.words(o.id); words != nil {
		m.items(words)
	}
}

// words are those of an option whose value is a list.
func (*manual) words(id optionID) []manItem {
	switch id {
	case optStatus:
		return manStatus[:]
	case optEventMask:
		return manEvents[:]
	}
	return nil
}

// argument writes the value of an option, "ADDR[/LEN]": words in capitals are
// placeholders, all else stands for itself.
func argument(value string) string {
	var parts []string
	for value != "" {
		capital := isCapital(value[0])
		n := strings.IndexFunc(value, func(c rune) bool { return isCapital(byte(c)) != capital })
		if n < 0 {
			n = len(value)
		}
		switch part := value[:n]; {
		case capital:
			parts = append(parts, "Ar "+strings.ToLower(part))
		case strings.Trim(part, "|[]/:,.") == "":
			parts = append(parts, `\&`+part)
		default:
			parts = append(parts, "Cm "+strings.ReplaceAll(part, "|", ` Ns \&| Ns Cm `))
		}
		value = value[n:]
	}
	return strings.Join(parts, " Ns ")
}

func isCapital(c byte) bool { return c >= 'A' && c <= 'Z' }

// commandsWith lists the commands that an option is possible with; "" if it is with
// all.
func commandsWith(o *option) string {
	var with []string
	for i := range commandTable {
		c := &commandTable[i]
		flows, inFlows := c.rules[tableConntrack]
		expects, inExpects := c.rules[tableExpect]
		letter := "{-" + string(rune(c.letter)) + "}"
		inFlows = inFlows && (flows.must | flows.may).has(o.id)
		inExpects = inExpects && (expects.must | expects.may).has(o.id)
		if inFlows {
			with = append(with, letter)
		}
		if inExpects && c.id != cmdHelp {
			with = append(with, letter+" {expect}")
		}
	}
	if o.id == optNetNS || o.id == optNATRange {
		return ""
	}
	return enumeration(with)
}

// protocols writes the options of protocols. Most protocols share some.
func (m *manual) protocols() {
	m.section("PROTOCOLS")
	var names []string
	for i := range extensions {
		names = append(names, "{"+extensions[i].proto.String()+"}")
	}
	m.prose("These protocols have options of their own: " + enumeration(names) + `.
They follow {-p}, by which they become known; COMMANDS tells which command needs or takes which.`)
	m.line(".Bl -tag -width Ds")
	explained := map[extID]bool{}
	for i := range extensions {
		for j := range extensions[i].options {
			o := &extensions[i].options[j]
			with := protocolsWith(o)
			if with[0] != &extensions[i] {
				continue // has been there
			}
			s := ".It Fl -" + o.name
			if o.alias != "" {
				s += " , Fl -" + o.alias
			}
			m.line(s + " " + argument(o.value))
			m.extOption(o, with, !explained[o.id])
			explained[o.id] = true
		}
	}
	m.line(".El")
}

func (m *manual) extOption(o *extOption, with []*extension, explain bool) {
	var names []string
	for _, e := range with {
		names = append(names, "{"+e.proto.String()+"}")
	}
	if o.id != extState {
		m.prose(sentence(o.help))
	}
	if explain {
		m.prose(manExtensions[o.id])
	}
	if o.id != extState {
		m.prose("With " + enumeration(names) + ".")
		return
	}
	var states []manItem
	for _, e := range with {
		text := "{" + strings.Join(stateNames(e), "}, {") + "}."
		states = append(states, manItem{e.proto.String(), text})
	}
	m.items(states)
}

// protocolsWith are those that have an option of that name.
func protocolsWith(o *extOption) []*extension {
	var with []*extension
	for i := range extensions {
		e := &extensions[i]
		if x := e.option(o.id); x != nil && x.name == o.name {
			with = append(with, e)
		}
	}
	return with
}

// stateNames are the words of --state.
func stateNames(e *extension) []string {
	o := e.option(extState)
	if o == nil {
		return nil
	}
	return strings.Split(o.help, ", ")
}

// formats writes the words of -o.
func (m *manual) formats() {
	m.section("OUTPUT")
	m.prose(`
Without {-o} every entry is a line of text: protocol by name and number, seconds until it ends, state, the original direction, the reply
direction, and what else the kernel tells.
{[UNREPLIED]} and {[ASSURED]} are in the middle of it.
{-o} takes one or more of these words, which may be shortened:`)
	m.items(manFormats[:])
	m.line(".Pp")
	m.prose(`
{json}, {jsonl} and {csv} are additions: the original does not know them.
They hold all that the kernel tells, leave out what it does not tell, and also serve {-C} and {-S}.
At most one of {xml}, {save}, {json}, {jsonl} and {csv} can be chosen.`)
}

// prose writes paragraphs, an empty line between them. Within the text
//
//	{-s}, {-o save}, {--zone}   are options
//	{nft(8)}                    is another manual
//	{/etc/hosts}                is a file
//	{net.netfilter.x}           is a variable of the kernel
//	{ASSURED}                   is any other word to be typed
//	<mark>                      is a placeholder
//
// A line that begins with a dot is mdoc(7), one that begins with a tab is shown as it
// is.
func (m *manual) prose(text string) {
	var words []string
	shown, paragraph := false, false
	for line := range strings.Lines(strings.Trim(text, "\n")) {
		line = strings.TrimSuffix(line, "\n")
		example := strings.HasPrefix(line, "\t")
		if line == "" || line[0] == '.' || example {
			m.fill(words)
			words = nil
		}
		if shown && !example {
			m.line(".Ed")
		}
		if example && !shown {
			m.line(".Bd -literal -offset indent") // which begins a paragraph
			paragraph = false
		}
		shown = example
		if line == "" {
			paragraph = true
			continue
		}
		if paragraph {
			m.line(".Pp")
			paragraph = false
		}
		switch {
		case example:
			m.line(strings.ReplaceAll(line[1:], "-", `\-`))
		case line[0] == '.':
			m.line(line)
		default:
			words = append(words, spans(line)...)
		}
	}
	m.fill(words)
	if shown {
		m.line(".Ed")
	}
}

// spans splits a line into words; one in braces is a word with all its blanks.
func spans(line string) []string {
	var words []string
	depth, start := 0, 0
	for i := range len(line) + 1 {
		switch {
		case i == len(line) || line[i] == ' ' && depth == 0:
			if i > start {
				words = append(words, line[start:i])
			}
			start = i + 1
		case line[i] == '{':
			depth++
		case line[i] == '}':
			depth--
		}
	}
	return words
}

// fillWidth is how long lines of text become.
const fillWidth = 76

// fill writes words as lines of text, each sentence and each macro on a new one.
func (m *manual) fill(words []string) {
	text := ""
	flush := func() {
		if text != "" {
			m.line(text)
			text = ""
		}
	}
	for _, w := range words {
		if macro := inline(w); macro != "" {
			flush()
			m.line("." + macro)
			continue
		}
		if len(text)+1+len(w) > fillWidth {
			flush()
		}
		if text != "" {
			text += " "
		}
		text += w
		if strings.ContainsRune(".?!", rune(w[len(w)-1])) {
			flush()
		}
	}
	flush()
}

// inline returns the macros for a word that has a part in braces or angles, "" for one
// that has none.
func inline(word string) string {
	begin := strings.IndexAny(word, "{<")
	if begin < 0 {
		return ""
	}
	end := strings.LastIndexAny(word, "}>")
	before, span, after := word[:begin], word[begin+1:end], word[end+1:]
	macro := "Ar " + span
	if word[begin] == '{' {
		macro = spanMacro(span)
	}
	if before != "" {
		macro = "No " + before + " Ns " + macro
	}
	if strings.Trim(after, ".,:;?!)") != "" {
		return macro + " Ns " + after
	}
	for _, c := range after { // the macro knows delimiters if they stand alone
		macro += " " + string(c)
	}
	return macro
}

func spanMacro(span string) string {
	if name, volume, ok := strings.Cut(strings.TrimSuffix(span, ")"), "("); ok && span != name {
		return "Xr " + name + " " + volume
	}
	switch {
	case strings.HasPrefix(span, "/"):
		return "Pa " + span
	case strings.HasPrefix(span, "net."):
		return "Va " + span
	}
	var macros []string
	for _, w := range strings.Fields(span) {
		if flag, ok := strings.CutPrefix(w, "-"); ok {
			macros = append(macros, strings.TrimSpace("Fl "+flag))
		} else {
			macros = append(macros, "Cm "+w)
		}
	}
	return strings.Join(macros, " ")
}
