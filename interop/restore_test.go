//go:build linux

package interop_test

import (
	"regexp"
	"strings"
	"testing"
)

// TestSaveAndRestore saves a table and loads it elsewhere, with every combination of programs, and wants the same table and the
// same words about it.
func TestSaveAndRestore(t *testing.T) {
	t.Parallel()
	their, our := theirs(t), ours(t)
	for _, name := range []string{"empty", "plain", "rich", "nat", "helper"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			source := newSandbox(t, their)
			scenes[name](t, source)
			saved := source.run(job{argv: []string{"conntrack", "-L", "-o", "save"}})
			for _, file := range []struct{ name, content string }{
				{"theirs", saved.stdout},
				{"ours", source.with(our).run(job{argv: []string{"conntrack", "-L", "-o", "save"}}).stdout},
			} {
				a, b := newSandbox(t, their), newSandbox(t, our)
				compareLoad(t, file.name, a, b, file.content)
				// With -I instead of -A the first entry stops it; with -A 1.4.7 and 1.4.9 differ in what they do to old ones.
				a, b = newSandbox(t, their), newSandbox(t, our)
				create := strings.ReplaceAll(file.content, "-A -t", "-I -t")
				compareLoad(t, file.name+" with -I", a, b, create)
				compareLoad(t, file.name+" with -I again", a, b, create)
			}
		})
	}
}

// lineRule takes out what ours adds to an error of the kernel: the line of the file at which it happened.
var lineRule = []rule{{regexp.MustCompile(`(?m)^(conntrack v.*Operation failed: (.*)\n)conntrack v.*: line \d+: .*\n`), "${1}"}}

// compareLoad loads the same file with their program in a and with ours in b.
func compareLoad(t *testing.T, what string, a, b *sandbox, content string) {
	t.Helper()
	a.write("saved", content)
	b.write("saved", content)
	argv := []string{"conntrack", "--load-file", "saved"}
	want, got := a.run(job{argv: argv}), b.run(job{argv: argv})
	want.stdout, got.stdout = unordered(want.stdout), unordered(got.stdout)
	compare(t, append(argv, what), want, got, versionRules, lineRule)
	compare(t, append(argv, what, "and the table afterwards"), result{stdout: a.table()}, result{stdout: b.with(a.tool).table()})
}

// TestLoadFile is about how files are read: words, quotes, comments, errors.
func TestLoadFile(t *testing.T) {
	t.Parallel()
	const entry = "-s 1.1.1.1 -d 2.2.2.2 -p udp --sport 10 --dport 20 -t 500"
	their, our := theirs(t), ours(t)
	for name, content := range map[string]string{
		"no lines":            "",
		"blank lines":         "\n\n  \t \n",
		"comments":            "# -F\n  # -F\n-I " + entry + " # a word, and more words\n",
		"no newline at end":   "-I " + entry,
		"blanks at end":       "-I " + entry + "\n   ",
		"blanks and tabs":     "\t-I \t  " + strings.ReplaceAll(entry, " ", "\t ") + "  \n",
		"program name":        "conntrack -I " + entry + "\n",
		"semicolon":           "-I " + entry + " ;\n",
		"quotes":              `-I -s "1.1.1.1" -d 2.2.2.2 "-p" udp --sport 1"0" --dport "20" -t 500` + "\n",
		"quoted blank":        `-I -s "1.1.1.1 x" -d 2.2.2.2 -p 200 -t 500` + "\n",
		"escaped quote":       `-I -s "1\.1\"" -d 2.2.2.2 -p 200 -t 500` + "\n",
		"empty word":          `-I -s "" -d 2.2.2.2 -p 200 -t 500` + "\n",
		"single quotes":       "-I -s '1.1.1.1' -d 2.2.2.2 -p 200 -t 500\n",
		"backslash":           `-I -s 1.1.1.\1 -d 2.2.2.2 -p 200 -t 500` + "\n",
		"unterminated quote":  "-I -s \"1.1.1.1\n-d 2.2.2.2 -p 200 -t 500\n",
		"parse error":         "-I " + entry + "\n-I -X\n",
		"illegal option":      "-I " + entry + "\n-D -z\n",
		"missing option":      "-I -s 1.1.1.1\n",
		"run-time error":      "-I " + entry + "\n-I " + entry + "\n-F\n",
		"list":                "-I " + entry + "\n-L\n",
		"get":                 "-G " + entry + "\n",
		"event":               "-E\n",
		"count":               "-C\n",
		"statistics":          "-S\n",
		"version":             "-V\n",
		"help":                "-h\n",
		"expect list":         "-L expect\n",
		"expect flush":        "-F expect\n",
		"expect count":        "-C expect\n",
		"expect event":        "-E expect\n",
		"no command":          "-s 1.1.1.1\n",
		"only a word":         "x\n",
		"flush":               "-I " + entry + "\n-F\n",
		"delete prints":       "-I " + entry + "\n-D -p udp\n",
		"delete nothing":      "-D -s 9.9.9.9\n",
		"delete as xml":       "-I " + entry + "\n-D -o xml\n",
		"update prints":       "-I " + entry + "\n-U -s 1.1.1.1 -m 5\n",
		"update nothing":      "-U -s 9.9.9.9 -m 5\n",
		"output sticks":       "-I " + entry + "\n-I -s 1.1.1.2 -d 2.2.2.2 -p 200 -t 500\n-D -p udp -o save\n-D -p 200\n",
		"many words":          "-F" + strings.Repeat(" x", 252) + "\n",
		"too many words":      "-F" + strings.Repeat(" x", 254) + "\n",
		"long word":           "-F " + strings.Repeat("x", 1022) + "\n",
		"too long word":       "-F " + strings.Repeat("x", 1024) + "\n",
		"long line":           "-F" + strings.Repeat(" "+strings.Repeat("x", 100), 90) + "\n",
		"nul byte":            "-F \x00 -X\n",
		"several entries":     plainTable,
		"every kind of entry": richTable,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, b := newSandbox(t, their), newSandbox(t, our)
			compareLoad(t, name, a, b, content)
			argv := []string{"conntrack", "-R", "-"}
			want, got := a.run(job{argv: argv, stdin: content}), b.run(job{argv: argv, stdin: content})
			compare(t, argv, want, got, versionRules, timeRules, identityRules, lineRule)
		})
	}
}
