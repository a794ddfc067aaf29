//go:build linux

package conntrackcli

import (
	"bytes"
	"context"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spoor-project/spoor/internal/nstest"
)

var update = flag.Bool("update", false, "rewrite the manual page and the completions; read the diff before committing it")

func TestMain(m *testing.M) { os.Exit(nstest.Main(m)) }

// committed compares what a generator made with the file that is committed, named
// from the module's root.
func committed(t *testing.T, name, made string) {
	t.Helper()
	path := filepath.Join("..", "..", "..", name)
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(made), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	have, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(have) != made {
		t.Errorf("%s is not what the tables make now: run make generate and read the diff; first difference: %s", name, firstDifference(string(have), made))
	}
}

func firstDifference(have, want string) string {
	a, b := strings.Split(have, "\n"), strings.Split(want, "\n")
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return "have " + a[i] + ", want " + b[i]
		}
	}
	return "one is longer"
}

func TestManPageIsCommitted(t *testing.T) { committed(t, "man/conntrack.8", ManPage()) }

// TestManualExplainsAllOfTheTables fails when a command, an option, or a word of a list
// was added without a text in man.go.
func TestManualExplainsAllOfTheTables(t *testing.T) {
	page := ManPage()
	wantFlag := func(name string) {
		t.Helper()
		if !strings.Contains(page, "Fl "+name+" ") && !strings.Contains(page, "Fl "+name+"\n") {
			t.Errorf("the page does not have -%s", name)
		}
	}
	for _, c := range helpCommands() {
		wantFlag(c.letter[1:])
		wantFlag(c.name[1:])
	}
	explained := map[commandID]bool{}
	for _, c := range manCommands {
		explained[c.id] = true
	}
	for i := range commandTable {
		if c := &commandTable[i]; !explained[c.id] {
			t.Errorf("no row in manCommands for --%s", c.name)
		}
	}
	for _, o := range pointers(optionTable[:]) {
		for _, s := range o.spellings() {
			wantFlag(s[1:])
		}
		if manOptions[o.id] == "" {
			t.Errorf("no text in manOptions for --%s", o.name)
		}
	}
	if len(manExtensions) != int(extCount) {
		t.Errorf("manExtensions has %d rows, want %d", len(manExtensions), extCount)
	}
	for _, e := range pointers(extensions[:]) {
		for _, o := range pointers(e.options) {
			for _, s := range o.spellings() {
				wantFlag(s[1:])
			}
		}
		for _, word := range stateNames(e) {
			if _, ok := e.proto.ParseState(word); !ok {
				t.Errorf("%v has no state %s, which the help lists", e.proto, word)
			}
			if !strings.Contains(page, "\n.Cm "+word+" ") {
				t.Errorf("the page does not have the state %s", word)
			}
		}
	}
	for name, lists := range map[string][2][]string{
		"tables": {itemNames(manTables[:]), tableNames[:]},
		"-u":     {itemNames(manStatus[:]), append(namesOf(len(statusNames), func(i int) string { return statusNames[i].name }), "UNREPLIED")},
		"-e":     {itemNames(manEvents[:]), namesOf(len(eventNames), func(i int) string { return eventNames[i].name })},
		"-o":     {itemNames(manFormats[:]), namesOf(len(outputNames), func(i int) string { return outputNames[i].name })},
	} {
		for _, word := range lists[1] {
			if !slices.Contains(lists[0], word) {
				t.Errorf("%s: %s is not explained", name, word)
			}
		}
		for _, word := range lists[0] {
			if !slices.Contains(lists[1], word) {
				t.Errorf("%s: %s is explained but does not exist", name, word)
			}
		}
	}
}

func namesOf(n int, name func(int) string) []string {
	var names []string
	for i := range n {
		names = append(names, name(i))
	}
	return names
}

// TestKindsOfProtocolOptionsAreComplete: the page tells what a command needs of a
// protocol's options by kind, and must leave none out.
func TestKindsOfProtocolOptionsAreComplete(t *testing.T) {
	covers := func(r extRules, s extSet) {
		t.Helper()
		rest := s
		for _, k := range extKinds {
			if k.ids&rest == k.ids {
				rest &^= k.ids
			}
		}
		if rest != 0 {
			t.Errorf("rule %s: %b is not of any kind", lawNames[r], rest)
		}
	}
	for r, law := range extLegality {
		covers(extRules(r), law.must)
		covers(extRules(r), law.may&^law.must)
	}
}

