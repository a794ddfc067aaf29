package conntrackcli

import "testing"

const saveLine = "-A -t 5000 -u SEEN_REPLY,ASSURED -s 10.1.2.3 -d 192.168.3.1 -r 192.168.3.1 -q 10.1.2.3 -p tcp " +
	"--sport 1024 --dport 443 --reply-port-src 443 --reply-port-dst 1024 --state ESTABLISHED\n"

func BenchmarkParseSaveLine(b *testing.B) {
	env := &Env{}
	args := make([]string, 0, 64)
	b.ReportAllocs()
	var p parser
	for b.Loop() {
		w, _, err := words(saveLine, append(args[:0], "conntrack"))
		if err != nil {
			b.Fatal(err)
		}
		r, err := p.parse(w, env)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := (&executor{request: r}).newEntry(); err != nil {
			b.Fatal(err)
		}
	}
}
