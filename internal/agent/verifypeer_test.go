package agent

import (
	"bytes"
	"strings"
	"testing"

	"github.com/spoor-project/spoor/internal/config"
)

// TestVerifyPeerTellsWhatIsWrongWithTheList: what fails is no difference.
func TestVerifyPeerTellsWhatIsWrongWithTheList(t *testing.T) {
	cfg := &config.Config{Sync: &config.Sync{}}
	for _, c := range []struct{ command, want string }{
		{"exec /no/such/program", "/no/such/program"},
		{"echo no such host >&2; exit 3", "exit status 3\nno such host"},
		{"echo tcp 6 src=1.1.1.1; yes | head -c 1000000", "has not written what conntrack -L -o jsonl does: line 1, column 1: "},
	} {
		var out bytes.Buffer
		same, err := VerifyPeer(t.Context(), cfg, []string{"sh", "-c", c.command}, &out)
		if same || err == nil || !strings.Contains(err.Error(), c.want) || out.Len() > 0 {
			t.Errorf("%s: %v %v, want %q", c.command, same, err, c.want)
		}
	}
	cfg.Sync.DisableExternalCache = true
	if _, err := VerifyPeer(t.Context(), cfg, []string{"true"}, &bytes.Buffer{}); err == nil || !strings.Contains(err.Error(), "no external cache") {
		t.Errorf("%v", err)
	}
}
