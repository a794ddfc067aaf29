package config

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// helperScope is what a Helper section is read into. What is said of a queue or a policy is kept until a Type ends, which
// gets it all. So it also works outside of the Type, and a Type inside of another takes from it.
type helperScope struct {
	c        *Config
	depth    int // of Types
	next     Helper
	policies []policy
	instance []token // names of c.Helpers
}

type policy struct {
	name   token
	max    uint32
	expire time.Duration
	given  bool // anything
}

var helperBlock = block[helperScope]{name: "Helper", scope: "Helper", each: (*parser).outside,
	rows: append([]row[helperScope]{{word: "Setup", field: func(h *helperScope) any { return &h.c.HelperSetup }}}, helperRows()...)}

// helperRows is a function because the block of a Type is made of the same rows as the one around it.
func helperRows() []row[helperScope] {
	return []row[helperScope]{
		{word: "Type", read: readType, in: []within{&typeWords}, show: func(w *printer, h *helperScope) {
			for i := range h.c.Helpers {
				showHelper(w, &h.c.Helpers[i])
			}
		}},
		{word: "QueueNum", field: func(h *helperScope) any { return &h.next.QueueNum }},
		{word: "QueueLen", field: func(h *helperScope) any { return &h.next.QueueLen }},
		{word: "Policy", in: []within{&policyBlock}, read: readPolicy},
	}
}

// typeWords tells the vocabulary where else the words are valid.
var typeWords = block[helperScope]{name: "Type", rows: []row[helperScope]{{word: "Type"}, {word: "QueueNum"}, {word: "QueueLen"}, {word: "Policy"}}}

var policyBlock = block[policy]{name: "Policy", each: func(_ *parser, pol *policy, _ token) { pol.given = true }, rows: []row[policy]{
	{word: "ExpectMax", field: func(pol *policy) any { return &pol.max }},
	{word: "ExpectTimeout", field: func(pol *policy) any { return &pol.expire }},
}}

func (p *parser) outside(h *helperScope, key token) {
	if h.depth == 0 && key.text != "Setup" {
		p.advise(key, fmt.Sprintf("%q belongs in the block of a Type; here it counts for the next one", key.text))
	}
}

func readPolicy(p *parser, h *helperScope, key, _ token) {
	p.outside(h, key)
	var pol policy
	t := p.peek()
	if !t.is(name) {
		p.syntax(*t, fmt.Sprintf(`"Policy" needs a name, found %s`, t.describe()))
		if t.kind == opening {
			p.skipBlock()
		}
		return
	}
	pol.name = p.next()
	if !open(p, key, &policyBlock, &pol) {
		return
	}
	switch {
	case !pol.given:
		p.fail(key, "Helper policy configuration empty, fix your configuration file, please",
			"write ExpectMax and ExpectTimeout in the block, or remove the Policy")
	case len(pol.name.text) > maxPolicy:
		p.fail(pol.name, "Helper Policy is longer than 16 characters", "the name of a policy has at most 16 characters")
	default:
		h.policies = append(h.policies, pol)
	}
}

func readType(p *parser, h *helperScope, key, _ token) {
	var args [3]token
	for i, what := range []string{"the name of a helper", "inet or inet6", "tcp or udp"} {
		t := p.peek()
		if !t.is(name) {
			p.syntax(*t, fmt.Sprintf(`"Type" needs %s here, found %s`, what, t.describe()))
			if t.kind == opening {
				p.skipBlock()
			}
			return
		}
		args[i] = p.next()
	}
	h.depth++
	closed := open(p, key, &block[helperScope]{name: "Type", rows: helperRows(), each: (*parser).outside}, h)
	h.depth--
	if closed {
		p.instance(h, args[0], args[1], args[2])
	}
}

// builtin are the helpers there are, with their policies.
var builtin = []struct {
	name     string
	tcp, udp bool
	max      uint32
	expire   time.Duration
}{
	{"amanda", false, true, 4, 180 * time.Second},
	{"dhcpv6", false, true, 1, 300 * time.Second},
	{"ftp", true, false, 1, 300 * time.Second},
	{"mdns", false, true, 8, 30 * time.Second},
	{"rpc", true, true, 1, 300 * time.Second},
	{"sane", true, false, 1, 300 * time.Second},
	{"slp", false, true, 8, 16 * time.Second},
	{"ssdp", true, true, 8, 300 * time.Second},
	{"tftp", false, true, 1, 300 * time.Second},
	{"tns", true, false, 1, 300 * time.Second},
}

// instance makes a helper of what a Type said.
func (p *parser) instance(h *helperScope, helper, family, transport token) {
	made := h.next
	policies := h.policies
	h.next, h.policies = Helper{}, nil
	made.Name, made.Inet6 = helper.text, family.text == "inet6"
	switch transport.text {
	case "tcp":
		made.Proto = 6
	case "udp":
		made.Proto = 17
	}
	if family.text != "inet" && !made.Inet6 {
		p.fail(family, "unknown layer 3 protocol", "the family of a helper is inet or inet6")
		return
	}
	if made.Proto == 0 {
		p.fail(transport, "unknown layer 4 protocol", "the transport of a helper is tcp or udp")
		return
	}
	known := false
	for _, b := range builtin {
		if b.name == made.Name && (b.tcp && made.Proto == 6 || b.udp && made.Proto == 17) {
			known = true
			made.ExpectMax, made.ExpectTimeout = b.max, b.expire
		}
	}
	if !known {
		p.fail(helper, fmt.Sprintf("Unknown `%s' helper", made.Name), unknownHelper(made.Name, transport.text))
		return
	}
	for _, pol := range slices.Backward(policies) {
		if pol.name.text != made.Name {
			p.fail(pol.name, fmt.Sprintf("Unknown policy `%s' in helper configuration", pol.name.text),
				fmt.Sprintf("the helper has one policy, called %q", made.Name))
			return
		}
	}
	if n := len(policies); n > 0 {
		if p.policies == nil {
			p.policies = make(map[string]policy)
		}
		p.policies[made.Name] = policies[n-1]
	}
	h.c.Helpers = append(h.c.Helpers, made)
	h.instance = append(h.instance, helper)
}

func unknownHelper(name, transport string) string {
	var all, names []string
	for _, b := range builtin {
		names = append(names, b.name)
		if b.tcp {
			all = append(all, b.name+" tcp")
		}
		if b.udp {
			all = append(all, b.name+" udp")
		}
	}
	advice := fmt.Sprintf("there is no helper %s for %s, only %s", name, transport, strings.Join(all, ", "))
	if near := nearest(name, names); near != "" && near != name {
		advice += fmt.Sprintf("; did you mean %q?", near)
	}
	return advice
}

func showHelper(w *printer, h *Helper) {
	family, transport := "inet", "tcp"
	if h.Inet6 {
		family = "inet6"
	}
	if h.Proto == 17 {
		transport = "udp"
	}
	w.block("Type "+h.Name+" "+family+" "+transport, func() {
		w.value("QueueNum", &h.QueueNum)
		w.value("QueueLen", &h.QueueLen)
		w.block("Policy "+h.Name, func() {
			w.line("ExpectMax", strconv.FormatUint(uint64(h.ExpectMax), 10))
			w.line("ExpectTimeout", strconv.FormatInt(int64(h.ExpectTimeout/time.Second), 10))
		})
	})
}
