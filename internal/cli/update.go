package cli

import (
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/spoor-project/spoor/conntrack"
	"github.com/spoor-project/spoor/flow"
)

var updateCommand = command{
	name: "update", words: "QUERY", summary: "change the mark, timeout, labels or status of flows",
	about: "Changes the flows that the query selects. Without --yes it shows which and asks.",
	options: append([]option{
		{"mark", 'm', "VALUE[/MASK]", "the mark, or those of its bits that the mask names"},
		{"timeout", 't', "TIME", "let them end in 90, 30s, 5m, 1h if no packet comes"},
		{"label", 'l', "LABELS", "add labels, by number or name"},
		{"unlabel", 0, "LABELS", "take labels away"},
		{"assured", 0, "", "never evict them when the table is full"},
		{"fixed-timeout", 0, "", "do not begin the timeout again with each packet"},
		{"limit", 'n', "N", "no more than N flows"},
	}, cautious...),
	run: update,
}

func update(c *call) error {
	ch, err := c.wanted()
	if err != nil {
		return err
	}
	return change(c, "update", "updated", func(c *call, s *source, victims []victim) (int, int, error) {
		return inBatches(c.ctx, s, len(victims), func(b *conntrack.Batch, i int) {
			f := victims[i].flow()
			e := conntrack.Entry{Orig: f.Orig, Zone: f.Zone, Change: ch}
			if ch.Status != nil && victims[i].expected {
				e.Status = new(*ch.Status | flow.Expected) // the kernel refuses to take it away
			}
			b.Update(&e)
		})
	})
}

// wanted is what the options say.
func (c *call) wanted() (ch conntrack.Change, err error) {
	given := false
	if text := c.value("mark", ""); c.has("mark") {
		given = true
		value, mask, masked := strings.Cut(text, "/")
		v, err := strconv.ParseUint(value, 0, 32)
		if err != nil {
			return ch, usagef("--mark %s: expected a number, or one and a mask: 0x10/0xff", text)
		}
		ch.Mark = new(uint32(v))
		if masked {
			m, err := strconv.ParseUint(mask, 0, 32)
			if err != nil {
				return ch, usagef("--mark %s: %q is not a mask", text, mask)
			}
			ch.MarkMask = new(uint32(m))
		}
	}
	if text := c.value("timeout", ""); c.has("timeout") {
		given = true
		seconds, err := strconv.ParseUint(text, 10, 31)
		d := time.Duration(seconds) * time.Second
		if err != nil {
			if d, err = time.ParseDuration(text); err != nil || d < 0 || d > math.MaxInt32*time.Second {
				return ch, usagef("--timeout %s: expected a time such as 90, 30s, 5m or 1h", text)
			}
		}
		ch.Timeout = new(d.Truncate(time.Second))
	}
	if c.has("label") || c.has("unlabel") {
		given = true
		set, mask := flow.Labels{}, flow.Labels{}
		names := readLabels("label")
		for _, o := range []string{"label", "unlabel"} {
			for _, list := range c.given[o] {
				for word := range strings.SplitSeq(list, ",") {
					bit, err := strconv.Atoi(word)
					if names != nil {
						if n, ok := names.Bit(word); ok {
							bit, err = n, nil
						}
					}
					if err != nil || bit < 0 || bit >= flow.LabelBits {
						return ch, usagef("--%s %s: there is no label %q", o, list, word)
					}
					if mask.Set(bit); o == "label" {
						set.Set(bit)
					}
				}
			}
		}
		ch.Labels, ch.LabelsMask = &set, &mask
	}
	status := flow.Status(0)
	if c.has("assured") {
		status |= flow.Assured | flow.SeenReply
	}
	if c.has("fixed-timeout") {
		status |= flow.FixedTimeout
	}
	if status != 0 {
		ch.Status = &status
	} else if !given {
		return ch, usagef("update what? Give --mark, --timeout, --label, --unlabel, --assured or --fixed-timeout")
	}
	return ch, nil
}
