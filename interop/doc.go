// Package interop compares this project's programs with the C programs they replace. It holds tests only.
//
// # Model
//
// TestGolden replays recorded runs of conntrack 1.4.9 from testdata: argument vector in, exact standard output, standard error
// and exit status out. TestDifferential and its neighbours run the distribution's conntrack next to ours, on the same
// connection tracking table or on two equal ones, and want the same bytes. TestOptionMatrix does so for every command with
// every option. Where 1.4.9 has a bug which is deliberately mended, testdata/conntrack-mended.jsonl says so, with the reason.
//
// What conntrackd does is compared in the files that begin with its name; TestDemo... run interop/demo, a whole failover.
//
// # Running
//
//	go test ./interop                         # as root; skips what is missing
//	SPOOR_TEST_REQUIRE=all go test ./interop  # fails instead of skipping
//
// Every test works in namespaces of its own and leaves the host's table alone.
//
// SPOOR_INTEROP_CONNTRACK names a program to test in place of ./cmd/conntrack. With the distribution's own program, which
// shows whether the tests are right, version numbers are taken as 1.4.9 and the cases listed in testdata/conntrack-1.4.7.txt are
// skipped.
//
// # Kernel requirements
//
// Linux 6.x with conntrack, NAT, helpers, labels, zones, accounting and timestamps; the programs conntrack (1.4.7 or later),
// nft, ip, sysctl, socat and setpriv.
package interop
