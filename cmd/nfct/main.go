// Nfct manages timeout policies and user-space helpers of the kernel's connection
// tracking. It takes the place of the program of that name in conntrack-tools.
package main

import (
	"os"

	"github.com/spoor-project/spoor/internal/compat/nfctcli"
)

func main() {
	os.Exit(nfctcli.Main(os.Args, nfctcli.Host()))
}
