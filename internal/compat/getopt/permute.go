package getopt

import "slices"

// seek moves Index to the next element that holds options. At the end of the
// scan it reports false and leaves Index at the first word.
func (s *Scanner) seek() bool {
	if s.ordered {
		switch {
		case s.Index == len(s.Args) || isWord(s.Args[s.Index]):
			return false
		case s.Args[s.Index] == "--":
			s.Index++
			return false
		}
		return true
	}

	s.settle()
	for s.Index < len(s.Args) && isWord(s.Args[s.Index]) {
		s.Index++
	}
	s.hi = s.Index
	if s.Index < len(s.Args) && s.Args[s.Index] != "--" {
		return true
	}
	if s.Index < len(s.Args) {
		s.Index++ // "--" counts as scanned and moves before the words
		s.settle()
	}
	s.Index = s.lo
	return false
}

// settle moves the skipped words behind everything scanned since.
//
// This happens only when the next element is looked for, not when an option is
// complete: until then the caller may still take words by moving Index, and
// Option.Word shows the vector as it was before.
func (s *Scanner) settle() {
	s.hi = min(s.hi, s.Index) // in case the caller moved backwards
	s.lo = min(s.lo, s.Index)
	if s.lo < s.hi && s.hi < s.Index {
		slices.Reverse(s.Args[s.lo:s.hi])
		slices.Reverse(s.Args[s.hi:s.Index])
		slices.Reverse(s.Args[s.lo:s.Index])
	}
	s.lo += s.Index - s.hi
	s.hi = s.Index
}

// isWord reports whether elem holds no option.
func isWord(elem string) bool {
	return len(elem) < 2 || elem[0] != '-'
}
