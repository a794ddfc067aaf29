package conntrackcli

import (
	"strings"

	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/release"
)

// helpText is what -h prints; with -p it ends in the options of that protocol.
func helpText(program string, r *request, env *Env) string {
	var b strings.Builder
	b.WriteString("Command line interface for the connection tracking system. Version " + version + "\n")
	b.WriteString("Usage: " + program + " [commands] [options]\n")
	b.WriteString("\nCommands:\n")
	for _, row := range helpCommands() {
		entry(&b, row.usage, row.help)
	}
	b.WriteString("\nTables: conntrack, expect, dying, unconfirmed\n")
	for topic, title := range topicTitles {
		b.WriteString("\n" + title + ":\n")
		for i := range optionTable {
			if row := &optionTable[i]; int(row.topic) == topic {
				entry(&b, row.usage(), row.help)
			}
		}
	}
	b.WriteString("\nOptions of a protocol are shown by -h -p PROTO. Own version: spoor " + release.Version + "\n")
	if r.given.has(optProto) {
		protocolHelp(&b, r.proto, r.ext, env)
	}
	return b.String()
}

func protocolHelp(b *strings.Builder, proto flow.Proto, ext *extension, env *Env) {
	name := "unknown"
	if ext != nil {
		name = ext.proto.String()
	} else if known := env.Protocols().name(uint8(proto)); known != "" {
		name = known
	}
	b.WriteString("\nProto `" + name + "' help:\n")
	if ext == nil {
		b.WriteString("  no options (unsupported)\n")
		return
	}
	for i := range ext.options {
		o := &ext.options[i]
		entry(b, o.usage(), o.help)
	}
}

// helpColumn is where explanations begin.
const helpColumn = 42

func entry(b *strings.Builder, usage, help string) {
	b.WriteString("  " + usage)
	n := len(usage) + 2
	if n >= helpColumn {
		b.WriteString("\n")
		n = 0
	}
	b.WriteString(strings.Repeat(" ", helpColumn-n) + help + "\n")
}

// helpCommand is a line of help about a command.
type helpCommand struct{ letter, name, table, usage, help string }

// helpCommands are the commands, with -R, which the scanner does not know.
func helpCommands() []helpCommand {
	var all []helpCommand
	for i := range commandTable {
		row := &commandTable[i]
		c := helpCommand{letter: "-" + string(rune(row.letter)), name: "--" + row.name, table: "[table]", help: row.help}
		if row.id == cmdVersion || row.id == cmdHelp {
			c.table = ""
		}
		all = append(all, c)
	}
	all = append(all, helpCommand{letter: loadLetter, name: loadName, table: "FILE",
		help: "carry out the commands of a file, - for stdin; must be the first argument"})
	for i := range all {
		all[i].usage = strings.TrimRight(all[i].letter+", "+all[i].name+" "+all[i].table, " ")
	}
	return all
}

// usage is how the option is written: "-s, --orig-src, --src ADDR[/LEN]".
func (o *option) usage() string {
	var words []string
	if o.letter != 0 && isLetter(o.letter) {
		words = append(words, "-"+string(rune(o.letter)))
	}
	for _, name := range append(append([]string(nil), o.names...), o.name) {
		words = append(words, "--"+name)
	}
	s := strings.Join(words, ", ")
	switch o.arg {
	case 0:
		return s
	case 2:
		return s + " [" + o.value + "]"
	}
	return s + " " + o.value
}

func (o *extOption) usage() string {
	s := "--" + o.name
	if o.alias != "" {
		s = "--" + o.alias + ", " + s
	}
	return s + " " + o.value
}

// isLetter tells letters that people type from those that only exist so that an
// option has one.
func isLetter(c byte) bool { return c >= 'a' && c <= 'z' }
