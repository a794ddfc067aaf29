// Package libc has texts of the C library that scripts look for in messages.
package libc
