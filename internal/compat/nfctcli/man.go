package nfctcli

import (
	"fmt"
	"strings"

	"github.com/spoor-project/spoor/conntrack"
	"github.com/spoor-project/spoor/flow"
)

// To document a new command, protocol or helper: add a row to the texts below. The tests
// say which is missing, and make generate rewrites man/nfct.8.

// manDate is when the texts below were changed last.
const manDate = "November 21, 2026"

// ManPage returns the manual page nfct(8), in mdoc(7). Syntax, states and helpers come
// from the tables, explanations from the texts in this file.
func ManPage() string {
	var b strings.Builder
	b.WriteString(".Dd " + manDate + "\n" + manHead)
	for sub, intro := range manObjects {
		b.WriteString(intro)
		b.WriteString(".Bl -tag -width Ds\n")
		for i := range commandTable {
			if a := commandTable[i].actions[sub]; a != nil {
				words := commandTable[i].name + " " + subsystemNames[sub]
				b.WriteString(".It Cm " + words + manArgs(a.args) + "\n" + manActions[words])
			}
		}
		b.WriteString(".El\n")
		if subsystem(sub) == subHelper {
			manHelpers(&b)
		}
	}
	b.WriteString(manStatesIntro)
	for _, p := range manProtocols {
		b.WriteString(".Ss " + p.words + "\n" + p.note)
		b.WriteString(".Bl -column -compact SHUTDOWN_ACK_SENT nf_conntrack_sctp_timeout_shutdown_ack_sent\n")
		for i, s := range states(p.proto) {
			fmt.Fprintf(&b, ".It Cm %v Ta %s\n", s, p.sysctls[i])
		}
		b.WriteString(".El\n")
	}
	b.WriteString(manTail)
	return b.String()
}

// manArgs are the arguments of a command, optional ones in brackets.
func manArgs(args []string) string {
	var b strings.Builder
	for _, arg := range args {
		if name, ok := strings.CutPrefix(arg, "["); ok {
			b.WriteString(" Op Ar " + name)
			continue
		}
		b.WriteString(" Ar " + strings.TrimSuffix(arg, "]"))
	}
	return b.String()
}

func manHelpers(b *strings.Builder) {
	b.WriteString(manHelpersIntro)
	b.WriteString(".Bl -column amandaXX tcpXudp expectsXX timeoutXX private\n.It Em name Ta Em protocols Ta Em expects Ta Em timeout Ta Em private\n")
	for i, l := range transportsOf() {
		h := &helperTable[i]
		fmt.Fprintf(b, ".It Cm %s Ta %s Ta %d Ta %d Ta %d\n", l.key, l.words, h.expects, seconds(h.timeout), h.private)
	}
	b.WriteString(".El\n")
}

const manHead = `.Dt NFCT 8
.Os Linux
.Sh NAME
.Nm nfct
.Nd timeouts and user-space helpers of tracked connections
.Sh SYNOPSIS
.Nm
.Op Fl o Cm json
.Ar command subsystem
.Op Ar parameter ...
.Nm
.Fl h | V
.Sh DESCRIPTION
The kernel forgets a connection when no packet has come for some time, which
depends on the protocol and on the state the connection is in.
.Nm
makes
.Em timeout policies ,
which firewall rules attach to the connections that shall have other
timeouts, and changes the timeouts that hold for all others.
It also registers connection tracking
.Em helpers
that are programs and not part of the kernel.
.Pp
It takes the place of the program of that name in conntrack-tools 1.4.9: the
same arguments give the same output, messages and exit status, except where
.Sx COMPATIBILITY
says otherwise.
.Pp
The subsystems are
.Cm timeout ,
.Cm helper
and
.Cm version ,
which prints the version of the program whose place this one takes.
The subsystem may stand before the command, as in
.Ic nfct timeout list .
Both words may be shortened, even to nothing: the first one that fits counts,
in the order in which they are listed here, so that
.Cm d
is
.Cm delete
and
.Cm default
is
.Cm default-set .
.Pp
A
.Ar family
is
.Cm inet
or
.Cm inet6 .
A
.Ar protocol
is a name of
.Pa /etc/protocols ,
in the case of letters that it has there, or
.Cm icmpv6
or
.Cm generic ;
for helpers it is
.Cm tcp
or
.Cm udp .
.Pp
Options stand first:
.Bl -tag -width Ds
.It Fl o Cm json , Fl -output Cm json
.Cm list
prints one array of objects,
.Cm get
and
.Cm default-get
print one object.
With these commands the option may also stand last.
The members are described in
.Pa docs/output.md
of the sources.
.It Fl h , Fl -help
Print a summary.
.It Fl V , Fl -version
Print the version.
.El
`

