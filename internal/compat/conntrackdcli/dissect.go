package conntrackdcli

import (
	"encoding/hex"
	"fmt"
	"os"
	"strings"

	"github.com/spoor-project/spoor/internal/statesync/wire"
)

// dissect prints what datagrams say, each given as hexadecimal digits or as a file of them.
func (p *program) dissect(args []string) error {
	if len(args) == 0 {
		return p.fail("--dissect wants a datagram in hexadecimal digits, or a file of them")
	}
	for _, arg := range args {
		text := arg
		if b, err := os.ReadFile(arg); err == nil {
			text = string(b)
		}
		datagram, err := hex.DecodeString(strings.Join(strings.Fields(text), ""))
		if err != nil {
			return p.fail("--dissect %s: neither a file nor hexadecimal digits: %v", arg, err)
		}
		fmt.Fprint(p.stdout, wire.Dissect(datagram))
	}
	return nil
}
