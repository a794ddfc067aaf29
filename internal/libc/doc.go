// Package libc does what programs get from the C library and others rely on: its texts
// for errors, and its reading of numbers and of /etc/protocols.
package libc
