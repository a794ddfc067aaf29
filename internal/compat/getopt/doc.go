// Package getopt scans an argument vector the way GNU getopt_long does, so
// that the compatible commands accept, ignore and refuse exactly what the
// C programs accept, ignore and refuse.
//
// # Model
//
// A [Scanner] owns a private copy of the vector and an [Scanner.Index] into
// it, the optind of C. [Scanner.Next] returns one [Option] at a time. A caller
// may look at Args[Index] after an option and take it by incrementing Index,
// and may append to [Scanner.Long] at any moment; both work as in C.
//
// # Guarantees
//
//   - Words that are not options are skipped, and end up behind the options in
//     the order they were given. With POSIXLY_CORRECT, or a short string that
//     starts with '+', the first word ends the scan instead. "--" always ends
//     it; a lone "-" is a word.
//   - Letters cluster. A required argument is the rest of its cluster or, if
//     that is empty, the next element whatever it looks like. An optional
//     argument is only ever attached.
//   - A long name may be cut to a prefix. An exact name wins over longer ones.
//     A prefix of several names stands for the first of them if all have the
//     same argument kind and the same value; otherwise it is unknown.
//   - [Option.Word] is the element before Index, which is what the C programs
//     print in their complaints. A bad letter that is not the last of its
//     cluster therefore blames the element before the cluster, possibly the
//     program's own name.
//   - Args is a permutation of the input at all times, nothing panics, and
//     Next allocates nothing.
//
// Not supported, because no command needs it: a short string that starts with
// '-', the "W;" notation, and getopt_long_only.
//
// The tests compare all of this with the C library of the machine they run on.
package getopt
