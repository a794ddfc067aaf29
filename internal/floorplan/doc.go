// Package floorplan holds the project to its floor plan, ARCHITECTURE.md: which
// package may import which, and through which package a third-party module comes in.
// It has tests only.
package floorplan