// manObjects introduce the commands of each subsystem.
var manObjects = [objects]string{
	subTimeout: `.Sh TIMEOUT POLICIES
A policy has a name of up to 31 bytes, of which the first ones count if it is
longer, a family, a protocol, and a timeout for each of the protocol's states,
see
.Sx STATES .
It belongs to a network namespace.
`,
	subHelper: `.Sh HELPERS
A helper reads the connections of a protocol such as FTP, in which hosts agree
on further connections, and has these let through.
The kernel has some, this is about those that are programs.
Packets of the connections that a rule gives to such a helper are queued to
the program, usually
.Xr conntrackd 8 ,
which registers what its configuration asks for by itself.
.Pp
A registration has a name, a family and a protocol.
It holds for all network namespaces.
`,
}

// manActions explain the commands.
var manActions = map[string]string{
	"list timeout": `Print all policies, in the order in which they were made.
`,
	"add timeout": `Make a policy.
A timeout is in seconds; what is no number is 0, with which a connection ends
at once.
States that are not given have the timeout that
.Cm default-get
shows at that moment, but at least one must be given.
A policy cannot be changed: delete it and make another one.
`,
	"delete timeout": `Remove a policy, unless a rule uses it.
Connections that have it go on with the default timeouts.
Linux 6.1 and 6.12 forget the policy even if a rule uses it, and the rule goes
on with it.
`,
	"get timeout": `Print one policy.
`,
	"flush timeout": `Remove all policies that no rule uses.
`,
	"default-set timeout": `Change timeouts of connections that have no policy, as
.Xr sysctl 8
does with the variables of
.Sx STATES .
The others stay.
The family has no effect.
`,
	"default-get timeout": `Print the timeouts of connections that have no policy.
What stands behind the protocol is ignored.
`,
	"list helper": `Print the registered helpers.
`,
	"add helper": `Register one of the helpers below.
It begins with queue 0 and disabled: packets pass until a program enables it.
What stands behind the protocol is ignored.
`,
	"delete helper": `Remove all registrations of that name, or the one of that family and protocol,
unless a rule uses them.
A family without a protocol fits none.
`,
	"get helper": `Print the first registration of that name, or the one of that family and
protocol.
If a family is given and there is none, nothing is printed and it is no
failure, because the kernel does not say so; in JSON it is one.
`,
	"flush helper": `Remove all registrations that no rule uses.
`,
	"disable helper": `Let packets pass that would be queued to a registered helper.
What stands behind the protocol is ignored.
`,
}

const manHelpersIntro = `.Pp
These helpers can be registered.
A connection may have so many expected ones at a time, which wait so many
seconds; the helper keeps so many bytes with each connection.
`

const manStatesIntro = `.Sh STATES
Names of states may be in small letters.
Beside each is its variable below
.Pa net.netfilter
that has the default.
A timeout is stored in 32 bits as ticks of the kernel's clock, and what does
not fit is lost: with 250 ticks a second 17179869 seconds are the most.
`

