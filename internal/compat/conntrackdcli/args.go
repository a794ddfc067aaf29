package conntrackdcli

import (
	"fmt"
	"strings"

	"github.com/spoor-project/spoor/internal/agent"
)

const defaultConfig = "/etc/conntrackd/conntrackd.conf"

// maxPath is PATH_MAX.
const maxPath = 4096

// command is a command line that has been understood.
type command struct {
	config   string
	daemon   bool // -d
	version  bool
	help     bool
	request  agent.Request
	asks     bool // there is a request
	warnings []string

	// Ours.
	check   bool
	dissect *dissection // nil: not asked for
	json    bool
	// listPeer is the command that lists the other node's table, for --verify; nil: it is not compared.
	listPeer []string
}

// word is an argument that an option may have, and the request that it makes of it.
type word struct {
	text    string
	request agent.Request
}

// option is a row of the table of options: the second character of an argument, and what it asks for.
type option struct {
	letter byte
	alone  agent.Request // without a word
	words  []word        // a word that begins one of these counts as it; the first that fits does
	strict bool          // other words are an error, not the next option
}

var options = [...]option{
	{letter: 'c', alone: agent.CommitAll, words: []word{{"ct", agent.CommitFlows}, {"expect", agent.CommitExpects}}},
	{letter: 'i', alone: agent.DumpInternal, words: []word{{"ct", agent.DumpInternal}, {"expect", agent.DumpInternalExpects}}},
	{letter: 'e', alone: agent.DumpExternal, words: []word{{"ct", agent.DumpExternal}, {"expect", agent.DumpExternalExpects}}},
	{letter: 'F', alone: agent.FlushAll, words: []word{{"ct", agent.FlushFlows}, {"expect", agent.FlushExpects}}},
	{letter: 'f', alone: agent.FlushCaches, words: []word{{"internal", agent.FlushInternal}, {"external", agent.FlushExternal}}, strict: true},
	{letter: 'R', alone: agent.ResyncAll, words: []word{{"ct", agent.ResyncFlows}, {"expect", agent.ResyncExpects}}},
	{letter: 'B', alone: agent.SendBulk},
	{letter: 'n', alone: agent.RequestResync},
	{letter: 't', alone: agent.PurgeLater},
	{letter: 'k', alone: agent.Stop},
	{letter: 's', alone: agent.StatGeneral, words: []word{
		{"network", agent.StatNetwork}, {"cache", agent.StatCache}, {"runtime", agent.StatRuntime},
		{"multicast", agent.StatLink}, {"link", agent.StatLink}, {"rsqueue", agent.StatResend},
		{"process", agent.StatProcess}, {"queue", agent.StatQueue}, {"ct", agent.StatGeneral}, {"expect", agent.StatExpect},
	}, strict: true},
}

// xml is what -x makes of the requests before it.
var xml = map[agent.Request]agent.Request{
	agent.DumpInternal: agent.DumpInternalXML, agent.DumpExternal: agent.DumpExternalXML,
	agent.DumpInternalExpects: agent.DumpInternalExpXML, agent.DumpExternalExpects: agent.DumpExternalExpXML,
}

// asJSON is what --json makes of a request.
var asJSON = map[agent.Request]agent.Request{
	agent.DumpInternal: agent.DumpInternalJSON, agent.DumpExternal: agent.DumpExternalJSON,
	agent.DumpInternalExpects: agent.DumpInternalExpectsJSON, agent.DumpExternalExpects: agent.DumpExternalExpectsJSON,
	agent.StatGeneral: agent.StatJSON,
}

// usageError is shown behind the usage.
type usageError struct{ text string }

func (e usageError) Error() string { return e.text }

// plainError is shown alone.
type plainError struct{ text string }

func (e plainError) Error() string { return e.text }

const invalid = "Invalid parameters"

