// Conntrack lists, changes and follows the kernel's connection tracking table. It
// takes the place of the program of that name in conntrack-tools.
package main

import (
	"os"

	"github.com/spoor-project/spoor/internal/compat/conntrackcli"
)

func main() {
	os.Exit(conntrackcli.Main(os.Args, conntrackcli.Host()))
}
