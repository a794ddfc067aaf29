//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// sample is one run of a program, from before its process exists to after its end.
type sample struct {
	Wall         time.Duration
	User, System time.Duration // of its processors
	RSS          int64         // largest resident size, bytes
	Exit         int           // 128 and the signal's number if one ended it
	Err          string        // it could not be started, or did not end

	stderr string
}

// launchLimit ends a program that hangs.
const launchLimit = 10 * time.Minute

// resultFD is where the launcher writes its sample.
const resultFD = 3

// runLauncher runs one program and writes its sample. It is a process of its own
// because the kernel counts the memory of whoever starts a program as the program's,
// until it is smaller (mm_struct.hiwater_rss survives exec): so that must be somebody
// small.
func runLauncher(argv []string) int {
	syscall.CloseOnExec(resultFD)
	s := run(argv)
	out := os.NewFile(resultFD, "result")
	if err := json.NewEncoder(out).Encode(s); err != nil {
		fmt.Fprintln(os.Stderr, "launch:", err)
		return 1
	}
	return 0
}

func run(argv []string) (s sample) {
	attr := &syscall.ProcAttr{
		Env:   os.Environ(),
		Files: []uintptr{0, 1, 2},
		Sys:   &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL},
	}
	start := time.Now()
	pid, err := syscall.ForkExec(argv[0], argv, attr)
	if err != nil {
		s.Err = err.Error()
		return s
	}
	var status syscall.WaitStatus
	var usage syscall.Rusage
	for {
		if _, err = syscall.Wait4(pid, &status, 0, &usage); err != syscall.EINTR {
			break
		}
	}
	s.Wall = time.Since(start)
	if err != nil {
		s.Err = err.Error()
	}
	s.User, s.System = time.Duration(usage.Utime.Nano()), time.Duration(usage.Stime.Nano())
	s.RSS = usage.Maxrss << 10
	s.Exit = exitStatus(status)
	return s
}

// exitStatus is the status as a shell shows it.
func exitStatus(status syscall.WaitStatus) int {
	if status.Signaled() {
		return 128 + int(status.Signal())
	}
	return status.ExitStatus()
}

// launch runs a program with its output to /dev/null. The error is about the launcher
// or ctx; a program that fails is a sample.
func launch(ctx context.Context, self string, argv []string) (*sample, error) {
	within, cancel := context.WithTimeout(ctx, launchLimit)
	defer cancel()
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	// Killing the launcher kills the program.
	cmd := exec.CommandContext(within, self, append([]string{partLaunch}, argv...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.WaitDelay = 5 * time.Second
	cmd.ExtraFiles = []*os.File{w}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	err = cmd.Start()
	w.Close()
	if err != nil {
		return nil, err
	}
	var s sample
	decoding := json.NewDecoder(r).Decode(&s)
	err = cmd.Wait()
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case within.Err() != nil:
		return &sample{Err: fmt.Sprintf("still running after %v", launchLimit)}, nil
	case err != nil || decoding != nil:
		return nil, fmt.Errorf("launch %s: %w", strings.Join(argv, " "), errors.Join(err, decoding))
	}
	s.stderr = stderr.String()
	return &s, nil
}
