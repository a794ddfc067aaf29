// Package cli is the command line of spoor: one verb a file, a row each in the table of commands.
//
// Exit codes are 0 for success, 1 for a failure and 2 for a command line that makes no sense. What is asked for goes to
// standard output, everything else to standard error. Doctor has those of Nagios instead if it is asked to.
package cli
