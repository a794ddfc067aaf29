// Package doctor explains the health of connection tracking on a machine.
//
// [Host.Look] collects [Facts] about a network namespace: from /proc and /sys, over netlink, twice with some time between so
// that rates are known. [Examine] judges them by a table of checks. A check is a pure function in a file of its own, which says what
// was found, what it means, and the commands that mend it. [Host.Apply] carries out those that are settings of the kernel.
package doctor
