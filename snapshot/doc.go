// Package snapshot reads the kernel's connection tracking table at memory speed.
//
// A netlink dump has the kernel build a message for every entry, which costs one to
// three microseconds each. This package instead runs a small eBPF program that walks the hash
// table and copies the entries as they are into memory shared with the process;
// the copies are decoded here, on all processors at once. A million entries take
// a fraction of a second.
//
// # What it needs
//
// Linux 6.2 on a little-endian 64-bit machine, with BTF (CONFIG_DEBUG_INFO_BTF) and
// /proc/net/nf_conntrack (CONFIG_NF_CONNTRACK_PROCFS) or, in a kernel that has been made without
// it, its variables in /proc/kallsyms (CONFIG_KALLSYMS_ALL); CAP_BPF, CAP_PERFMON and the right to
// open that file. Where something is missing [Open] fails with [ErrUnavailable], and package
// conntrack does the same over netlink.
//
// # Why it can be trusted
//
// The program takes no lock and no reference and writes nothing but its own maps. It runs inside
// an RCU read section, in which memory of entries stays memory of entries, though one
// may be freed and serve as another (SLAB_TYPESAFE_BY_RCU). Therefore:
//
//   - An entry counts only if it is confirmed, neither dying nor expired, and if its tuples,
//     namespace, status and a reference count above zero are found again after everything
//     else has been copied. So the copy is of one life of the entry.
//   - A chain counts only if it ends with the mark of its own bucket; otherwise
//     somebody has moved an entry under the walker's feet, and the bucket is read again.
//   - The same entry twice in one chain is dropped.
//   - The table may be resized meanwhile. Its size is always a multiple of 512, and a bucket is
//     the high part of hash*size, so that each 512th of the table holds the
//     same entries whatever the size. After each part the kernel is asked for the table's
//     address; if that has changed the part is read again in the new one.
//
// A fault while reading kernel memory makes the read fail; it cannot harm the kernel.
//
// An entry that existed throughout is there, once. One that came or went meanwhile may or may
// not be. Counters and timeouts are of the moment when the entry was copied.
package snapshot
