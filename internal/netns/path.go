package netns

import (
	"errors"
	"io/fs"
	"os"
	"strings"
)

// ErrName is the error of [Path] for a word that can be none.
var ErrName = errors.New("not a network namespace")

// Path is the file of a network namespace that a user names: by a path, the number of a process, or a name as
// ip-netns(8) gives them. The error is [fs.ErrNotExist] if there is none.
func Path(word string) (string, error) {
	path := "/run/netns/" + word
	switch {
	case strings.Contains(word, "/"):
		path = word
	case word != "" && strings.Trim(word, "0123456789") == "":
		if _, err := os.Stat(path); err != nil { // a name may consist of digits
			path = "/proc/" + word + "/ns/net"
		}
	case word == "" || word == "." || word == "..":
		return "", ErrName
	}
	if _, err := os.Stat(path); err != nil {
		return "", fs.ErrNotExist
	}
	return path, nil
}
