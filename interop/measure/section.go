package measure

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// Section is the part of a document between two marker lines, which a benchmark writes; all else in
// the document is written by people.
type Section struct{ Begin, End string }

// preamble begins a document that does not exist yet.
const preamble = "# Performance\n\n"

// Publish writes the section into the file, or to stdout if that is "".
func (s Section) Publish(file, section string) error {
	if file == "" {
		_, err := os.Stdout.WriteString(section)
		return err
	}
	old, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		old = []byte(preamble + s.Begin + s.End)
	} else if err != nil {
		return err
	}
	text, err := s.Replace(old, section)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return os.WriteFile(file, text, 0o644)
}

// Replace puts section between the markers of text.
func (s Section) Replace(text []byte, section string) ([]byte, error) {
	before, rest, ok := bytes.Cut(text, []byte(s.Begin))
	_, after, ok2 := bytes.Cut(rest, []byte(s.End))
	if !ok || !ok2 {
		return nil, fmt.Errorf("no section between the lines %q and %q", strings.TrimSpace(s.Begin), strings.TrimSpace(s.End))
	}
	return []byte(string(before) + s.Begin + section + s.End + string(after)), nil
}
