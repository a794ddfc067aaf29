package conntrackcli

import (
	"bufio"
	"os"
	"strconv"
	"strings"
)

// protocolNames are the protocols of /etc/protocols (protocols(5)): names and
// aliases, in the order of the file.
type protocolNames []protocolName

type protocolName struct {
	name  string
	num   uint8
	alias bool
}

// readProtocols reads the file; one that cannot be read has no names.
func readProtocols(path string) protocolNames {
	names := protocolNames{}
	f, err := os.Open(path)
	if err != nil {
		return names
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		text, _, _ := strings.Cut(lines.Text(), "#")
		words := strings.Fields(text)
		if len(words) < 2 {
			continue
		}
		num, err := strconv.ParseUint(words[1], 10, 8)
		if err != nil {
			continue
		}
		names = append(names, protocolName{name: words[0], num: uint8(num)})
		for _, alias := range words[2:] {
			names = append(names, protocolName{name: alias, num: uint8(num), alias: true})
		}
	}
	return names
}

// number finds a protocol by its name or alias.
func (p protocolNames) number(name string) (uint8, bool) {
	for _, row := range p {
		if row.name == name {
			return row.num, true
		}
	}
	return 0, false
}

// name finds the name of a protocol, "" if it has none.
func (p protocolNames) name(num uint8) string {
	for _, row := range p {
		if row.num == num && !row.alias {
			return row.name
		}
	}
	return ""
}
