package libc

import (
	"bufio"
	"io"
	"os"
	"strconv"
	"strings"
)

// Protocols are the names of /etc/protocols (protocols(5)): names and aliases, in the
// order of the file.
type Protocols []Protocol

// Protocol is one name. The numbers of some protocols do not fit into a packet's field.
type Protocol struct {
	Name   string
	Number int
	Alias  bool
}

// ReadProtocols reads a file of names. Lines that the C library would not understand are
// left out. What could be read is returned with an error, too.
func ReadProtocols(path string) (Protocols, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return parseProtocols(f)
}

func parseProtocols(r io.Reader) (Protocols, error) {
	var names Protocols
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		text, _, _ := strings.Cut(lines.Text(), "#")
		words := strings.Fields(text)
		if len(words) < 2 {
			continue
		}
		n, err := strconv.ParseUint(strings.TrimPrefix(words[1], "+"), 10, 31)
		if err != nil {
			continue
		}
		names = append(names, Protocol{Name: words[0], Number: int(n)})
		for _, alias := range words[2:] {
			names = append(names, Protocol{Name: alias, Number: int(n), Alias: true})
		}
	}
	return names, lines.Err()
}

// Number finds a protocol by its name or alias.
func (p Protocols) Number(name string) (int, bool) {
	for _, row := range p {
		if row.Name == name {
			return row.Number, true
		}
	}
	return 0, false
}

// Name finds the name of a protocol, "" if it has none.
func (p Protocols) Name(number int) string {
	for _, row := range p {
		if row.Number == number && !row.Alias {
			return row.Name
		}
	}
	return ""
}
