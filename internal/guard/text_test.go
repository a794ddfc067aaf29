package guard

import (
	"encoding/json"
	"math"
	"net/netip"
	"testing"
	"time"

	"github.com/spoor-project/spoor/flow"
)

// portScan is a finding with all that one can have.
func portScan() Finding {
	return Finding{
		ID: 7, Kind: PortScan, Rule: "port-scan ports=20 within=1m", Offender: intruder,
		Subject: Subject{Source: intruder, Destination: netip.MustParseAddr("10.0.0.1"), Proto: flow.TCP, Port: 22, Zone: 3},
		Since:   noon.Add(3 * time.Second), Time: noon.Add(5*time.Second + 1500*time.Microsecond),
		Measured: 24, Limit: 20, Unit: "ports", Confidence: 0.95833, Evidence: []Evidence{{"refused", 23}, {"opened", 1}},
	}
}

func TestAFindingIsALine(t *testing.T) {
	source, service := Subject{Source: intruder}, Subject{Destination: netip.MustParseAddr("10.0.0.1"), Proto: flow.TCP, Port: 80}
	for want, f := range map[string]Finding{
		"port-scan begins: 192.0.2.7 tried 24 ports of 10.0.0.1 in vain since 12:00:03 (limit 20 within 1m, confidence 96%)": {
			Kind: PortScan, Subject: Subject{Source: intruder, Destination: netip.MustParseAddr("10.0.0.1")}, Rule: "port-scan ports=20 within=1m",
			Since: noon.Add(3 * time.Second), Time: noon, Measured: 24, Limit: 20, Unit: "ports", Confidence: 0.96},
		"syn-flood continues: 1500 half-open connections to 10.0.0.1 tcp 80 (limit 1000 within 10s, confidence 100%)": {
			Kind: SYNFlood, Phase: Continues, Subject: service, Rule: "syn-flood half-open=1000 within=10s", Measured: 1500, Limit: 1000, Unit: "half-open connections", Confidence: 1},
		"source-rate begins: 192.0.2.7 opened 812 flows/s (limit 500 flows/s, confidence 50%)":                     {Kind: SourceRate, Subject: source, Measured: 812.4, Limit: 500, Unit: "flows/s", Confidence: .5},
		"destination-rate begins: 2.5 flows/s were opened to 10.0.0.1 tcp 80 (limit 2 flows/s, confidence 0%)":     {Kind: DestinationRate, Subject: service, Measured: 2.5, Limit: 2, Unit: "flows/s"},
		"host-sweep begins: 192.0.2.7 tried tcp 22 on 40 hosts in vain (limit 30, confidence 0%)":                  {Kind: HostSweep, Subject: Subject{Source: intruder, Proto: flow.TCP, Port: 22}, Measured: 40, Limit: 30, Unit: "hosts"},
		"slow-scan begins: 192.0.2.7 tried 70 targets in vain since 2026-02-28 23:00:00 (limit 60, confidence 0%)": {Kind: SlowScan, Subject: source, Since: noon.Add(-13 * time.Hour), Time: noon, Measured: 70, Limit: 60, Unit: "targets"},
		"unreplied begins: 97% of what 192.0.2.7 opened was not answered (limit 95%, confidence 0%)":               {Kind: Unreplied, Subject: source, Measured: 97, Limit: 95, Unit: "%"},
		"hoarding begins: 192.0.2.7 keeps 6000 idle flows (limit 5000, confidence 0%)":                             {Kind: Hoarding, Subject: source, Measured: 6000, Limit: 5000, Unit: "flows"},
		"table-pressure ends: the table is 92% full (limit 90%, confidence 0%)":                                    {Kind: TablePressure, Phase: Ends, Measured: 92, Limit: 90, Unit: "%"},
		"port-exhaustion begins: 86% of the ports of 10.0.0.1 are in use (limit 85%, confidence 0%)":               {Kind: PortExhaustion, Subject: service, Measured: 86, Limit: 85, Unit: "%"},
		"upload begins: 192.0.2.7 sent 11.2G to the outside (limit 10G, confidence 0%)":                            {Kind: Upload, Subject: source, Measured: 11.2 * (1 << 30), Limit: 10 << 30, Unit: "bytes"},
		"unknown begins: 1 things (limit 0, confidence 0%)":                                                        {Kind: NoKind, Measured: 1, Unit: "things"},
		"upload begins: somebody sent 900 bytes to the outside (limit 1K, confidence 0%)":                          {Kind: Upload, Measured: 900, Limit: 1024, Unit: "bytes"},
	} {
		if got := f.Line(); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

func TestAnActionIsALine(t *testing.T) {
	f := Finding{Kind: PortScan, Offender: intruder}
	for want, a := range map[string]Action{
		"block 192.0.2.7 for 1h (port-scan)":                                {Respond: Respond{Do: Block, For: time.Hour}, Finding: f},
		"block 192.0.2.7 for 59s (port-scan, decided by node b)":            {Respond: Respond{Do: Block, For: 58900 * time.Millisecond}, Finding: f, By: "b"},
		"delete flows of 192.0.2.7 (port-scan): not done, allowed: gateway": {Respond: Respond{Do: Delete}, Finding: f, Held: "allowed: gateway"},
		"run /bin/x %o (port-scan by 192.0.2.7)":                            {Respond: Respond{Do: Run, Command: []string{"/bin/x", "%o"}}, Finding: f},
		"post to https://h:1 (syn-flood)":                                   {Respond: Respond{Do: Post, URL: "https://user:secret@h:1/token?key=secret"}},
		"block nobody for 1s (syn-flood): not done, no single offender":     {Respond: Respond{Do: Block, For: time.Second}, Held: "no single offender"},
		"post to a URL (syn-flood)":                                         {Respond: Respond{Do: Post, URL: ":"}},
	} {
		if got := a.Line(); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

func TestJSONHasStableNames(t *testing.T) {
	f := portScan()
	const finding = `{"id":7,"phase":"begins","kind":"port-scan","subject":{"source":"192.0.2.7","destination":"10.0.0.1","proto":"tcp","port":22,"zone":3},` +
		`"offender":"192.0.2.7","since":"2026-03-01T12:00:03.000Z","time":"2026-03-01T12:00:05.001Z","measured":24,"limit":20,"unit":"ports",` +
		`"confidence":0.958,"rule":"port-scan ports=20 within=1m","evidence":[{"what":"refused","count":23},{"what":"opened","count":1}]}`
	for want, v := range map[string]any{
		finding: f,
		`{"response":"block","offender":"192.0.2.7","for":3600,"until":"2026-03-01T13:00:00.000Z","by":"b","held":"no","finding":` + finding + `}`: Action{
			Respond: Respond{Do: Block, For: time.Hour}, Until: noon.Add(time.Hour), By: "b", Held: "no", Finding: f},
		`{"response":"post","url":"http://h","finding":{"id":0,"phase":"begins","kind":"syn-flood"}}`:         Action{Respond: Respond{Do: Post, URL: "http://u:p@h/x?y"}},
		`{"response":"run","command":["/bin/x","%o"],"finding":{"id":0,"phase":"begins","kind":"syn-flood"}}`: Action{Respond: Respond{Do: Run, Command: []string{"/bin/x", "%o"}}},
		`{"id":0,"phase":"begins","kind":"syn-flood","measured":1.7976931348623157e+308}`:                     Finding{Measured: math.Inf(1), Limit: math.NaN()},
	} {
		got, err := json.Marshal(v)
		if err != nil || string(got) != want {
			t.Errorf("%v\ngot  %s\nwant %s", err, got, want)
		}
	}
}
