package conntrackcli

import (
	"errors"

	"github.com/spoor-project/spoor/internal/netns"
)

// namespacePath is the file of the network namespace that --netns names.
func namespacePath(word string) (string, error) {
	path, err := netns.Path(word)
	switch {
	case errors.Is(err, netns.ErrName):
		return "", usagef("`%s' is not a network namespace", word)
	case err != nil:
		return "", failf("network namespace `%s' not found: see `ip netns list'", word)
	}
	return path, nil
}
