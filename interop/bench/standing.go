//go:build linux

package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"regexp"
	"syscall"
	"time"

	"github.com/spoor-project/spoor/interop/measure"
)

// How long the programs that stay are watched.
const (
	topTime     = 30 * time.Second
	manyScrapes = 100
	serveReady  = time.Minute
)

// standing is a program that stays until it is told to end.
type standing struct {
	cmd  *exec.Cmd
	done chan struct{}
}

func stand(ctx context.Context, out, errs io.Writer, argv ...string) (*standing, error) {
	s := &standing{cmd: exec.CommandContext(ctx, argv[0], argv[1:]...), done: make(chan struct{})}
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	s.cmd.Stdout, s.cmd.Stderr = out, errs
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		s.cmd.Wait()
		close(s.done)
	}()
	return s, nil
}

// end tells the program to end and returns what it needed.
func (s *standing) end(wall time.Duration) (figure, error) {
	s.cmd.Process.Signal(syscall.SIGINT)
	select {
	case <-s.done:
	case <-time.After(endLimit):
		s.cmd.Process.Kill()
		<-s.done
		return figure{}, errors.New("it did not end when it was told to")
	}
	if !s.cmd.ProcessState.Success() {
		return figure{}, errors.New(s.cmd.ProcessState.String())
	}
	usage := s.cmd.ProcessState.SysUsage().(*syscall.Rusage)
	return figure{Who: ours, Runs: 1, Wall: wall, Fastest: wall, Slowest: wall,
		User: s.cmd.ProcessState.UserTime(), System: s.cmd.ProcessState.SystemTime(), RSS: usage.Maxrss << 10}, nil
}

// tops has the table shown live for a while.
func (a *arena) tops(ctx context.Context) error {
	r := row{What: "spoor top --json", Entries: measure.Grouped(a.plan.Entries)}
	progress("%s (%s), %v", r.What, r.Entries, topTime)
	var out bytes.Buffer
	begun := time.Now()
	s, err := stand(ctx, &out, nil, a.plan.Front, "top", "--json")
	if err != nil {
		return err
	}
	if err := measure.Pause(ctx, topTime); err != nil {
		return err
	}
	f, err := s.end(time.Since(begun))
	if err != nil {
		r.Figures = []figure{{Who: ours, Text: "fails"}}
		r.Problems = []measure.Problem{{Who: ours, Text: "1 of 1 runs: " + err.Error()}}
	} else {
		share := 100 * (f.User + f.System).Seconds() / f.Wall.Seconds()
		samples := bytes.Count(out.Bytes(), []byte("\n"))
		f.Text = fmt.Sprintf("%.0f%% of a processor, %d samples in %.0f s", share, samples, f.Wall.Seconds())
		r.Figures = []figure{f}
		r.promise("< 25% of a processor, a sample each second", fmt.Sprintf("%.0f%%, %d", share, samples), share < 25 && samples >= int(topTime/time.Second)*9/10)
		r.promiseRSS(250e6)
	}
	a.results.Rows = append(a.results.Rows, r)
	return nil
}

var listensAt = regexp.MustCompile(`msg=listening address=(\S+)`)

// scrapes asks the exporter for its figures, as often as it takes to tell what a scrape costs with this table.
func (a *arena) scrapes(ctx context.Context) error {
	u, err := a.client.Count(ctx)
	if err != nil {
		return err
	}
	r := row{What: "scrape of spoor serve", Entries: measure.Grouped(int(u.Entries)), Group: withoutTargets}
	progress("%s (%s)", r.What, r.Entries)
	if out, err := exec.CommandContext(ctx, "ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
		return fmt.Errorf("ip link set lo up: %w\n%s", err, out)
	}
	said, errs := io.Pipe()
	s, err := stand(ctx, nil, errs, a.plan.Front, "serve", "--listen", "127.0.0.1:0")
	if err != nil {
		return err
	}
	go func() {
		<-s.done
		errs.Close()
	}()
	address := make(chan string, 1)
	go func() {
		for lines := bufio.NewScanner(said); lines.Scan(); {
			if m := listensAt.FindStringSubmatch(lines.Text()); m != nil {
				address <- m[1]
			}
		}
	}()
	var at string
	select {
	case at = <-address:
	case <-s.done:
		return errors.New("spoor serve ended before it listened")
	case <-time.After(serveReady):
		return errors.New("spoor serve does not listen")
	}
	get := func(page string) error {
		resp, err := http.Get("http://" + at + page)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("%s: %s", page, resp.Status)
		}
		_, err = io.Copy(io.Discard, resp.Body)
		return err
	}
	if err := measure.Await(ctx, serveReady, s.done, func() bool { return get("/healthz") == nil }); err != nil {
		return fmt.Errorf("wait for spoor serve: %w", err)
	}
	var samples []*sample
	for range manyScrapes {
		begun := time.Now()
		if err := get("/metrics"); err != nil {
			return err
		}
		samples = append(samples, &sample{Wall: time.Since(begun)})
	}
	ended, err := s.end(0)
	if err != nil {
		return fmt.Errorf("spoor serve: %w", err)
	}
	f := summarise(ours, samples)
	f.RSS = ended.RSS
	r.Figures = []figure{f}
	a.results.Rows = append(a.results.Rows, r)
	return nil
}
