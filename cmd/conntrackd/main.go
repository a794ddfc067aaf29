// Conntrackd is a drop-in replacement for the conntrackd of conntrack-tools: it keeps the connection tracking
// tables of several firewalls in step.
package main

import (
	"os"

	"github.com/spoor-project/spoor/internal/compat/conntrackdcli"
)

func main() { os.Exit(conntrackdcli.Main(os.Args, os.Stdout, os.Stderr)) }
