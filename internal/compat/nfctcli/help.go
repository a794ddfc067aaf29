package nfctcli

import (
	"strings"

	"github.com/spoor-project/spoor/internal/release"
)

// help is the text of --help.
func (x *executor) help() string {
	var b strings.Builder
	b.WriteString("Timeouts and user-space helpers of tracked connections; spoor " + release.Version + "\n\n")
	b.WriteString(x.usage())
	for sub := range objects {
		b.WriteString("\n")
		for i := range commandTable {
			if a := commandTable[i].actions[sub]; a != nil {
				entry(&b, commandTable[i].name+" "+a.syntax(sub), a.help)
			}
		}
	}
	b.WriteString("\n")
	for i := range ownOptionTable {
		entry(&b, ownOptionTable[i].usage(), ownOptionTable[i].help)
	}
	b.WriteString(`
family is inet or inet6. protocol is a name of /etc/protocols, icmpv6 or generic; for
helpers, tcp or udp. Both words may be abbreviated, and stand in the other order.
nfct(8) has the states of each protocol, and the helpers.
`)
	return b.String()
}

// syntax is what stands behind the command.
func (a *action) syntax(sub subsystem) string {
	return strings.Join(append([]string{subsystemNames[sub]}, a.args...), " ")
}

func entry(b *strings.Builder, usage, help string) {
	const column = 38
	b.WriteString("  " + usage)
	if len(usage) >= column {
		b.WriteString("\n  ")
		usage = ""
	}
	b.WriteString(strings.Repeat(" ", column-len(usage)) + help + "\n")
}

// ownOption is an option that the original does not have.
type ownOption struct {
	letter, name string
	value        string
	help         string
}

var ownOptionTable = [...]ownOption{
	{"-o", "--output", jsonFormat, "list, get and default-get print JSON; also last"},
	{"-h", "--help", "", "print this"},
	{"-V", "--version", "", "print the version"},
}

func (o *ownOption) usage() string {
	return strings.TrimRight(o.letter+", "+o.name+" "+o.value, " ")
}
