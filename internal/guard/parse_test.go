package guard

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestDefaultRulesAreUnderstood(t *testing.T) {
	r, err := ParseRules(DefaultRules)
	if err != nil {
		t.Fatal(err)
	}
	for k := range numKinds {
		if r.Of[k] == nil {
			t.Errorf("%s is not looked for", k)
			continue
		}
		// What the file says and what applies without saying it are the same.
		for i, p := range kinds[k].params {
			if r.Of[k].Values[i] != p.usual {
				t.Errorf("%s %s=%v, usual is %v", k, p.name, r.Of[k].Values[i], p.usual)
			}
		}
	}
	if r.Memory != DefaultLimits || r.Brake != (Brake{30, time.Minute}) {
		t.Errorf("%+v", r)
	}
	if got := r.Of[PortScan].Then; len(got) != 1 || got[0].Do != Block || got[0].For != time.Hour {
		t.Errorf("%+v", got)
	}
}

func TestRulesArePrintedAsTheyAreRead(t *testing.T) {
	const text = `port-scan ports=7 then block 90m, delete, run /bin/echo "a b, c" %o, post https://h/x where tcp and not src 10.0.0.0/8 # why
upload bytes=1536M within=1d
source-rate rate=3/s rate=2/s
`
	if _, err := ParseRules(text); err == nil || !strings.Contains(err.Error(), "line 3, column 22: rate is given twice") {
		t.Errorf("%v", err)
	}
	r, err := ParseRules(strings.Replace(text, "rate=3/s ", "", 1))
	if err != nil {
		t.Fatal(err)
	}
	printed := r.String()
	for _, want := range []string{
		`port-scan ports=7 within=1m then block 90m, delete, run /bin/echo "a b, c" %o, post https://h/x where tcp and not src 10.0.0.0/8`,
		"upload bytes=1536M within=1d", "source-rate rate=2/s within=10s usual=0", "syn-flood off",
	} {
		if !strings.Contains(printed, want+"\n") {
			t.Errorf("%q is missing in\n%s", want, printed)
		}
	}
	again, err := ParseRules(printed)
	if err != nil || again.String() != printed {
		t.Errorf("%v\n%s\nwas\n%s", err, again, printed)
	}
}

func TestWrongRulesAreNamedWithTheirPlace(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"scan", `line 1, column 1: unknown word "scan"; expected allow,`},
		{"\n  port-scan prots=3", `line 2, column 13: port-scan has no "prots"; it has ports, within`},
		{"port-scan ports=2", "line 1, column 17: ports=2: must be from 3 to 512"},
		{"port-scan ports=x", "line 1, column 17: ports=x: expected a number"},
		{"port-scan within=5", "line 1, column 18: within=5: expected a time such as"},
		{"port-scan within=0s", "must be from 1s to 1d"},
		{"unreplied share=0.9", "line 1, column 17: share=0.9: expected a share"},
		{"unreplied share=101%", "must be from 1% to 100%"},
		{"source-rate rate=1e3/s", "expected a rate"},
		{"port-scan then", "line 1, column 15: unknown response \"\""},
		{"port-scan then block", "line 1, column 21: block wants a time"},
		{"port-scan then block 1h 2h", `line 1, column 25: unexpected "2h" after block`},
		{"port-scan then block 1h, block 2h", "line 1, column 26: block is given twice"},
		{"port-scan then run echo", "line 1, column 16: run wants the absolute path"},
		{"port-scan then post gopher://x", "line 1, column 21: post gopher://x: expected http"},
		{"port-scan where", "where wants a query"},
		{"port-scan where tcp and bogus", "line 1, column 25: "},
		{"port-scan ports=3 within=1m what", `line 1, column 29: unexpected "what"`},
		{"port-scan\nport-scan", "line 2, column 1: port-scan has been set in line 1"},
		{"allow 1.1.1.1 10.0.0.1/8", "line 1, column 15: 10.0.0.1/8 has bits set behind its mask; did you mean 10.0.0.0/8?"},
		{"allow home", `line 1, column 7: "home" is neither an address nor a network`},
		{"allow ::ffff:1.2.3.4", "write the IPv4 address itself"},
		{"inside 10.0.0.0/33", "neither"},
		{"limit 30", `line 1, column 7: unexpected "30"`},
		{"memory flows=1", "must be from 1024"},
		{`port-scan then run "/bin/x`, "line 1, column 20: a quotation mark without its other half"},
		{"port-scan \x01", "line 1, column 11: a control character"},
		{strings.Repeat("x", 5000), "a line of more than 4096 bytes"},
	} {
		_, err := ParseRules(c.text)
		var p Problems
		if !errors.As(err, &p) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.60q: %v, want %s", c.text, err, c.want)
		}
	}
	// All problems are told at once.
	if _, err := ParseRules("a\nport-scan\nb"); err == nil || strings.Count(err.Error(), "\n") != 1 {
		t.Errorf("%v", err)
	}
}

func FuzzRules(f *testing.F) {
	f.Add(DefaultRules)
	f.Add("port-scan ports=7 then block 90m, run /x \"a b\" where tcp or udp\nallow 1.2.3.4, 10.0.0.0/8\ninside\n")
	f.Add("upload bytes=1T\nunreplied share=12.34% flows=20\nlimit actions=0 within=1d")
	f.Fuzz(func(t *testing.T, text string) {
		r, err := ParseRules(text)
		if err != nil {
			return
		}
		printed := r.String()
		again, err := ParseRules(printed)
		if err != nil {
			t.Fatalf("%q is printed as\n%s\nwhich is refused: %v", text, printed, err)
		}
		if again.String() != printed {
			t.Fatalf("%q is printed as\n%s\nand then as\n%s", text, printed, again)
		}
	})
}
