//go:build linux

package interop_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/spoor-project/spoor/internal/nstest"
)

// The C program writes through stdio. What that means can be seen where both streams meet: standard error is written at once,
// standard output in blocks of 4096 bytes as they fill, and the rest at exit. Scripts with 2>&1 know the result.

// listed are the sizes of the groups of entries in the table of these tests. Lines are about 120 bytes long, so that some groups
// stay within a block and some do not.
var listed = []int{1, 5, 30, 36, 40, 80, 400}

// group is the address range of the entries of listed[i].
func group(i int) string { return fmt.Sprintf("10.%d.0.0/16", 100+i) }

// stdioScene fills the table with groups of entries whose lines have the same length, now and while a test runs.
func stdioScene(s *sandbox) {
	var lines strings.Builder
	for i, n := range listed {
		for j := range n {
			fmt.Fprintf(&lines, "-I -s 10.%d.1.1 -d 2.2.2.2 -p udp --sport %d --dport 20 -t 500000\n", 100+i, 10000+j)
		}
	}
	s.load(lines.String())
}

func TestPipeOrder(t *testing.T) {
	t.Parallel()
	a := newSandbox(t, theirs(t))
	stdioScene(a)
	b := a.with(ours(t))
	lines := commandLines("-L {-o xml|-o save|-o extended,id}\n-L\n-L -s 9.9.9.9\n-L -s 9.9.9.9 -o xml\n-V\n-C\n-S\n-F expect\n-L -X\n-L expect")
	for i := range listed {
		lines = append(lines, commandLines("-L -s "+group(i)+" {-o xml|-o save|-o id|-f ipv4}")...)
	}
	for _, argv := range lines {
		t.Run(label(argv), func(t *testing.T) {
			comparePipes(t, argv, a.merged(t, job{argv: argv}), b.merged(t, job{argv: argv}), "", versionRules, timeRules)
		})
	}
}

// TestPipeOrderOfDeletions is the same for a command which shows what it changes, on two equal tables, in whatever order.
func TestPipeOrderOfDeletions(t *testing.T) {
	t.Parallel()
	their, our := theirs(t), ours(t)
	stop := "-D -s %s\n-I -s 10.106.1.1 -d 2.2.2.2 -p udp --sport 10000 --dport 20 -t 5\n" // which exists
	for i := range listed[:len(listed)-1] {
		for _, j := range []job{
			{argv: []string{"conntrack", "-D", "-s", group(i)}},
			{argv: []string{"conntrack", "-D", "-s", group(i), "-o", "save"}},
			{argv: []string{"conntrack", "-R", "-"}, stdin: fmt.Sprintf(stop, group(i))},
		} {
			t.Run(label(append(j.argv, group(i))), func(t *testing.T) {
				t.Parallel()
				a, b := newSandbox(t, their), newSandbox(t, their)
				stdioScene(a)
				stdioScene(b)
				want, got := a.merged(t, j), b.with(our).merged(t, j)
				comparePipes(t, j.argv, want, got, "sorted", versionRules, timeRules, identityRules)
			})
		}
	}
}

// merged runs a job with one pipe for both streams, and returns what came out of it.
func (s *sandbox) merged(t *testing.T, j job) result {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	read := make(chan []byte)
	go func() {
		all, _ := io.ReadAll(r)
		read <- all
	}()
	exit := s.runTo(t, j, w, w)
	w.Close()
	return result{stdout: string(<-read), exit: exit}
}

// runTo runs a job with the given files as standard output and error.
func (s *sandbox) runTo(t *testing.T, j job, stdout, stderr io.Writer) int {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), jobLimit)
	defer cancel()
	cmd := s.command(ctx, j.argv...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(j.stdin), stdout, stderr
	var exit *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &exit) {
		t.Fatalf("%q: %v", j.argv, err)
	}
	return nstest.ExitCode(cmd.ProcessState)
}

// message is what the programs write to standard error.
var message = regexp.MustCompile(`conntrack v1\.4\.\d \(conntrack-tools\): .*\n(?:Try .*\n)?`)

// comparePipes compares first where in the stream the messages are, and then, without them, the rest. A message may be in the
// middle of a line, so that nothing can be evened out before it is gone.
func comparePipes(t *testing.T, argv []string, want, got result, order string, rules ...[]rule) {
	t.Helper()
	where := func(r result) string { return fmt.Sprint(message.FindAllStringIndex(r.stdout, -1)) }
	if where(want) != where(got) {
		t.Errorf("%q: messages at %s of %d bytes, want %s of %d", argv, where(got), len(got.stdout), where(want), len(want.stdout))
	}
	split := func(r result) result {
		r.stderr = strings.Join(message.FindAllString(r.stdout, -1), "")
		r.stdout = message.ReplaceAllString(r.stdout, "")
		if r = normalise(r, rules...); order == "sorted" {
			r.stdout = sortLines(r.stdout)
		}
		return r
	}
	compare(t, argv, split(want), split(got))
}

// TestBrokenOutput is about outputs which cannot be written: a closed pipe kills, a full disk does not matter.
func TestBrokenOutput(t *testing.T) {
	t.Parallel()
	a := newSandbox(t, theirs(t))
	stdioScene(a)
	b := a.with(ours(t))
	for _, argv := range commandLines("-L -s {" + group(0) + "|" + group(2) + "|" + group(6) + "|9.9.9.9}\n-L\n-L -o xml\n-V\n-C\n-S\n-L -X\n-h") {
		t.Run("closed pipe "+label(argv), func(t *testing.T) {
			compare(t, argv, a.broken(t, argv, closedPipe), b.broken(t, argv, closedPipe), versionRules)
		})
		t.Run("full device "+label(argv), func(t *testing.T) {
			compare(t, argv, a.broken(t, argv, fullDevice), b.broken(t, argv, fullDevice), versionRules)
		})
	}
}

func (s *sandbox) broken(t *testing.T, argv []string, open func() (*os.File, error)) result {
	t.Helper()
	out, err := open()
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	var stderr bytes.Buffer
	exit := s.runTo(t, job{argv: argv}, out, &stderr)
	return result{stderr: stderr.String(), exit: exit}
}

func fullDevice() (*os.File, error) { return os.OpenFile("/dev/full", os.O_WRONLY, 0) }

func closedPipe() (*os.File, error) {
	r, w, err := os.Pipe()
	if err == nil {
		r.Close()
	}
	return w, err
}
