package conntrackcli

import "github.com/spoor-project/spoor/internal/libc"

// protocolNames are the protocols of /etc/protocols. Those whose number does not fit into
// a packet have no meaning here.
type protocolNames struct{ libc.Protocols }

// readProtocols reads the file; one that cannot be read has no names.
func readProtocols(path string) *protocolNames {
	all, _ := libc.ReadProtocols(path)
	return &protocolNames{all}
}

// number finds a protocol by its name or alias.
func (p *protocolNames) number(name string) (uint8, bool) {
	for _, row := range p.Protocols {
		if row.Name == name && row.Number <= 255 {
			return uint8(row.Number), true
		}
	}
	return 0, false
}

// name finds the name of a protocol, "" if it has none.
func (p *protocolNames) name(num uint8) string { return p.Name(int(num)) }
