package cli

import (
	"fmt"
	"strings"

	"github.com/spoor-project/spoor/internal/release"
)

// overview is the help without a verb.
func overview() string {
	var b strings.Builder
	b.WriteString("spoor: the kernel's connection tracking table\n\nUsage: spoor COMMAND [OPTIONS] [QUERY]\n\n")
	for _, c := range commands() {
		fmt.Fprintf(&b, "  %-8s %s\n", c.name, c.summary)
	}
	b.WriteString("  help     explain a command, or the filter language: spoor help query\n" +
		"  version  show the version\n\n" +
		"A QUERY selects flows: tcp and dport 443 and not assured\n")
	return b.String()
}

// help is the command's help. It fits a screen of 24 lines and 80 columns.
func (c *command) help() string {
	var b strings.Builder
	usage := "spoor " + c.name + " [OPTIONS]"
	if c.words != "" {
		usage += " " + c.words
	}
	fmt.Fprintf(&b, "Usage: %s\n\n%s\n\n", usage, c.about)
	for _, o := range c.all() {
		letter := "   "
		if o.letter != 0 {
			letter = "-" + string(o.letter) + ","
		}
		name := "--" + o.name
		if o.value != "" {
			name += " " + o.value
		}
		fmt.Fprintf(&b, "  %s %-19s %s\n", letter, name, o.help)
	}
	return b.String()
}

const queryHelp = `A query is one condition, or several joined by and, or, not and parentheses:

  tcp udp icmp icmpv6 sctp gre …     protocol      ipv4 ipv6        family
  assured replied unreplied related  status        nat snat dnat    translated
  src dst host   10.0.0.0/8,10.1.2.3-10.1.2.9      addresses
  sport dport port   443,8000-8100                 ports
  state established,syn_sent         status expected,dying
  mark 0x10/0xff  zone 5  label 3  helper ftp      what rules have set
  bytes > 10M   packets >= 1k        counters, of both directions
  age > 1h   timeout < 30s           times
  snat to 203.0.113.0/24             what was translated into

orig or reply before a field says which direction is meant: reply src 10.0.0.1.
Commas mean "one of these", = != < <= > >= compare.

  spoor list tcp and dport 443 and not assured
  spoor count --by src,dport --top 20 'unreplied and (tcp or udp)'
  spoor delete src 192.0.2.7 and age '>' 1h

The shell reads < > ( ) itself: quote them, or the whole query.
`

func (c *call) help(words []string) error {
	if len(words) == 0 {
		c.out.WriteString(overview())
		return nil
	}
	if words[0] == "query" || words[0] == "filter" {
		c.out.WriteString(queryHelp)
		return nil
	}
	for _, cmd := range commands() {
		if cmd.name == words[0] {
			c.out.WriteString(cmd.help())
			return nil
		}
	}
	return usagef("there is no command %q%s", words[0], nearest(words[0]))
}

func (c *call) version() error {
	fmt.Fprintf(c.out, "spoor %s\n", release.Version)
	return nil
}
