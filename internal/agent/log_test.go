package agent

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spoor-project/spoor/flow"
)

// Whoever reads the log wants to know what the kernel has refused: in one line, and as the peer has told of it, which
// is without the reply.
func TestRefusedEntriesAreLoggedInALine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	d := &Daemon{log: &Log{}}
	if err := d.log.Reopen(path); err != nil {
		t.Fatal(err)
	}
	f, x := cachedFlow(flow.TCP, 4000, 80, inState(flow.TCPEstablished)), dataChannel()
	d.logFlow(&f)
	d.logExpect(&x)
	if !f.Has.Has(flow.HasReply) {
		t.Error("the flow was changed")
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"tcp      6 100 ESTABLISHED src=10.10.1.2 dst=10.10.2.2 sport=4000 dport=80 use=2",
		"300 proto=6 src=10.10.1.2 dst=10.10.2.2 sport=0 dport=40001 mask-src=255.255.255.255 mask-dst=255.255.255.255 " +
			"sport=0 dport=65535 master-src=10.10.1.2 master-dst=10.10.2.2 sport=35001 dport=21 class=0 helper=ftp",
	}
	lines := strings.SplitAfter(string(text), "\n")
	if len(lines) != len(want)+1 {
		t.Fatalf("%d lines:\n%s", len(lines)-1, text)
	}
	for i, want := range want {
		when, entry, _ := strings.Cut(lines[i], "\t")
		if _, err := time.Parse(time.ANSIC, when); err != nil || entry != want+"\n" {
			t.Errorf("%q, want %q", lines[i], want)
		}
	}
}
