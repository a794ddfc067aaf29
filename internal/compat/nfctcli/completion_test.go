//go:build linux

package nfctcli

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spoor-project/spoor/internal/nstest"
)

const completionDir = "packaging/completions/"

func TestCompletionsAreCommitted(t *testing.T) {
	committed(t, completionDir+"nfct.bash", BashCompletion())
	committed(t, completionDir+"_nfct", ZshCompletion())
	committed(t, completionDir+"nfct.fish", FishCompletion())
}

// completions are command lines up to the cursor, and what all shells offer.
var completions = []struct{ line, want string }{
	{"nfct ", "list add delete get flush disable default-set default-get timeout helper version"},
	{"nfct de", "delete default-set default-get"},
	{"nfct t", "timeout"},
	{"nfct -", "-o --output -h --help -V --version"},
	{"nfct -o ", "json"},
	{"nfct -o json l", "list"},
	{"nfct list ", "timeout helper version"},
	{"nfct timeout ", "list add delete get flush default-set default-get"},
	{"nfct helper ", "list add delete get flush disable"},
	{"nfct add timeout ", ""},
	{"nfct add timeout x ", "inet inet6"},
	{"nfct a t x ", "inet inet6"},
	{"nfct add timeout x inet ", "tcp udp udplite icmp icmpv6 gre generic sctp dccp"},
	{"nfct add timeout x inet udp ", "unreplied replied"},
	{"nfct add timeout x inet TCP syn_", "syn_sent syn_recv syn_sent2"},
	{"nfct add timeout x inet udp replied ", ""},
	{"nfct add timeout x inet udp replied 5 ", "unreplied replied"},
	{"nfct default-set timeout inet gre un", "unreplied"},
	{"nfct default-get timeout ", "inet inet6"},
	{"nfct default-get timeout inet sctp -", "-o"},
	{"nfct default-get timeout inet sctp -o ", "json"},
	{"nfct get timeout ", "web dns"},
	{"nfct delete timeout w", "web"},
	{"nfct get timeout web ", "-o"},
	{"nfct list timeout ", "-o"},
	{"nfct list timeout -o ", "json"},
	{"nfct flush timeout ", ""},
	{"nfct add helper t", "tftp tns"},
	{"nfct add helper ftp inet ", "tcp"},
	{"nfct disable helper rpc inet ", "tcp udp"},
	{"nfct get helper ", "amanda"},
	{"nfct get helper own inet ", "tcp udp"},
	{"nfct get helper own -", "-o"},
	{"nfct delete helper own -", ""},
	{"nfct default-set helper ", ""},
	{"nfct nonsense ", ""},
}

func TestShellsComplete(t *testing.T) {
	// What is there is a matter of the program, which is another one here.
	dir := t.TempDir()
	const program = "#!/bin/sh\ncase $2 in\ntimeout) printf '.web = {\\n\\t.l3proto = 2,\\n};\\n.dns = {\\n\\t.l3proto = 2,\\n};\\n' ;;\n" +
		"helper) printf '{\\n\\t.name = amanda,\\n\\t.queuenum = 0,\\n};\\n' ;;\nesac\n"
	if err := os.WriteFile(filepath.Join(dir, "nfct"), []byte(program), 0o755); err != nil {
		t.Fatal(err)
	}
	for shell, script := range map[string]string{"bash": "nfct.bash", "fish": "nfct.fish", "zsh": "_nfct"} {
		t.Run(shell, func(t *testing.T) {
			t.Parallel()
			for _, c := range completions {
				var got []string
				for word := range strings.Lines(nstest.Complete(t, shell, "../../../"+completionDir+script, c.line, dir)) {
					word, _, _ = strings.Cut(strings.TrimSpace(word), "\t")
					if word = strings.TrimPrefix(word, `\`); word != "" {
						got = append(got, word)
					}
				}
				want := strings.Fields(c.want)
				slices.Sort(got)
				slices.Sort(want)
				if got = slices.Compact(got); !slices.Equal(got, want) {
					t.Errorf("%s<TAB>: %q, want %q", c.line, got, want)
				}
			}
		})
	}
}
