package render

import (
	"slices"
	"strconv"
)

// CPUStats are the counters that one processor keeps, in the order they are printed.
type CPUStats struct {
	CPU    int
	Names  []string // ["found", "invalid", ...]
	Values []uint64 // one for each name
}

// AppendCount appends how many entries there are. Text, Save and XML are the bare
// number.
func (p *Printer) AppendCount(b []byte, n int) []byte {
	b = p.begin(b)
	switch p.style.Format {
	case JSON, JSONL:
		b = append(strconv.AppendInt(append(b, `{"count":`...), int64(n), 10), '}')
	default:
		b = strconv.AppendInt(b, int64(n), 10)
	}
	return p.end(b)
}

// AppendStats appends the counters of one processor. Save and XML are written as Text.
// The columns of CSV are the names of the first record; s.Names is kept for that, and
// must not change any more.
func (p *Printer) AppendStats(b []byte, s *CPUStats) []byte {
	if p.records == 0 {
		p.names = s.Names
	}
	values := s.Values[:min(len(s.Values), len(s.Names))]
	b = p.begin(b)
	switch p.style.Format {
	case JSON, JSONL:
		b = strconv.AppendInt(append(b, `{"cpu":`...), int64(s.CPU), 10)
		for i, n := range values {
			b = append(AppendJSONString(append(b, ','), s.Names[i]), ':')
			b = AppendDecimal(b, n)
		}
		b = append(b, '}')
	case CSV:
		b = strconv.AppendInt(b, int64(s.CPU), 10)
		for _, name := range p.names {
			b = append(b, ',')
			if i := slices.Index(s.Names, name); i >= 0 && i < len(values) {
				b = AppendDecimal(b, values[i])
			}
		}
	default:
		// Text ends with a blank, which scripts may have come to expect.
		b = append(b, "cpu="...)
		number := len(b)
		b = strconv.AppendInt(b, int64(s.CPU), 10)
		b = append(b, "    "[min(len(b)-number, 4):]...)
		b = append(b, '\t')
		for i, n := range values {
			b = append(appendUint(append(b, s.Names[i]...), "=", n), ' ')
		}
	}
	return p.end(b)
}
