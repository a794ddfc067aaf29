// Spoor lists, counts, watches, changes and explains the kernel's connection tracking table.
package main

import (
	"os"

	"github.com/spoor-project/spoor/internal/cli"
)

func main() {
	os.Exit(cli.Main(os.Args[1:], cli.Host()))
}