// parse reads a command line as the original does: only the second character of an argument counts.
func parse(args []string) (*command, error) {
	c := &command{config: defaultConfig}
	for i := 1; i < len(args); i++ {
		arg := args[i]
		next := func() (string, bool) {
			if i+1 < len(args) && !strings.HasPrefix(args[i+1], "-") {
				return args[i+1], true
			}
			return "", false
		}
		if strings.HasPrefix(arg, "--") {
			switch arg {
			case "--check":
				c.check = true
			case "--json":
				c.json = true
			case "--verify":
				c.request, c.asks = agent.Verify, true
				if _, ok := next(); ok {
					// All that follows is a command, with options of its own.
					c.listPeer = args[i+1:]
					return c, c.contradiction()
				}
			case "--dissect":
				var err error
				c.dissect, err = parseDissection(args[i+1:], c.json)
				return c, err
			case "--help":
				c.help = true
				return c, nil
			case "--version":
				c.version = true
				return c, nil
			default:
				return c, usageError{"Unknown option: " + arg}
			}
			continue
		}
		if len(arg) < 2 {
			return c, usageError{"Unknown option: " + arg}
		}
		switch letter := arg[1]; letter {
		case 'd':
			c.daemon = true
		case 'C':
			file, ok := next()
			if !ok {
				return c, usageError{"Missing config filename"}
			}
			i++
			if len(file) > maxPath {
				c.warnings = append(c.warnings, fmt.Sprintf("Path to config file to long. Cutting it down to %d characters", maxPath))
				file = file[:maxPath]
			}
			c.config = file
		case 'v':
			c.version = true
			return c, nil
		case 'h':
			c.help = true
			return c, nil
		case 'x':
			r, ok := xml[c.request]
			if !ok || !c.asks {
				return c, usageError{invalid}
			}
			c.request = r
		default:
			o := find(letter)
			if o == nil {
				return c, usageError{"Unknown option: " + arg}
			}
			c.request, c.asks = o.alone, true
			text, ok := next()
			if !ok || o.words == nil {
				continue
			}
			switch w := o.word(text); {
			case w != nil:
				i++
				if c.request = w.request; w.text == "multicast" {
					c.warnings = append(c.warnings, "use `link' instead of `multicast' as parameter.")
				}
			case o.strict:
				return c, plainError{fmt.Sprintf("unknown parameter `%s' for option `-%c'", text, letter)}
			}
		}
	}
	return c, c.contradiction()
}

// contradiction is what is wrong with the command line as a whole.
func (c *command) contradiction() error {
	if c.daemon && c.asks {
		return usageError{invalid}
	}
	if c.json {
		r, ok := asJSON[c.request]
		if !ok || !c.asks {
			return plainError{"--json goes with -i, -e or -s without a word"}
		}
		c.request = r
	}
	return nil
}

func find(letter byte) *option {
	for i := range options {
		if options[i].letter == letter {
			return &options[i]
		}
	}
	return nil
}

// word finds what text is the beginning of.
func (o *option) word(text string) *word {
	for i := range o.words {
		if strings.HasPrefix(o.words[i].text, text) {
			return &o.words[i]
		}
	}
	return nil
}

// usage is the original's, and what is ours behind it.
func usage(program string) string {
	return "Connection tracking userspace daemon v1.4.9\n" +
		"Usage: " + program + ` [commands] [options]

General commands:
  -d, run in daemon mode
  -C [configfile], configuration file path
  -v, display conntrackd version
  -h, display this help information

Client mode commands:
  -c [ct|expect], commit external cache to conntrack table
  -f [internal|external], flush internal and external cache
  -F [ct|expect], flush kernel conntrack table
  -i [ct|expect], display content of the internal cache
  -e [ct|expect], display the content of the external cache
  -k, kill conntrack daemon
  -s  [network|cache|runtime|link|rsqueue|queue|ct|expect], dump statistics
  -R [ct|expect], resync with kernel conntrack table
  -n, request resync with other node (only FT-FW and NOTRACK modes)
  -B, force a bulk send to other replica firewalls
  -x, dump cache in XML format (requires -i or -e)
  -t, reset the kernel timeout (see PurgeTimeout clause)

`
}
