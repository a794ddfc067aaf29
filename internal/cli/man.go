package cli

import (
	"strings"

	"github.com/spoor-project/spoor/internal/guard"
)

// manDate is when the texts below were changed last.
const manDate = "November 21, 2026"

// ManPage returns the manual page spoor(8), in mdoc(7). Commands and options come from the table of commands.
func ManPage() string {
	var b strings.Builder
	b.WriteString(".Dd " + manDate + "\n" + manHead)
	for _, c := range commands() {
		b.WriteString(".Ss spoor " + c.name)
		if c.words != "" {
			b.WriteString(" " + c.words)
		}
		b.WriteString("\n" + mdocText(c.about) + "\n.Bl -tag -width Ds\n")
		for _, o := range c.all() {
			b.WriteString(".It ")
			if o.letter != 0 {
				b.WriteString("Fl " + string(o.letter) + " , ")
			}
			b.WriteString("Fl Fl " + o.name)
			if o.value != "" {
				b.WriteString(" Ar " + o.value)
			}
			text := strings.ToUpper(o.help[:1]) + o.help[1:]
			b.WriteString("\n" + mdocText(text) + ".\n")
		}
		b.WriteString(".El\n")
	}
	b.WriteString(manTail)
	return b.String()
}

// mdocText protects a text from being taken for instructions, and begins a line with each sentence.
func mdocText(text string) string {
	text = strings.ReplaceAll(strings.ReplaceAll(text, "\n", " "), `\`, `\e`)
	for _, end := range []string{". ", "? "} {
		text = strings.ReplaceAll(text, end, end[:1]+"\n")
	}
	var lines []string
	for line := range strings.SplitSeq(text, "\n") {
		if strings.HasPrefix(line, ".") || strings.HasPrefix(line, "'") {
			line = `\&` + line
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

const manHead = `.Dt SPOOR 8
.Os Linux
.Sh NAME
.Nm spoor
.Nd the kernel's connection tracking table
.Sh SYNOPSIS
.Nm
.Ar command
.Op Ar options
.Op Ar query
.Nm
.Cm help
.Op Ar command | Cm query
.Nm
.Cm version
.Sh DESCRIPTION
The kernel keeps an entry for every connection that passes a stateful rule: a
.Em flow .
.Nm
shows, counts, watches, changes and removes them.
A query selects which; see
.Sx QUERIES .
Large tables are read by an eBPF program where that is possible, which takes a tenth of the time.
.Pp
Everything but the help and most of
.Cm doctor
needs the capability
.Dv CAP_NET_ADMIN
in the network namespace.
.Sh COMMANDS
`

var manTail = `.Sh QUERIES
A query is one condition, or several joined by
.Cm and ,
.Cm or
and
.Cm not ,
of which
.Cm not
binds tightest and
.Cm or
least; parentheses group.
Nothing, or
.Cm any ,
selects every flow.
.Bl -tag -width Ds
.It Cm tcp udp icmp icmpv6 sctp udplite gre dccp ipv4 ipv6
The protocol, or the family.
.It Cm assured replied unreplied related confirmed dying offload hw_offload fixed_timeout
The status.
.It Cm nat snat dnat Op Cm to Ar addresses
What is translated, and into what.
.It Oo Cm orig | reply Oc Cm src | dst | host Ar addresses
Addresses, networks and ranges, with commas between them.
Without a direction
.Cm src
and
.Cm dst
are of the original one, and
.Cm host
is either end, before or after translation.
.It Oo Cm orig | reply Oc Cm sport | dport | port Ar ports
Ports, ranges, names of services.
.It Oo Cm orig | reply Oc Cm icmp-type | icmp-code | icmp-id Ar numbers
The fields of ICMP.
.It Cm proto | family | state | status Ar names
By name.
.It Cm mark Ar value Ns Op / Ns Ar mask
The mark, or the bits of it that the mask has.
.It Oo Cm orig | reply Oc Cm zone Ar numbers
The zone; 0 is none.
.It Cm label | helper | secctx | id | use Ar values
What else is known.
.It Oo Cm orig | reply Oc Cm bytes | packets Ar number
Counters, of both directions together if none is given:
.Cm 10k , 1.5M , 2Gi .
.It Cm timeout | age Ar time
.Cm 90 , 30s , 5m , 1h30m , 2d .
.El
.Pp
Where there is an order,
.Cm < , <= , >
and
.Cm >=
may stand before a value;
.Cm !=
is the opposite of
.Cm = ,
which may be left out.
The shell reads some of these itself: quote them.
.Sh RULES OF GUARD
.Nm Cm guard
looks for what its rules name: a line for each kind, in a file of which
.Cm guard rules
prints the usual one.
.Dl Ar kind name Ns = Ns Ar value ... Oo Cm then Ar response , ... Oc Op Cm where Ar query
.Bl -tag -width Ds
` + guardKinds() + `.It Cm block Ar time | Cm delete | Cm run Ar program argument ... | Cm post Ar URL
Responses: the offender goes into an nftables set, its flows are deleted, a program is run, the finding is sent as JSON.
They are carried out with
.Fl Fl enforce
only.
.It Cm allow Ar addresses
Against whom nothing is ever done.
This machine, the gateways of its routes and who is logged in over ssh are always spared.
.It Cm inside Ar networks
What
.Cm upload
watches.
.It Cm limit actions Ns = Ns Ar number Cm within Ns = Ns Ar time
No more responses than that.
.It Cm memory flows Ns = Ns Ar number Cm sources Ns = Ns Ar number Cm services Ns = Ns Ar number
How much is remembered at most.
.El
.Sh ENVIRONMENT
.Bl -tag -width Ds
.It Ev SPOOR_SNAPSHOT
.Cm off
reads the table over netlink,
.Cm on
by eBPF or not at all.
Without it the faster of both that is possible is taken.
.It Ev XDG_STATE_HOME
Where
.Nm Cm delete
puts its files, instead of
.Pa ~/.local/state .
.El
.Sh FILES
.Bl -tag -width Ds
.It Pa /etc/services
Names of ports.
.It Pa /etc/spoor/guard.rules
Rules of
.Cm guard .
.It Pa /var/log/spoor/guard.jsonl
What
.Cm guard Fl Fl enforce
has done.
.It Pa /etc/xtables/connlabel.conf
Names of labels.
.El
.Sh EXIT STATUS
0 for success, also if no flow is selected; 1 for a failure; 2 for a command line that makes no sense.
.Cm doctor
ends with 1 as well if something is bad; a warning is 0.
With
.Fl Fl nagios
it ends with 0 if all is well, 1 for a warning, 2 if something is bad and 3 if nothing is wrong but something could not be looked at.
.Sh EXAMPLES
.Dl spoor list tcp and dport 443 and not assured
.Dl spoor list --sort bytes --limit 20 'age > 1h'
.Dl spoor count --by src,dport --top 20 unreplied
.Dl spoor delete src 192.0.2.7
.Dl spoor update --mark 0x10/0xf0 --yes src 10.0.0.0/8
.Dl spoor watch --json dnat
.Dl spoor doctor --fix
.Dl spoor serve --netns all --top src=20
.Dl spoor watch -o jsonl | gzip >hour.jsonl.gz
.Dl spoor guard replay hour.jsonl.gz
.Dl spoor guard --enforce
.Sh SEE ALSO
.Xr conntrack 8 ,
.Xr conntrackd 8 ,
.Xr nft 8
`

// guardKinds are the kinds of findings, each with its parameters as they usually are.
func guardKinds() string {
	var b strings.Builder
	for _, k := range guard.Kinds() {
		b.WriteString(".It Cm " + k.Usual + "\n" + strings.ToUpper(k.About[:1]) + mdocText(k.About[1:]) + ".\n")
	}
	return b.String()
}
