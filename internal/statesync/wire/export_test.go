package wire

// Rows returns the names in both tables, by the place in the order of sending, and their numbers.
func Rows() (flowNames, expectNames []string, flowNumbers, expectNumbers []uint8) {
	for _, a := range flows.attrs {
		flowNames, flowNumbers = append(flowNames, a.name), append(flowNumbers, a.number)
	}
	for _, a := range expects.attrs {
		expectNames, expectNumbers = append(expectNames, a.name), append(expectNumbers, a.number)
	}
	return
}

// Names returns how many names d remembers, and how many it may.
func (d *Decoder) Names() (have, most int) { return len(d.names), maxNames }
