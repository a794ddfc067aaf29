package metrics

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/spoor-project/spoor/internal/tally"
)

// Top asks for the N values of a field that most flows have.
type Top struct {
	By tally.Field
	N  int // from 1 to MaxTop
}

// MaxTop is how many values of a field can be exported: each is a series of its own, and they come and go.
const MaxTop = 100

// ParseTop reads a field and a number: "src=20".
func ParseTop(text string) (Top, error) {
	name, number, found := strings.Cut(text, "=")
	by, ok := tally.FieldNamed(name)
	if !ok {
		return Top{}, fmt.Errorf("there is no field %q: choose from %s", name, strings.Join(fieldNames(), ","))
	}
	n, err := strconv.ParseUint(number, 10, 16)
	if !found || err != nil || n < 1 || n > MaxTop {
		return Top{}, fmt.Errorf("expected %s= and a number from 1 to %d", name, MaxTop)
	}
	return Top{by, int(n)}, nil
}

// String is what [ParseTop] reads.
func (t Top) String() string { return t.By.String() + "=" + strconv.Itoa(t.N) }

func fieldNames() (names []string) {
	for f := tally.Field(0); ; f++ {
		if same, ok := tally.FieldNamed(f.String()); !ok || same != f {
			return names
		}
		names = append(names, f.String())
	}
}
