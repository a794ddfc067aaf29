//go:build linux

package interop_test

// reading has the command lines which change nothing, by the scene they are run in; "all" are run in each scene of
// flows. See commandLines for the notation.
var reading = map[string]string{
	"all": `
		-L {-o extended|-o id|-o xml|-o save|-o labels|-o ktimestamp|-o timestamp|-o userspace}
		-L -o {extended,id|xml,id|xml,extended|xml,labels|xml,timestamp|id,ktimestamp,extended,labels|EXT,I,k|e,i,u|sa}
		-L -o extended -o id
		-L
		-L conntrack
		--dump
		-L expect
		-L expect -o xml
		-L {dying|unconfirmed}
		-L dying -o xml
		-L {dying|unconfirmed} -z -p udp
		-L {dying|unconfirmed} -s 1.1.1.1 -m 1 -u ASSURED
		-L dying -s 1.1.1.1 --mask-src 255.0.0.0
		-L -f {ipv4|ipv6}
		-L -f {ipv4|ipv6} -o {xml|save|extended}
		{-C|--counter}
		{-C|-S} expect
		-E foo
		-V
		--version expect
	`,

	"empty": `
		# the scanner
		-X
		-XL
		-L -s 1.1.1.1 -Xz
		--foo
		--foo=bar
		-L --zero=1
		-L {-s|-d|-r|-q|-p|-u|-m|-f|-o|-c|-w|-l|--mask-src|--orig-zone}
		-L {--output|--src|--protonum|--label}
		-L --{sr|st|ma|ev|l|d|orig-port|zon|zo|f|re|m|o|c|t|s} 1
		-L --{statu|stat|outp|proto|orig-s|orig-d|reply-s|reply-d|mask-s|mask-d|fam|sec} 1
		--{dum|upd|cou|eve|statis|versi}
		-L -D
		-L -L
		-L {foo|e|ex|expectx|c|conn|d|dy|u|unc|""}
		-L {-z|-n|-g|-j} foo
		foo -L bar -f ipv4 baz
		-L -- -z
		-- -L
		-L -
		-L ! -z
		env POSIXLY_CORRECT=1 conntrack -L foo -X
		env POSIXLY_CORRECT=1 conntrack foo -L
		env POSIXLY_CORRECT=1 conntrack -L
		env POSIXLY_CORRECT= conntrack foo -C
		{-U|-A} expect
		{-D|-I|-G|-F|-E|-C|-U|-A} {dying|unconfirmed}
		-L -a 5
		-L {-(|-)} 8
		-L -[ 1.1.1.1
		-L -] 1.1.1.1
		-L -{ 1.1.1.1
		-L -} 1.1.1.1
		-L -< 1.1.1.1
		-L ->
		-z -R /dev/null
		-R
		-R /nonexistent
		-R /dev/null
		--load-file /dev/null -X
		--load /dev/null

		# values: the unknown option at the end stops the program after it has taken the value, before it spends time on a dump
		-L -s {foo|""|1.1.1|1.1|1|0x01010101|010.1.1.1|256.1.1.1|1.1.1.1.1|1.1.1.1·x|1.1.1.1x|::|::1%lo|[::1]|::ffff:1.2.3.4|1::2::3} -X
		-L -s {1.1.1.1|::1}{/|/0|/8|/32|/33|/128|/129|/-1|/24x|/24/24|/255.255.255.0|/·8|/+8|/x} -X
		-L {-r|-q|--mask-src|--mask-dst} 1.1.1.1/24 -X
		-L -s 1.1.1.1 --mask-src 255.0.0.0/8
		-L {-s|-d|-r|-q} {1.1.1.1|::1} -f {ipv4|ipv6}
		-L -f {ipv4|ipv6} {-s|-d|-r|-q} {1.1.1.1|::1}
		-L -s {1.1.1.1|::1} -d {1.1.1.1|::1}
		-L -s {1.1.1.1|::1} {-n|-g|-j} {1.1.1.1|::1}
		-L --mask-{src|dst} 255.0.0.0
		-L -f {ipv4xyz|ipv|IPV4|inet|ipx|""|ipv6.}
		-L -p {TCP|Udp|udplite|SCTP|dccp|icmp|icmpv6|gre|ipv6-icmp|IPV6-ICMP|ospf|igmp|IGMP|ip|esp} -X
		-L -p {0|1|6|0x6|06|17|255|256|-1|""|6x|·6|x|udp,tcp} -X
		-L -p {tcp|udp|udplite|sctp|dccp} --{sport|dport|orig-port-src|orig-port-dst|reply-port-src|reply-port-dst} {1|http|65537|-1|""} -X
		-L -p tcp --state {LISTEN|NONE|SYN_SENT2|established|FOO|""}
		-L -p sctp --state {NONE|CLOSED|SHUTDOWN_ACK_SENT}
		-L -p dccp --state {NONE|REQUEST|TIMEWAIT|INVALID|FOO}
		-L -p dccp --role {client|server|c|S|foo}
		-L -p {icmp --icmp|icmpv6 --icmpv6}-{type|code|id} {8|x|256|-1} -X
		-L -p gre --{srckey|dstkey|orig-key-src|reply-key-src|reply-key-dst} {8|0x8|x|65536} -X
		-L --sport 1 -p udp
		-L -p udp --state LISTEN
		-L -p udp -p tcp --sport 1 --state LISTEN
		-L -p 200 --sport 1
		-L -m {5|0x5|05|5/6|5/|0/0|5/0x1ffffffff|·5|+5} -X
		-L {-w|--orig-zone|--reply-zone} {0|7|0x7|65535} -X
		-L -c {5|0x5|4294967295} -X
		-D -i {5|0x5|4294967295}
		-L -u {ASSURED|seen_reply|UNREPLIED|UNREPLIEDxyz|unreplied|FIXED|exp|OFF|HW|offload|A|SE|E|F|O|H} -X
		-L -u {FOO|""|,|ASSURED,|,ASSURED|ASSURED,FOO,SEEN_REPLY|!|!FOO|!UNREPLIED|!ASSURED|ASSURED,!SEEN_REPLY} -X
		-L -u {S|SRC_NAT|D|dst|SRC_NAT,ASSURED|ASSURED,DST_NAT} -X
		-L -u ASSURED -u SEEN_REPLY
		-L -o {foo|""|,|id,|id,foo,xml|s|S|src|d|save,id|id,save|save,xml|save,userspace|sav|x|XML|idx} -X
		-L -o save -o id
		-E -e {FOO|""|NEW,|NEW,FOO}
		-L -n {1.1.1.1|1.1.1.1:80|::1|[::1]:80|fe80::5:80} -X
		-L -n {1.1.1.1:65536|1.1.1.1:|1.1.1.1-1.1.1.9|1.1.1.1:80-90|[::1]|[::1|[]:80|[::1]:|[::1]x|:80|foo|1.1.1.1/24|1.1.1.1:-1|""} -X
		-L -n1.1.1.1
		-L --src-nat=1.1.1.1
		-L -j {-n|-g}
		-L {-n|-g} -j 1.1.1.1
		-L -n -g
		-L -z {-p udp|-s 1.1.1.1|-d 1.1.1.1|-r 1.1.1.1|-q 1.1.1.1|-m 1|-c 1|-u ASSURED|-w 1|--orig-zone 1|--reply-zone 1|-f ipv4}
		-L -l foo
		-L -o labels
		-U --label-add {foo|a,b}
		-L -t 5

		# nothing there
		-L -p udp -o xml
		-G -s 1.1.1.1 -d 2.2.2.2 -p udp --sport 1 --dport 2
		-G -s 1.1.1.1 -d 2.2.2.2 -p 200
		-G -s ::1 -d ::2 -p udp --sport 1 --dport 2 -o xml
		-G -r 1.1.1.1 -q 2.2.2.2 -p udp --reply-port-src 1 --reply-port-dst 2
		-G -s 1.1.1.1 -p 200
		-G -r 1.1.1.1 -p 200
		-G -p 200
		-G expect -s 1.1.1.1 -d 2.2.2.2 -p 200
		-D expect -s 1.1.1.1 -d 2.2.2.2 -p 200
		-D expect
		-G expect -s 1.1.1.1 -d 1.1.1.1 -p tcp
		-D {-p udp|-s 1.1.1.1|-t 5|-u ASSURED|-m 1|-i 7|-f ipv6|-n|-g|-w 1|-o xml|-o save}
		-D
		{-F|-F expect}
		-F -f {ipv4|ipv6}
		-S

		# without privileges
		setpriv --reuid 65534 --regid 65534 --clear-groups conntrack {-L|-C|-F|-D|-E|-S|-V|-U -m 1|-L expect|-C expect|-F expect|-E expect|-S expect|-L dying}
		setpriv --reuid 65534 --regid 65534 --clear-groups conntrack {-I|-A} -s 1.1.1.1 -d 2.2.2.2 -p 200 -t 5
		setpriv --reuid 65534 --regid 65534 --clear-groups conntrack -G -s 1.1.1.1 -d 2.2.2.2 -p 200
		setpriv --reuid 65534 --regid 65534 --clear-groups conntrack {-G|-D} expect -s 1.1.1.1 -d 2.2.2.2 -p 200
		setpriv --reuid 65534 --regid 65534 --clear-groups conntrack -R /dev/null
	`,

	"rich": `
		-L -p {tcp|udp|udplite|sctp|dccp|icmp|icmpv6|gre|200|201|igmp|ipv6-icmp|58}
		-L -p {tcp|udp|sctp|icmp|icmpv6|gre|200} -o {xml|save|extended,id}
		-L -p tcp --state {ESTABLISHED|SYN_SENT|LISTEN|SYN_SENT2|TIME_WAIT|NONE}
		-L -p sctp --state {ESTABLISHED|COOKIE_WAIT|CLOSED}
		-L -p udp --{sport|dport} {10|20|65535|1}
		-L -p udp --reply-port-{src|dst} {10|20|3}
		-L -p tcp --orig-port-src 10 --orig-port-dst 20 --state ESTABLISHED
		-L -p icmp --icmp-type {8|13|0}
		-L -p icmp --icmp-{id 99|code 0}
		-L -p icmp --icmp-type 8 -s 1.1.1.1 -r 2.2.2.2
		-L -p icmp -r 2.2.2.2 --icmp-type 8
		-L -p icmpv6 --icmpv6-{type 128|id 97|id 98}
		-L -p gre --{srckey 8|dstkey 1|reply-key-src 1}
		-L -s {1.1.1.1|1.1.1.0/24|1.1.1.1/32|1.1.1.1/0|1.1.1.1/|1.1.2.0/30|2001:db8::1|2001:db8::/32|fd00::/8|::/0|fd00::1/128}
		-L -d {2.2.2.2|2.2.0.0/16|2001:db8::2|fd00::/16}
		-L -s 1.0.0.5 --mask-src {255.0.0.0|255.0.0.255|0.0.0.0|0.0.0.5}
		-L -s 1.1.1.0/24 --mask-src 255.255.255.255
		-L --mask-src 255.255.255.255 -s 1.1.1.0/24
		-L -s 1.1.1.0/24 -d 2.0.0.0/8 -p udp
		-L -s 2001:db8::ff --mask-src ffff:ffff::
		-L -s 1.1.1.1 -s 1.1.1.2
		-L -r {2.2.2.2|9.9.9.9|6.6.6.6}
		-L -q {1.1.1.1|5.5.5.5|8.8.8.8|fd00::5}
		-L -r 2.2.2.2 -q 1.1.1.1 -p udp
		-L -s 1.1.1.1 -r 9.9.9.9
		-L -u {ASSURED|SEEN_REPLY|UNREPLIED|FIXED_TIMEOUT|EXPECTED|OFFLOAD|!ASSURED|!SEEN_REPLY|ASSURED,SEEN_REPLY}
		-L -m {5|0|1|0x5/0xf|5/4|4/4|0/0|0/|0xffffffff|21|21/0x3}
		-L -w {0|7|8|9|65535}
		-L --orig-zone {8|0|7}
		-L --reply-zone {9|0|7}
		-L -w 7 -o {xml|save|extended,id}
		-L --orig-zone 8 -o {xml|save}
		-L --reply-zone 9 -o {xml|save}
		-L -c 5
		-L {-n|-g|-j}
		-L -n -g
		-L {-n|-g|-j} -p {udp|tcp|icmp}
		-L -n {5.5.5.5|5.5.5.5:1000|7.7.7.7|9.9.9.9|fd00::5|fd00::9|[fd00::5]:10}
		-L -g {6.6.6.6|6.6.6.6:53|6.6.6.6:54|fd00::6|[fd00::6]:99}
		-L -j {5.5.5.5|6.6.6.6|7.7.7.7}
		-L -n 7.7.7.7 -g 6.6.6.6
		-L -n -o {save|xml}
		-L -g -s 1.1.2.3
		-L -p udp -m 5 -s 1.1.1.2
		-L -f ipv6 -p udp
		-L -p udp --sport 10 -u UNREPLIED -o id
		-L -z -f ipv4 -z -o id # nothing is counted here, so there is nothing to zero
		-G -s 1.1.1.1 -d 2.2.2.2 -p {udp|udplite} --sport 10 --dport 20
		-G -s 1.1.1.1 -d 2.2.2.2 -p tcp --sport 10 --dport 20 -o {xml|save|extended|id|ktimestamp|labels|timestamp|extended,id|xml,id}
		-G -s 1.1.1.1 -d 2.2.2.2 -p tcp --sport {10|11} --dport 20 --state ESTABLISHED
		-G -s 1.1.1.1 -d 2.2.2.2 -p sctp --sport 10 --dport 20
		-G -s 1.1.1.1 -d 2.2.2.2 -p icmp --icmp-type 8 --icmp-code 0 --icmp-id {99|1}
		-G -s 1.1.1.1 -d 2.2.2.2 -p icmp --icmp-type 8 --icmp-code 0
		-G -s 2001:db8::1 -d 2001:db8::2 -p icmpv6 --icmpv6-type 128 --icmpv6-code 0 --icmpv6-id 97
		-G -s 2001:db8::1 -d 2001:db8::2 -p udp --sport 10 --dport 20 -o extended
		-G -s 1.1.1.1 -d 2.2.2.2 -p {200|201|igmp}
		-G -s 1.1.1.1 -d 2.2.2.2 -p gre --srckey 8 --dstkey 65535
		-G -s 1.1.1.1 -d 2.2.2.2 -p udp --sport 10 --dport 21
		-G -s 1.1.1.3 -d 2.2.2.2 -p udp --sport 10 --dport 20
		-G -s 1.1.2.1 -d 2.2.2.2 -p udp --sport 10 --dport 20 -o save
		-G -r 2.2.2.2 -q 1.1.1.1 -p udp --reply-port-src 20 --reply-port-dst 10
		-G -s 1.1.1.1 -d 2.2.2.2 -p udp --sport 10 --dport 20 --reply-port-src 20
		-G -s 1.1.1.1 -d 2.2.2.2 -p udp --sport 10 --dport 20 -r 2.2.2.2 -q 1.1.1.1 --reply-port-src 20 --reply-port-dst 10
		-G -s 1.1.1.1 -d 2.2.2.2 -p udp --sport 10 --dport 20 -i 5
	`,

	"nat": `
		-L -p {tcp|udp|icmp|icmpv6}
		-L -p {tcp|udp|icmp|icmpv6} -o {xml|save|extended,id,ktimestamp}
		-L -p tcp --state {TIME_WAIT|CLOSE|ESTABLISHED}
		-L {-n|-g|-j}
		-L -n -g
		-L {-n|-g|-j} -o {save|xml|extended,id}
		-L {-n|-g|-j} {10.2.0.1|10.2.0.2|10.1.0.1|9.9.9.9|fd02::1|fd02::2}
		-L -n 10.2.0.1:{4000|4001|40000}
		-L -g 10.2.0.2:{53|80|9}
		-L -j 10.2.0.2:{53|4000}
		-L -n -p {tcp|udp|icmp}
		-L -g -m 0
		-L -u {ASSURED|UNREPLIED|SEEN_REPLY|!ASSURED}
		-L -m {0|1}
		-L -s 10.1.0.0/24 -q 10.2.0.1
		-L -o ktimestamp -p udp --dport 9
		-S
	`,

	"helper": `
		-L {-o extended,id|-o xml|-o save}
		-L expect
		-L expect -o {xml|timestamp|id|extended|save|xml,timestamp|xml,id}
		-L expect -f {ipv4|ipv6}
		-L expect -f ipv6 -o xml
		-C {expect|conntrack}
		-L -p tcp -o {xml|save|extended,id}
		-G expect -s 127.0.0.1 -d 127.0.0.1 -p udp --sport 0 --dport 40070 --reply-port-src 0 --reply-port-dst 0
		-G expect -s 127.0.0.1 -d 127.0.0.1 -p tcp --sport 0 --dport 51210 --reply-port-src 0 --reply-port-dst 0 -o xml
		-G expect -s 127.0.0.1 -d 127.0.0.1 -p tcp --sport 0 --dport 51210 --reply-port-src 0 --reply-port-dst 0
		-G expect -s ::1 -d ::1 -p tcp --sport 0 --dport 51210 --reply-port-src 0 --reply-port-dst 0
		-G expect -s 127.0.0.1 -d 127.0.0.1 -p tcp --sport 0 --dport 1 --reply-port-src 0 --reply-port-dst 0
		-G -s 127.0.0.1 -d 127.0.0.1 -p udp --sport 40070 --dport 69 -o {xml|save|extended}
		-S
	`,

	"labels": `
		-L {-o labels|-o xml|-o xml,labels|-o save|-o extended,id,labels,ktimestamp}
		-L
		-L -l {zero|one|hundred|spaced·name|bit31|blanks}
		-L -l {one,zero|one,hundred,zero|one,bit32|spaced·name,one}
		-L -l one -l {zero|bit32}
		-L -l {nosuch|one,nosuch|nosuch,one|""|one,|again|bad.name|toolarge|nonsense}
		-L -l one -o {xml|save|extended|id|labels|xml,labels}
		-L -l one -p {udp|tcp}
		-G -s 1.1.1.1 -d 2.2.2.2 -p udp --sport 10 --dport 20 -o {labels|xml,labels|xml|save}
		-G -s 1.1.1.1 -d 2.2.2.2 -p udp --sport 10 --dport 20 -l {one|bit32}
		-L -l one -z
	`,
}
