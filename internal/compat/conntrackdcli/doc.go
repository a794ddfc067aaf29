// Package conntrackdcli is the command line of conntrackd 1.4.9: the daemon's, and that of the client which
// asks a running one. Arguments, texts and exit codes are the original's; what begins with two hyphens
// is ours.
package conntrackdcli
