// Package release holds the version of this suite, which its programs tell.
package release

// Version follows semantic versioning.
const Version = "0.1.0"
