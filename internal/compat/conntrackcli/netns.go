package conntrackcli

import (
	"os"
	"strings"
)

// namespacePath is the file of the network namespace that --netns names: a path, the
// number of a process, or a name as ip-netns(8) gives them.
func namespacePath(word string) (string, error) {
	path := "/run/netns/" + word
	switch {
	case strings.Contains(word, "/"):
		path = word
	case word != "" && strings.Trim(word, "0123456789") == "":
		if _, err := os.Stat(path); err != nil { // a name may consist of digits
			path = "/proc/" + word + "/ns/net"
		}
	case word == "" || word == "." || word == "..":
		return "", usagef("`%s' is not a network namespace", word)
	}
	if _, err := os.Stat(path); err != nil {
		return "", failf("network namespace `%s' not found: see `ip netns list'", word)
	}
	return path, nil
}
