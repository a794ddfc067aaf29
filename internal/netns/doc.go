// Package netns finds network namespaces by what users call them, and does something inside of one.
package netns
