// Package table reads the kernel's table the fastest way there is: small tables over netlink, large ones by a snapshot, and
// over netlink again where a snapshot is not possible. Who reads need not know which; what comes, and in which order, is the same.
package table