// manProtocols explain the protocols, with the variables of their states.
var manProtocols = [...]struct {
	words   string
	proto   flow.Proto
	note    string
	sysctls []string
}{
	{"tcp", flow.TCP, `.Cm RETRANS
and
.Cm UNACKNOWLEDGED
are no states: they take the place of a longer timeout when a host repeats
itself too often, or does not acknowledge.
`, variables("tcp_timeout_", "syn_sent syn_recv established fin_wait close_wait last_ack time_wait close - max_retrans unacknowledged")},
	{"udp", flow.UDP, `A connection that has lasted two seconds and has been answered is
.Cm REPLIED .
`, variables("udp_timeout", " _stream")},
	{"udplite", flow.UDPLite, `The defaults are those of udp: changing them changes those.
`, variables("udp_timeout", " _stream")},
	{"icmp", flow.ICMP, "", variables("icmp_timeout", "")},
	{"icmpv6", flow.ICMPv6, `Also
.Cm ipv6-icmp .
`, variables("icmpv6_timeout", "")},
	{"gre", flow.GRE, "", variables("gre_timeout", " _stream")},
	{"generic", conntrack.Generic, `All protocols that are not listed here.
`, variables("generic_timeout", "")},
	{"sctp", flow.SCTP, `The kernel has two more, HEARTBEAT_SENT and HEARTBEAT_ACKED, that only JSON
shows; it does not use the second one any more.
`, variables("sctp_timeout_", "closed cookie_wait cookie_echoed established shutdown_sent shutdown_recd shutdown_ack_sent")},
	{"dccp", flow.DCCP, `Up to Linux 6.16.
`, variables("dccp_timeout_", "request respond partopen open closereq closing timewait")},
}

// variables joins a beginning and the ends that blanks separate; "-" is no variable.
func variables(beginning, ends string) []string {
	var all []string
	for _, end := range strings.Split(ends, " ") {
		if end == "-" {
			all = append(all, "none")
			continue
		}
		all = append(all, "nf_conntrack_"+beginning+end)
	}
	return all
}

var manTail = `.Sh ATTACHING
A rule attaches a policy to connections whose first packet it matches:
.Bd -literal -offset indent
nfct add timeout dns inet udp unreplied 5 replied 10
iptables -t raw -A PREROUTING -p udp --dport 53 \e
    -j CT --timeout dns
.Ed
.Pp
The rule must name the protocol and be of the family of the policy.
A helper is attached by
.Ic -j CT --helper Ar name .
.Pp
.Xr nft 8
has timeout objects of its own, which this program does not see; helpers of
either kind it finds by name.
.Pa docs/howto/timeouts-helpers.md
in the sources shows both.
.Sh FILES
.Bl -tag -width Ds
.It Pa /etc/protocols
Names of protocols.
.El
.Sh EXIT STATUS
.Bl -tag -width Ds
.It 0
Success.
An empty list and a flush of nothing are success.
.It 1
The arguments were wrong, or the kernel refused.
.It 255
There is no netlink socket to be had.
.El
.Sh EXAMPLES
See what TCP connections have, and keep idle ones for an hour only:
.Bd -literal -offset indent
nfct default-get timeout inet tcp
nfct default-set timeout inet tcp established 3600
.Ed
.Pp
Give SSH connections a day:
.Bd -literal -offset indent
nfct add timeout ssh inet tcp established 86400
iptables -t raw -A PREROUTING -p tcp --dport 22 \e
    -j CT --timeout ssh
.Ed
.Pp
Which policies are there?
.Bd -literal -offset indent
nfct list timeout -o json | jq -r '.[].name'
.Ed
.Sh DIAGNOSTICS
Messages begin with
.Dq nfct v` + version + `: .
.Bl -diag
.It "netlink error: Operation not permitted"
CAP_NET_ADMIN is needed in the user namespace that owns the network namespace;
for helpers, in the initial one.
.It "netlink error: Device or resource busy"
With
.Cm add ,
there is a policy of that name already.
With
.Cm delete ,
a rule uses it.
.It "netlink error: Operation not supported"
The kernel does not track that protocol.
.It "netlink error: Invalid argument"
With
.Cm add timeout ,
no state was given.
With all commands of a subsystem: the kernel does not have it,
CONFIG_NF_CONNTRACK_TIMEOUT or CONFIG_NF_CT_NETLINK_HELPER.
.It "Maybe unload nf_conntrack_ftp.ko first?"
The kernel may have a helper of that name and protocol itself.
Newer kernels say
.Dq File exists
then.
.El
.Sh COMPATIBILITY
The options are additions, and words that the original refuses.
The one exception is
.Fl o Cm json
behind
.Cm default-get ,
where the original ignores it.
.Sh SEE ALSO
.Xr conntrack 8 ,
.Xr conntrackd 8 ,
.Xr iptables-extensions 8 ,
.Xr nft 8
.Sh CAVEATS
.Ic nfct list help
is
.Ic nfct list helper :
the original has a subsystem
.Cm help
that nobody can reach.
.Pp
A value such as 10x is 10, and -1 is the largest number there is.
`
