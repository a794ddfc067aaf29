// Package session finds the connections that somebody is logged in by, so that nobody locks himself out.
package session
