package measure

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

// Run runs a benchmark until it is done or interrupted, and returns the program's exit status: 2 if parse finds the command line wrong, 1 if
// the benchmark fails or, where parse says that it matters (check), if it has missed something, which is told on standard error in any case.
// The folder that the benchmark gets is its own, and removed afterwards.
func Run(name string, parse func() (check bool, err error), benchmark func(ctx context.Context, dir string) (missed []string, err error)) int {
	check, err := parse()
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	missed, err := inFolder(ctx, name, benchmark)
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		return 1
	}
	if len(missed) == 0 {
		return 0
	}
	fmt.Fprintf(os.Stderr, "%s: %d targets missed or problems:\n\t%s\n", name, len(missed), strings.Join(missed, "\n\t"))
	if check {
		return 1
	}
	return 0
}

func inFolder(ctx context.Context, name string, benchmark func(ctx context.Context, dir string) (missed []string, err error)) (missed []string, err error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("making network namespaces needs root (try sudo)")
	}
	dir, err := os.MkdirTemp("", "spoor-"+name+"-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	return benchmark(ctx, dir)
}
