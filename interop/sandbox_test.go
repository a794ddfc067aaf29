//go:build linux

package interop_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spoor-project/spoor/internal/nstest"
)

// jobLimit ends a program which hangs.
const jobLimit = time.Minute

// TestMain lets more tests run at once than there are processors: they mostly wait, for the kernel and for timed events.
func TestMain(m *testing.M) {
	flag.Parse()
	chosen := false
	flag.Visit(func(f *flag.Flag) { chosen = chosen || f.Name == "test.parallel" })
	if !chosen {
		flag.Set("test.parallel", fmt.Sprint(4*runtime.GOMAXPROCS(0)))
	}
	os.Exit(nstest.Main(m))
}

// tool is one implementation of the command under test.
type tool struct {
	bin     string // directory in which the command has its own name
	foreign bool   // not built from this module
}

// ours is the program under test.
func ours(t testing.TB) tool {
	t.Helper()
	nstest.NeedRoot(t)
	nstest.NeedTool(t, "env", "ip", "nft", "setpriv", "sh", "socat", "sysctl")
	if path := os.Getenv("SPOOR_INTEROP_CONNTRACK"); path != "" {
		return tool{bin: binDir(t, path, "conntrack"), foreign: true}
	}
	return tool{bin: filepath.Dir(nstest.BuildCommand(t, "./cmd/conntrack"))}
}

// theirs is the distribution's program.
func theirs(t testing.TB) tool {
	t.Helper()
	nstest.NeedTool(t, "conntrack")
	path, err := nstest.LookTool("conntrack")
	if err != nil {
		t.Fatal(err)
	}
	return tool{bin: binDir(t, path, "conntrack"), foreign: true}
}

// binDir is a directory where the program at path is called name.
func binDir(t testing.TB, path, name string) string {
	t.Helper()
	path, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	if filepath.Base(path) == name {
		return filepath.Dir(path)
	}
	dir, err := os.MkdirTemp("", "spoor-bin-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := errors.Join(os.Chmod(dir, 0o755), os.Symlink(path, filepath.Join(dir, name))); err != nil {
		t.Fatal(err)
	}
	return dir
}

// sandbox is where commands run: a namespace, a working directory, and a PATH on which one implementation comes first.
type sandbox struct {
	t    testing.TB
	ns   *nstest.NS
	dir  string
	tool tool
	etc  *etcDir // nil for the host's /etc
}

// newSandbox makes a sandbox in a namespace of its own.
func newSandbox(t testing.TB, tl tool) *sandbox {
	t.Helper()
	return &sandbox{t: t, ns: nstest.New(t), dir: t.TempDir(), tool: tl}
}

// with is the same sandbox for another implementation.
func (s *sandbox) with(tl tool) *sandbox {
	other := *s
	other.tool = tl
	return &other
}

func (s *sandbox) write(name, content string) {
	s.t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, name), []byte(content), 0o644); err != nil {
		s.t.Fatal(err)
	}
}

// job is one command to run.
type job struct {
	argv   []string
	stdin  string
	during [][]string // if not nil, argv is ended by a signal after these have run
	signal string     // "INT" if empty
}

// result is what can be observed of a command.
type result struct {
	stdout, stderr string
	exit           int
}

func (r result) String() string {
	return fmt.Sprintf("exit %d\n--- stdout\n%s--- stderr\n%s", r.exit, r.stdout, r.stderr)
}

// environ has what the recorded runs had: UTC, the C locale, and permuting option scanners.
func (s *sandbox) environ() []string {
	env := []string{"TZ=UTC", "LC_ALL=C", "PATH=" + s.tool.bin + ":/usr/local/sbin:/usr/sbin:/sbin:" + os.Getenv("PATH")}
	for _, kv := range os.Environ() {
		switch name, _, _ := strings.Cut(kv, "="); name {
		case "TZ", "LC_ALL", "PATH", "POSIXLY_CORRECT":
		default:
			env = append(env, kv)
		}
	}
	return env
}

