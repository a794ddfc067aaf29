// Package nstest gives each test network namespaces of its own.
//
// # Model
//
// [New] makes one anonymous namespace, [Pair] two joined by a virtual cable, and [NewRouted] a client, a router and a
// server in a row. [NS.Do] runs Go code inside, [NS.Command] and [NS.Run] run programs inside, and [NS.Path] names the
// namespace for programs which want to open it. [ServeEcho], [Exchange] and [Send] make traffic which ends by itself.
//
// # Guarantees
//
// The host's own namespace, and so its connection tracking table, is never changed. Namespaces have no name in the file
// system: they go away with the test, its processes and its sockets, also when the test binary is killed. Every function
// may be used by parallel tests.
//
// # Audited skips
//
// [NeedRoot], [NeedTool] and [Unavailable] skip a test which cannot run here. A skip which nobody notices is a test which
// nobody has, so the environment variable SPOOR_TEST_REQUIRE, a comma separated list of features ("root", "tools", the name
// of a tool, ... or "all"), turns the named skips into failures, and [Main] reports how many there were. Only what the kernel
// was built without is no failure: [KernelLacks] asks it.
//
// # Kernel requirements
//
// Linux with network namespaces, veth for the cables, and CAP_SYS_ADMIN; tests without it are skipped.
package nstest
