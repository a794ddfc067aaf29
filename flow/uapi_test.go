package flow

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

const headers = "/usr/include/linux/netfilter"

// TestConstantsAreTheKernels compares with the installed headers. A header may lack
// constants that came later, or went again; but what it has must agree.
func TestConstantsAreTheKernels(t *testing.T) {
	tests := []struct {
		header string
		must   bool // all of them are in headers of any age
		want   map[string]uint64
	}{
		{"nf_conntrack_tcp.h", true, map[string]uint64{
			"TCP_CONNTRACK_NONE": uint64(TCPNone), "TCP_CONNTRACK_SYN_SENT": uint64(TCPSynSent),
			"TCP_CONNTRACK_SYN_RECV": uint64(TCPSynRecv), "TCP_CONNTRACK_ESTABLISHED": uint64(TCPEstablished),
			"TCP_CONNTRACK_FIN_WAIT": uint64(TCPFinWait), "TCP_CONNTRACK_CLOSE_WAIT": uint64(TCPCloseWait),
			"TCP_CONNTRACK_LAST_ACK": uint64(TCPLastAck), "TCP_CONNTRACK_TIME_WAIT": uint64(TCPTimeWait),
			"TCP_CONNTRACK_CLOSE": uint64(TCPClose), "TCP_CONNTRACK_LISTEN": uint64(TCPSynSent2),
			"TCP_CONNTRACK_MAX":           uint64(len(tcpStates)),
			"IP_CT_TCP_FLAG_WINDOW_SCALE": uint64(TCPWindowScale), "IP_CT_TCP_FLAG_SACK_PERM": uint64(TCPSackPerm),
			"IP_CT_TCP_FLAG_CLOSE_INIT": uint64(TCPCloseInit), "IP_CT_TCP_FLAG_BE_LIBERAL": uint64(TCPBeLiberal),
			"IP_CT_TCP_FLAG_DATA_UNACKNOWLEDGED": uint64(TCPDataUnacked), "IP_CT_TCP_FLAG_MAXACK_SET": uint64(TCPMaxAckSet),
		}},
		{"nf_conntrack_tcp.h", false, map[string]uint64{
			"IP_CT_EXP_CHALLENGE_ACK": uint64(TCPChallengeAck), "IP_CT_TCP_SIMULTANEOUS_OPEN": uint64(TCPSimultOpen),
		}},
		{"nf_conntrack_sctp.h", true, map[string]uint64{
			"SCTP_CONNTRACK_NONE": uint64(SCTPNone), "SCTP_CONNTRACK_CLOSED": uint64(SCTPClosed),
			"SCTP_CONNTRACK_COOKIE_WAIT": uint64(SCTPCookieWait), "SCTP_CONNTRACK_COOKIE_ECHOED": uint64(SCTPCookieEchoed),
			"SCTP_CONNTRACK_ESTABLISHED": uint64(SCTPEstablished), "SCTP_CONNTRACK_SHUTDOWN_SENT": uint64(SCTPShutdownSent),
			"SCTP_CONNTRACK_SHUTDOWN_RECD": uint64(SCTPShutdownRecd), "SCTP_CONNTRACK_SHUTDOWN_ACK_SENT": uint64(SCTPShutdownAckSent),
		}},
		{"nf_conntrack_sctp.h", false, map[string]uint64{
			"SCTP_CONNTRACK_HEARTBEAT_SENT": uint64(SCTPHeartbeatSent), "SCTP_CONNTRACK_HEARTBEAT_ACKED": uint64(SCTPHeartbeatAcked),
		}},
		{"nf_conntrack_common.h", true, map[string]uint64{
			"IPS_EXPECTED": uint64(Expected), "IPS_SEEN_REPLY": uint64(SeenReply), "IPS_ASSURED": uint64(Assured),
			"IPS_CONFIRMED": uint64(Confirmed), "IPS_SRC_NAT": uint64(SrcNAT), "IPS_DST_NAT": uint64(DstNAT),
			"IPS_SEQ_ADJUST": uint64(SeqAdjust), "IPS_SRC_NAT_DONE": uint64(SrcNATDone), "IPS_DST_NAT_DONE": uint64(DstNATDone),
			"IPS_DYING": uint64(Dying), "IPS_FIXED_TIMEOUT": uint64(FixedTimeout), "IPS_TEMPLATE": uint64(Template),
			"NF_CT_EXPECT_PERMANENT": uint64(ExpectPermanent), "NF_CT_EXPECT_INACTIVE": uint64(ExpectInactive),
			"NF_CT_EXPECT_USERSPACE": uint64(ExpectUserspace),
		}},
		{"nf_conntrack_common.h", false, map[string]uint64{
			"IPS_UNTRACKED": uint64(NATClash), "IPS_NAT_CLASH": uint64(NATClash), "IPS_HELPER": uint64(HelperSet),
			"IPS_OFFLOAD": uint64(Offload), "IPS_HW_OFFLOAD": uint64(HWOffload),
		}},
		{"nf_conntrack_dccp.h", false, map[string]uint64{ // never installed by most systems
			"CT_DCCP_NONE": uint64(DCCPNone), "CT_DCCP_OPEN": uint64(DCCPOpen), "CT_DCCP_INVALID": uint64(DCCPInvalid),
			"CT_DCCP_ROLE_CLIENT": uint64(DCCPClient), "CT_DCCP_ROLE_SERVER": uint64(DCCPServer),
		}},
	}
	if _, err := os.Stat(headers); errors.Is(err, fs.ErrNotExist) {
		t.Skipf("%s is not installed (linux-libc-dev)", headers)
	}
	for _, tt := range tests {
		got, err := readHeader(filepath.Join(headers, tt.header))
		if err != nil && (tt.must || !errors.Is(err, fs.ErrNotExist)) {
			t.Error(err)
		}
		for name, want := range tt.want {
			if n, ok := got[name]; ok && n != want || !ok && tt.must {
				t.Errorf("%s: %s = %d (found: %v), want %d", tt.header, name, n, ok, want)
			}
		}
	}
}

