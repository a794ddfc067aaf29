package nfctcli

import (
	"bytes"
	"maps"
	"slices"
	"strconv"

	"github.com/spoor-project/spoor/conntrack"
	"github.com/spoor-project/spoor/flow"
	"github.com/spoor-project/spoor/internal/render"
)

// appendArray appends an array as the other programs do, an element a line.
func appendArray(b []byte, elements [][]byte) []byte {
	if len(elements) == 0 {
		return append(b, "[]\n"...)
	}
	b = append(b, "[\n"...)
	b = append(b, bytes.Join(elements, []byte(",\n"))...)
	return append(b, "\n]\n"...)
}

// appendPolicyJSON has all states that the kernel tells, those that the text leaves out
// too.
func appendPolicyJSON(b []byte, p *conntrack.TimeoutPolicy, named bool) []byte {
	b = append(b, '{')
	if named {
		b = append(render.AppendJSONString(append(b, `"name":`...), p.Name), ',')
	}
	b = appendProtocolsJSON(b, p.Family, p.Proto)
	if p.Timeouts != nil {
		b = append(b, `,"timeouts":{`...)
		for i, s := range slices.Sorted(maps.Keys(p.Timeouts)) {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(render.AppendJSONString(b, s.String()), ':')
			b = strconv.AppendUint(b, seconds(p.Timeouts[s]), 10)
		}
		b = append(b, '}')
	}
	if named {
		b = strconv.AppendUint(append(b, `,"use":`...), uint64(p.Use), 10)
	}
	return append(b, '}')
}

func appendHelperJSON(b []byte, h *conntrack.UserHelper) []byte {
	b = render.AppendJSONString(append(b, `{"name":`...), h.Name)
	b = appendProtocolsJSON(append(b, ','), h.Family, h.Proto)
	b = strconv.AppendUint(append(b, `,"queue":`...), uint64(h.Queue), 10)
	b = append(append(append(b, `,"status":"`...), statusWord(h)...), `","private_len":`...)
	b = strconv.AppendUint(b, uint64(h.PrivateLen), 10)
	b = append(b, `,"classes":[`...)
	for i, class := range h.Classes {
		if i > 0 {
			b = append(b, ',')
		}
		b = render.AppendJSONString(append(b, `{"name":`...), class.Name)
		b = strconv.AppendUint(append(b, `,"max_expects":`...), uint64(class.MaxExpects), 10)
		b = strconv.AppendUint(append(b, `,"timeout":`...), seconds(class.Timeout), 10)
		b = append(b, '}')
	}
	return append(b, "]}"...)
}

func appendProtocolsJSON(b []byte, family flow.Family, p flow.Proto) []byte {
	b = append(append(append(b, `"family":"`...), family.String()...), '"')
	switch {
	case p == conntrack.Generic:
		b = append(b, `,"proto":"generic"`...)
	case p.Known():
		b = append(append(append(b, `,"proto":"`...), p.String()...), '"')
	}
	return strconv.AppendUint(append(b, `,"protonum":`...), uint64(p), 10)
}
