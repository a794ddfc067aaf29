package cthelper

import (
	"cmp"
	"slices"
)

// apply carries out patches, which must not overlap, and returns the payload that they make of the given one.
func apply(payload []byte, patches []Patch) []byte {
	slices.SortFunc(patches, func(a, b Patch) int { return cmp.Compare(a.At, b.At) })
	var out []byte
	at := 0
	for _, p := range patches {
		out = append(append(out, payload[at:p.At]...), p.Text...)
		at = p.At + p.Len
	}
	return append(out, payload[at:]...)
}