// command prepares argv: argv[0] is passed as it is, and found as a shell in the sandbox would find it.
func (s *sandbox) command(ctx context.Context, argv ...string) *nstest.Cmd {
	cmd := s.ns.Command(ctx, argv[0], argv[1:]...)
	if path := filepath.Join(s.tool.bin, argv[0]); isExecutable(path) {
		cmd.Path, cmd.Err = path, nil
	}
	cmd.Args[0] = argv[0]
	cmd.Env, cmd.Dir = s.environ(), s.dir
	// A background process which keeps the pipes open must not hold up the test.
	cmd.WaitDelay = 10 * time.Second
	return cmd
}

func isExecutable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}

// start starts the command, with the sandbox's own /etc if it has one.
func (s *sandbox) start(cmd *nstest.Cmd) error {
	if s.etc == nil {
		return cmd.Start()
	}
	return s.etc.start(cmd)
}

// process is a job which has been started.
type process struct {
	s              *sandbox
	job            job
	cmd            *nstest.Cmd
	cancel         context.CancelFunc
	stdout, stderr bytes.Buffer
	ended          chan error
}

// begin starts a job.
func (s *sandbox) begin(j job) *process {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), jobLimit)
	p := &process{s: s, job: j, cmd: s.command(ctx, j.argv...), cancel: cancel, ended: make(chan error, 1)}
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = strings.NewReader(j.stdin), &p.stdout, &p.stderr
	if err := s.start(p.cmd); err != nil {
		cancel()
		s.t.Fatalf("%q: %v", j.argv, err)
	}
	go func() { p.ended <- p.cmd.Wait() }()
	return p
}

// follows waits until the process sees events, see [waitFollowing].
func (p *process) follows() {
	waitFollowing(p.cmd.Process.Pid, func() bool { return len(p.ended) > 0 })
}

// idles waits until the process has shown all events, see [waitIdle].
func (p *process) idles() {
	waitIdle(p.cmd.Process.Pid, func() bool { return len(p.ended) > 0 })
}

// end waits for the process's end.
func (p *process) end() result {
	p.s.t.Helper()
	defer p.cancel()
	err := <-p.ended
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		p.s.t.Fatalf("%q: %v", p.job.argv, err)
	}
	r := result{p.stdout.String(), p.stderr.String(), nstest.ExitCode(p.cmd.ProcessState)}
	if r.exit == 128+int(syscall.SIGKILL) {
		p.s.t.Errorf("%q: killed, most likely for still running after %v\n%v", p.job.argv, jobLimit, r)
	}
	return r
}

// run runs one job to its end.
func (s *sandbox) run(j job) result {
	s.t.Helper()
	p := s.begin(j)
	if j.during != nil {
		p.follows()
		for i, argv := range j.during {
			if i > 0 {
				time.Sleep(250 * time.Millisecond)
			}
			s.run(job{argv: argv})
		}
		if len(j.during) > 0 {
			time.Sleep(300 * time.Millisecond)
			p.idles()
		}
		p.interrupt()
	}
	return p.end()
}

// interrupt asks the process to stop; one which has ended already does not mind.
func (p *process) interrupt() {
	sig := syscall.SIGINT
	if p.job.signal == "TERM" {
		sig = syscall.SIGTERM
	}
	p.cmd.Process.Signal(sig)
}

// setup runs a preparing command, whose success does not matter to the recorded cases.
func (s *sandbox) setup(argv ...string) {
	s.t.Helper()
	s.run(job{argv: argv})
}

// must runs a preparing command which has to succeed.
func (s *sandbox) must(argv ...string) string {
	s.t.Helper()
	r := s.run(job{argv: argv})
	if r.exit != 0 {
		s.t.Fatalf("%q: %v", argv, r)
	}
	return r.stdout
}
