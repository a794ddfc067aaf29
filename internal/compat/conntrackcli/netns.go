package conntrackcli

import (
	"errors"

	"github.com/spoor-project/spoor/internal/table"
)

// namespacePath is the file of the network namespace that --netns names.
func namespacePath(word string) (string, error) {
	path, err := table.NamespacePath(word)
	switch {
	case errors.Is(err, table.ErrNoNamespace):
		return "", usagef("`%s' is not a network namespace", word)
	case err != nil:
		return "", failf("network namespace `%s' not found: see `ip netns list'", word)
	}
	return path, nil
}
