//go:build linux

package interop_test

// changing has the command lines which change the table, by the scene they are run in; each starts with a fresh one. See
// commandLines for the notation.
var changing = map[string]string{
	"plain": `
		-F
		-D -o {xml|extended,id|save}
		-D
		-D -o labels,ktimestamp,timestamp
		-D conntrack -p udp -f ipv4
		-F conntrack
		-F -f {ipv4|ipv6}
		-F expect
		# 1.4.7 prints only one of several updated entries, so there must not be more
		-U -s 1.1.1.3 -m {7|0|0/0|0x10/0xf0|0xffffffff/0x1}
		-U -f ipv6 -s 2001:db8::1 -m 7
		-U -s 1.1.1.{2|9} -m 7 -o {extended,id|xml|save|ktimestamp|labels}
		-U -s 1.1.1.2 -t {100|3600|x}
		-U -s 1.1.1.2 -u {ASSURED|SEEN_REPLY|ASSURED,SEEN_REPLY|FIXED_TIMEOUT|UNSET}
		-U -s 1.1.1.2 -u ASSURED -t 77 -m 9
		-U -s 1.1.1.2 -m 5 # which it has already
		-U -s 1.1.1.1 -p tcp --state {CLOSE|TIME_WAIT|ESTABLISHED|LISTEN}
		-U -d 2.2.2.2 -p tcp -m 6
		-U -r 2.2.2.2 -p tcp -m 6
		-U -q 1.1.1.3 -m 6
		-U -s 1.1.1.2/31 --sport 10 -m 6
		-U -s 1.1.0.0/16 -p icmp -m 6
		-U -s 1.1.1.1 -p icmp --icmp-id 99 -m 6
		-U -s 1.1.1.1 -i 5 -m 6
		-U -s 1.1.1.1 -c 5
		-U -p udp -s 9.9.9.9 -t 5
	`,

	"rich": `
		-D -o {xml|extended,id|save}
		-D -p {tcp|udp|udplite|sctp|icmp|icmpv6|gre|200|igmp|47}
		-D -p tcp --state {ESTABLISHED|CLOSE_WAIT}
		-D -p udp --{sport 10|dport 20|reply-port-src 3}
		-D -p icmp --icmp-id 99
		-D -p gre --srckey 8
		-D -s {1.1.1.1|1.1.1.0/24|2001:db8::1|9.9.9.9|2001:db8::/32}
		-D -s 1.0.0.5 --mask-src 255.0.0.255
		-D -d 2.2.2.2 -p udp
		-D -r {2.2.2.2|6.6.6.6}
		-D -q 5.5.5.5
		-D -m {5|0|1/1}
		-D -u {ASSURED|SEEN_REPLY|ASSURED,SEEN_REPLY|FIXED_TIMEOUT|EXPECTED}
		-D -w {7|0|65535}
		-D --orig-zone 8
		-D --reply-zone 9
		-D -f {ipv4|ipv6}
		-D -t 3
		-D -t 3 -p udp
		-D {-n|-g}
		-D -n -g
		-D -n {5.5.5.5|5.5.5.5:1000|fd00::5}
		-D -g {6.6.6.6|6.6.6.6:53}
		-D -n -p udp -o save
		-D -p udp -o {xml|save|id}
		-D -i 1

		{-I|-A} -s 9.1.1.1 -d 2.2.2.2 -p tcp --sport 1 --dport 2 --state {SYN_SENT|ESTABLISHED|TIME_WAIT|LISTEN|NONE} -t 5000
		{-I|-A} -s 9.1.1.1 -d 2.2.2.2 -p udp --sport 1 --dport 2 -t 5000 -u {SEEN_REPLY|ASSURED,SEEN_REPLY|FIXED_TIMEOUT|UNSET|!ASSURED}
		{-I|-A} -s 9.1.1.1 -d 2.2.2.2 -p udp --sport 1 --dport 2 -t 5000 -u EXPECTED
		{-I|-A} -s 9.1.1.1 -d 2.2.2.2 -p udp --sport 1 --dport 2 -t 5000 -m {5|5/1|0}
		{-I|-A} -s 9.1.1.1 -d 2.2.2.2 -p udp --sport 1 --dport 2 -t 5000 {-w|--orig-zone|--reply-zone} 3
		{-I|-A} -s 9.1.1.1 -d 2.2.2.2 -p udp --sport 1 --dport 2 -t 5000 -n {3.3.3.3|3.3.3.3:99|}
		{-I|-A} -s 9.1.1.1 -d 2.2.2.2 -p udp --sport 1 --dport 2 -t 5000 -g {3.3.3.3|3.3.3.3:99|}
		{-I|-A} -s 9.1.1.1 -d 2.2.2.2 -p udp --sport 1 --dport 2 -t 5000 -n 3.3.3.3 -g 4.4.4.4
		{-I|-A} -s 9.1.1.1 -d 2.2.2.2 -p udp --sport 1 --dport 2 -t 5000 --orig-zone 1 --reply-zone 2
		-I -s 9.1.1.1 -d 2.2.2.2 -p udp --sport 1 --dport 2 -t {0|x|-1|999999999}
		-I -s 9::1 -d 2::2 -p udp --sport 1 --dport 2 -t 5000 -n {3::3|[3::3]:99}
		-I -s 9::1 -d 2::2 -p tcp --sport 1 --dport 2 --state ESTABLISHED -t 5000 -g {3::3|[3::3]:99}
		-I -s 9.1.1.1 -d 2.2.2.2 -p tcp --sport 10 --dport 20 --state ESTABLISHED -t 5000 -n 3.3.3.3:7
		-I -s 1.1.1.1 -d 2.2.2.2 -p udp --sport 10 --dport 20 -t 5000
		-I -s 9.1.1.1 -d 2.2.2.2 -r 3.3.3.3 -q 4.4.4.4 -p udp --sport 1 --dport 2 --reply-port-src 5 --reply-port-dst 6 -t 5000
		-I -s 9.1.1.1 -d 2.2.2.2 -r 3.3.3.3 -p udp --sport 1 --dport 2 -t 5000
		-I -r 9.1.1.1 -q 2.2.2.2 -p udp --reply-port-src 1 --reply-port-dst 2 -t 5000
		-I -r 9.1.1.1 -q 2.2.2.2 -p udp --sport 1 --dport 2 -t 5000
		-I -s 9.1.1.1 -d 2.2.2.2 -p udp --reply-port-src 1 --reply-port-dst 2 -t 5000
		-I -s 9.1.1.1 -d 2.2.2.2 -p icmp --icmp-type {8|13|15|17|0|3} --icmp-code 0 --icmp-id 1 -t 5000
		-I -p icmp --icmp-type 8 --icmp-code 0 -t 5000 -s 9.1.1.1 -d 2.2.2.2
		-A -s 9.1.1.1 -d 2.2.2.2 -p icmp --icmp-type 3 --icmp-code 0 -t 5000
		-I -s 9::1 -d 2::2 -p icmpv6 --icmpv6-type {128|129|139|140|1} --icmpv6-code 0 --icmpv6-id 1 -t 5000
		-I -s 9::1 -d 2::2 -p ipv6-icmp -t 5000
		-I -s 9.1.1.1 -d 2.2.2.2 -p sctp --sport 1 --dport 2 --state CLOSED --orig-vtag 16909060 --reply-vtag 0 -t 5000
		-I -s 9.1.1.1 -d 2.2.2.2 -p dccp --sport 1 --dport 2 --state OPEN --role {client|server} -t 5000
		-I -s 9.1.1.1 -d 2.2.2.2 -p udplite --sport 1 --dport 2 -t 5000 -u SEEN_REPLY
		-I -s 9.1.1.1 -d 2.2.2.2 -p gre --srckey 0x10 --dstkey 32 -t 5000
		-I -s 9.1.1.1 -d 2.2.2.2 -p {0|47|200|255|esp|ospf} -t 5000
		-I -s 9.1 -d 0x02020202 -p 0x11 --sport 65537 --dport 010 -t 5000x -m 0x10 -w 010
		-I -s 010.1.1.1 -d 2 -p gre --srckey 0x10 --dstkey 010 -t 5000 -m 010 --orig-zone 0x7
	`,

	"nat": `
		-D -o {xml|extended,id|save}
		-L -z -o id # shows the counters before
		-D -n
		-D -g -o extended
		-D -p icmp
	`,

	"helper": `
		-F expect
		-D expect -s 127.0.0.1 -d 127.0.0.1 -p udp --sport 0 --dport 40070 --reply-port-src 0 --reply-port-dst 0
		-D expect -s ::1 -d ::1 -p tcp --sport 0 --dport 51210 --reply-port-src 0 --reply-port-dst 0
		-D -p tcp
		-I expect -s 127.0.0.1 -d 127.0.0.1 -p udp --sport 40070 --dport 69 --tuple-src 127.0.0.9 --tuple-dst 127.0.0.1 --mask-src 255.255.255.255 --mask-dst 255.255.255.255 --tuple-port-src 0 --tuple-port-dst 7777 --mask-port-src 0 --mask-port-dst 65535 -t 100
		-I expect -s 127.0.0.1 -d 127.0.0.1 -p udp --sport 40070 --dport 69 --tuple-src 127.0.0.0/24 --tuple-dst 127.0.0.1 --mask-dst 255.255.255.255 --tuple-port-src 0 --tuple-port-dst 7777 --mask-port-src 0 --mask-port-dst 65535 -t 100
		-I expect -s 127.0.0.1 -d 127.0.0.1 -p udp --sport 40070 --dport 69 --tuple-src 127.0.0.1 --tuple-dst 127.0.0.1 --mask-src 255.255.255.255 --mask-dst 255.255.255.255 --tuple-port-src 0 --tuple-port-dst 40070 --mask-port-src 0 --mask-port-dst 65535 -t 100 # exists
		-I expect -s 9.9.9.9 -d 127.0.0.1 -p udp --sport 40070 --dport 69 --tuple-src 127.0.0.9 --tuple-dst 127.0.0.1 --mask-src 255.255.255.255 --mask-dst 255.255.255.255 --tuple-port-src 0 --tuple-port-dst 7777 --mask-port-src 0 --mask-port-dst 65535 -t 100 # no such master
	`,

	"labels": `
		-U -s 1.1.1.2 --label-add {one|bit31|bit32|hundred|one,bit32|spaced·name}
		-U -s 2001:db8::1 --label-add {one|hundred} -o {xml|save|id}
		-U -s 1.1.1.1 --label-add one # which it has already
		-U -s 1.1.1.1 --label-add bit31 --label-add bit32
		-U -s 1.1.1.1 --label-del {one|bit32|zero,one}
		-U -s 1.1.1.1 --label-del
		-U -s 1.1.1.1 --label-del=one
		-U -s 1.1.1.2 --label-del {one|}
		-U -s 1.1.1.1 -l zero -m 5
		-U -s 1.1.1.2 -l zero -m 5
		-U -f ipv4 -l one --label-add bit31 -m 5
		-D -l {one|bit31|spaced·name}
		-D -l one -o labels
		-I -s 9.1.1.1 -d 2.2.2.2 -p udp --sport 1 --dport 2 -t 5000 --label-add {one|hundred|one,bit32|nosuch}
		-A -s 9.1.1.1 -d 2.2.2.2 -p udp --sport 1 --dport 2 -t 5000 --label-add one
	`,
}