func TestManPageIsAcceptedByFormatters(t *testing.T) {
	file := filepath.Join(t.TempDir(), "conntrack.8")
	if err := os.WriteFile(file, []byte(ManPage()), 0o644); err != nil {
		t.Fatal(err)
	}
	complaints := func(argv ...string) []string {
		cmd := exec.Command(argv[0], argv[1:]...)
		cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "MANWIDTH=78")
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		lines := strings.Split(strings.TrimSpace(stderr.String()), "\n")
		if argv[0] == "mandoc" {
			lines = append(lines, strings.Split(string(out), "\n")...)
		} else if err != nil {
			lines = append(lines, err.Error())
		}
		return slices.DeleteFunc(lines, func(line string) bool {
			// These depend on what else is installed, and on the system's name.
			return line == "" || strings.Contains(line, "referenced manual not found") ||
				strings.Contains(line, "mandoc.db") || strings.Contains(line, "operating system explicitly specified")
		})
	}
	t.Run("mandoc", func(t *testing.T) {
		nstest.NeedTool(t, "mandoc")
		for _, line := range complaints("mandoc", "-T", "lint", "-W", "all", file) {
			t.Error(line)
		}
	})
	t.Run("man", func(t *testing.T) {
		nstest.NeedTool(t, "man", "groff")
		for _, line := range complaints("man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z", file) {
			t.Error(line)
		}
	})
}

// guidePrelude is what the guides' commands run after: namespaces of their own, and
// functions that stand in for the reader's patience.
const guidePrelude = `
set -euo pipefail
mount --make-rprivate /
trap 'kill $(jobs -p) 2>/dev/null || true' EXIT

# follow runs the file given until it has printed something, while entries come and go.
follow() {
	setsid bash "$1" >followed 2>&1 &
	local child=$!
	for _ in {1..100}; do
		"$2" >/dev/null 2>&1 || true
		[ -s followed ] && sleep 0.2 && break
	done
	kill -INT -- -$child 2>/dev/null || true
	sleep 0.1
	kill -TERM -- -$child 2>/dev/null || true
	wait $child || true
	cat followed
	[ -s followed ]
}
traffic() {
	local flow='-s 192.0.2.200 -d 192.0.2.201 -p udp --sport 7 --dport 7'
	sleep 0.1
	conntrack -A $flow -t 60
	conntrack -U $flow -m 1
	conntrack -D $flow
}
expectations() {
	sleep 0.1
	conntrack -F expect
	conntrack -I expect -t 120 -p udp -s 127.0.0.1 -d 127.0.0.1 --sport 40070 --dport 69 \
		--tuple-src 192.0.2.9 --tuple-dst 127.0.0.1 --mask-src 255.255.255.255 --mask-dst 255.255.255.255 \
		--tuple-port-src 0 --tuple-port-dst 5000 --mask-port-src 0 --mask-port-dst 65535
}
`

// guideScript makes a script of a guide: its preparations, which stand in comments
// that begin with the word setup, and its blocks of shell.
func guideScript(guide string) string {
	var script strings.Builder
	script.WriteString(guidePrelude)
	kind, block, n := "", "", 0
	for line := range strings.Lines(guide) {
		text := strings.TrimSuffix(line, "\n")
		switch {
		case kind == "" && text == "<!-- setup":
			kind = "setup"
		case kind == "" && (text == "```sh" || strings.HasPrefix(text, "```sh ")):
			kind = text
		case kind == "setup" && text == "-->", kind != "" && text == "```":
			n++
			script.WriteString("echo '--- " + strings.TrimPrefix(kind, "```") + "'\n")
			switch kind {
			case "```sh fails":
				block = "(\n" + block + ") || true\n"
			case "```sh follow", "```sh follow-expect":
				by := map[string]string{"```sh follow": "traffic", "```sh follow-expect": "expectations"}[kind]
				block = "cat >block <<'END_OF_BLOCK'\n" + block + "END_OF_BLOCK\nfollow block " + by + "\n"
			}
			script.WriteString(block)
			kind, block = "", ""
		case kind != "":
			block += line
		}
	}
	return script.String()
}

// TestGuidesWork runs the commands of docs/howto, each guide in namespaces of its own.
func TestGuidesWork(t *testing.T) {
	nstest.NeedTool(t, "bash", "unshare", "setsid", "ip", "iptables", "nft", "sysctl", "socat", "jq", "sqlite3", "curl", "promtool")
	guides, err := filepath.Glob("../../../docs/howto/*.md")
	if err != nil || len(guides) < 8 {
		t.Fatalf("%d guides: %v", len(guides), err)
	}
	bin := ""
	for _, program := range []string{"conntrack", "conntrackd", "nfct", "spoor"} {
		bin += filepath.Dir(nstest.BuildCommand(t, "./cmd/"+program)) + ":"
	}
	root, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	for _, guide := range guides {
		t.Run(filepath.Base(guide), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(guide)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
			defer cancel()
			cmd := nstest.New(t).Command(ctx, "unshare", "--mount", "bash", "-c", guideScript(string(text)))
			cmd.Dir, cmd.WaitDelay = t.TempDir(), time.Second
			cmd.Env = append(os.Environ(), "PATH="+bin+"/usr/sbin:/sbin:"+os.Getenv("PATH"), "SPOOR_ROOT="+root)
			out, err := cmd.CombinedOutput()
			if err != nil || testing.Verbose() {
				t.Logf("%s", out)
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
}