var (
	commentText = regexp.MustCompile(`(?s)/\*.*?\*/`)
	macroLine   = regexp.MustCompile(`^#define\s+(\w+)\s+(0x[0-9a-fA-F]+|\d+)\s*$`)
	enumName    = regexp.MustCompile(`^(\w+)(?:\s*=\s*(.+))?$`)
	shiftValue  = regexp.MustCompile(`^\(1 << (\w+)\)$`)
)

// readHeader returns the numbers that a kernel header defines: macros, and members of
// enumerations that count up, are a number, or are a shift by another member.
func readHeader(file string) (map[string]uint64, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	found := map[string]uint64{}
	inEnum, next := false, uint64(0)
	for line := range strings.Lines(commentText.ReplaceAllString(string(text), "")) {
		line = strings.TrimSpace(line)
		if m := macroLine.FindStringSubmatch(line); m != nil {
			found[m[1]], _ = strconv.ParseUint(m[2], 0, 64)
			continue
		}
		switch {
		case strings.HasPrefix(line, "enum ") && strings.HasSuffix(line, "{"):
			inEnum, next = true, 0
			continue
		case strings.HasPrefix(line, "}"):
			inEnum = false
		}
		m := enumName.FindStringSubmatch(strings.TrimSuffix(line, ","))
		if !inEnum || m == nil {
			continue
		}
		if value := m[2]; value != "" {
			if shift := shiftValue.FindStringSubmatch(value); shift != nil {
				next = 1 << found[shift[1]]
			} else if n, err := strconv.ParseUint(value, 0, 64); err == nil {
				next = n
			} else {
				continue // a sum or mask of others; none of ours
			}
		}
		found[m[1]] = next
		next++
	}
	return found, nil
}
