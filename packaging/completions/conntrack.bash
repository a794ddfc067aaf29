# Completion of conntrack(8) for bash. Made by make generate: do not edit.

# _conntrack_words WORD... offers words.
_conntrack_words()
{
	mapfile -t COMPREPLY < <(compgen -W "$*" -- "$cur")
}

# _conntrack_list WORD... offers words for the last place of a comma list.
_conntrack_list()
{
	local last=${cur##*,} word
	local before=${cur%"$last"}
	if [[ $last == '!'* ]]; then
		before+='!' last=${last#!}
	fi
	COMPREPLY=()
	for word; do
		[[ ${word,,} == "${last,,}"* ]] && COMPREPLY+=("$before$word")
	done
	compopt -o nospace 2>/dev/null
}

# _conntrack_labels FILE offers names of labels.
_conntrack_labels()
{
	local bit name names=()
	while read -r bit name; do
		[[ $bit == [0-9]* && $name != *' '* ]] && names+=("$name")
	done 2>/dev/null <"$1"
	_conntrack_list "${names[@]}"
}

_conntrack_namespaces()
{
	local file names=()
	for file in /run/netns/*; do
		[[ -e $file ]] && names+=("${file##*/}")
	done
	_conntrack_words "${names[@]}"
}

_conntrack_files()
{
	mapfile -t COMPREPLY < <(compgen -f -- "$cur")
	compopt -o filenames 2>/dev/null
}

_conntrack()
{
	local cur prev word next command='' table=conntrack proto='' map=/etc/xtables/connlabel.conf options='' law='' i

	cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}
	[[ $prev == '=' ]] && prev=${COMP_WORDS[COMP_CWORD-2]}
	[[ $cur == '=' ]] && cur=''
	for ((i = 1; i < COMP_CWORD; i++)); do
		word=${COMP_WORDS[i]} next=${COMP_WORDS[i+1]}
		[[ $next == '=' ]] && next=${COMP_WORDS[i+2]}
		((i + 1 < COMP_CWORD)) || next=''
		case $word in
		-p | --protonum) proto=${next,,} ;;
		-p*) proto=${word#-p} proto=${proto,,} ;;
		--labelmap) map=$next ;;
		-L | --dump)
			command='dump'
			for word in conntrack expect dying unconfirmed; do
				[[ $next && $word == "$next"* ]] && table=$word
			done
			;;
		-I | --create)
			command='create'
			for word in conntrack expect; do
				[[ $next && $word == "$next"* ]] && table=$word
			done
			;;
		-D | --delete)
			command='delete'
			for word in conntrack expect; do
				[[ $next && $word == "$next"* ]] && table=$word
			done
			;;
		-U | --update)
			command='update'
			;;
		-G | --get)
			command='get'
			for word in conntrack expect; do
				[[ $next && $word == "$next"* ]] && table=$word
			done
			;;
		-F | --flush)
			command='flush'
			for word in conntrack expect; do
				[[ $next && $word == "$next"* ]] && table=$word
			done
			;;
		-E | --event)
			command='event'
			for word in conntrack expect; do
				[[ $next && $word == "$next"* ]] && table=$word
			done
			;;
		-C | --counter)
			command='counter'
			for word in conntrack expect; do
				[[ $next && $word == "$next"* ]] && table=$word
			done
			;;
		-S | --stats)
			command='stats'
			for word in conntrack expect; do
				[[ $next && $word == "$next"* ]] && table=$word
			done
			;;
		-A | --add)
			command='add'
			;;
		-V | --version)
			command='version'
			;;
		-h | --help)
			command='help'
			;;
		esac
	done
	case $prev in
	-s | --src | --orig-src | -d | --dst | --orig-dst | -r | --reply-src | -q | --reply-dst | -t | --timeout | --tuple-src | --tuple-dst | --mask-src | --mask-dst | -m | --mark | -i | --id | -c | --secmark | -b | --buffer-size | -w | --zone | --orig-zone | --reply-zone)
		COMPREPLY=()
		return
		;;
	-p | --protonum)
		_conntrack_words tcp udp udplite sctp dccp icmp icmpv6 gre
		return
		;;
	-u | --status)
		_conntrack_list ASSURED SEEN_REPLY UNSET FIXED_TIMEOUT EXPECTED OFFLOAD HW_OFFLOAD UNREPLIED
		return
		;;
	-e | --event-mask)
		_conntrack_list ALL NEW UPDATES DESTROY
		return
		;;
	-f | --family)
		_conntrack_words ipv4 ipv6
		return
		;;
	-o | --output)
		_conntrack_list xml extended timestamp id ktimestamp labels userspace save json jsonl csv
		return
		;;
	-l | --label | --label-add | --label-del)
		_conntrack_labels "$map"
		return
		;;
	--labelmap)
		_conntrack_files
		return
		;;
	--netns)
		_conntrack_namespaces
		return
		;;
	-R | --load-file)
		_conntrack_files
		return
		;;
	--state | --role)
		case $prev/$proto in
		--state/tcp) _conntrack_words NONE SYN_SENT SYN_RECV ESTABLISHED FIN_WAIT CLOSE_WAIT LAST_ACK TIME_WAIT CLOSE SYN_SENT2 ;;
		--state/sctp) _conntrack_words NONE CLOSED COOKIE_WAIT COOKIE_ECHOED ESTABLISHED SHUTDOWN_SENT SHUTDOWN_RECD SHUTDOWN_ACK_SENT ;;
		--state/dccp) _conntrack_words NONE REQUEST RESPOND PARTOPEN OPEN CLOSEREQ CLOSING TIMEWAIT IGNORE INVALID ;;
		--role/dccp) _conntrack_words client server ;;
		esac
		return
		;;
	--sport | \
	--orig-port-src | \
	--dport | \
	--orig-port-dst | \
	--reply-port-src | \
	--reply-port-dst | \
	--mask-port-src | \
	--mask-port-dst | \
	--tuple-port-src | \
	--tuple-port-dst | \
	--orig-vtag | \
	--reply-vtag | \
	--icmp-type | \
	--icmp-code | \
	--icmp-id | \
	--icmpv6-type | \
	--icmpv6-code | \
	--icmpv6-id | \
	--srckey | \
	--orig-key-src | \
	--dstkey | \
	--orig-key-dst | \
	--reply-key-src | \
	--reply-key-dst | \
	--mask-key-src | \
	--mask-key-dst | \
	--tuple-key-src | \
	--tuple-key-dst)
		COMPREPLY=()
		return
		;;
	-L | --dump)
		if [[ $cur != -* ]]; then
			_conntrack_words conntrack expect dying unconfirmed
			return
		fi
		;;
	-I | --create | -D | --delete | -G | --get | -F | --flush | -E | --event | -C | --counter | -S | --stats)
		if [[ $cur != -* ]]; then
			_conntrack_words conntrack expect
			return
		fi
		;;
	-U | --update | -A | --add)
		if [[ $cur != -* ]]; then
			_conntrack_words conntrack
			return
		fi
		;;
	esac
	case $command/$table in
	dump/conntrack | dump/dying | dump/unconfirmed) options='-s --src --orig-src -d --dst --orig-dst -r --reply-src -q --reply-dst -p --protonum -u --status -z --zero --mask-src --mask-dst -m --mark -f --family -n --src-nat -g --dst-nat -o --output -c --secmark -j --any-nat -w --zone -l --label --orig-zone --reply-zone --labelmap --netns --verbose' law=select ;;
	dump/expect) options='-f --family -o --output --netns' law=none ;;
	create/conntrack | add/conntrack) options='-s --src --orig-src -d --dst --orig-dst -r --reply-src -q --reply-dst -p --protonum -t --timeout -u --status -m --mark -n --src-nat -g --dst-nat -w --zone --label-add --orig-zone --reply-zone --netns' law=create ;;
	create/expect) options='-s --src --orig-src -d --dst --orig-dst -r --reply-src -q --reply-dst -p --protonum -t --timeout -u --status --tuple-src --tuple-dst --mask-src --mask-dst --netns' law=announce ;;
	delete/conntrack) options='-s --src --orig-src -d --dst --orig-dst -r --reply-src -q --reply-dst -p --protonum -t --timeout -u --status --mask-src --mask-dst -m --mark -i --id -f --family -n --src-nat -g --dst-nat -o --output -w --zone -l --label --orig-zone --reply-zone --labelmap --netns --dry-run --verbose' law=select ;;
	delete/expect | get/expect) options='-s --src --orig-src -d --dst --orig-dst -r --reply-src -q --reply-dst -p --protonum --netns' law=lookup ;;
	update/conntrack) options='-s --src --orig-src -d --dst --orig-dst -r --reply-src -q --reply-dst -p --protonum -t --timeout -u --status --mask-src --mask-dst -m --mark -i --id -f --family -n --src-nat -g --dst-nat -o --output -l --label --label-add --label-del --labelmap --netns --dry-run' law=update ;;
	get/conntrack) options='-s --src --orig-src -d --dst --orig-dst -r --reply-src -q --reply-dst -p --protonum -i --id -o --output -l --label --netns' law=get ;;
	flush/conntrack) options='-f --family --netns' law=none ;;
	flush/expect | version/conntrack | version/expect) options='--netns' law=none ;;
	event/conntrack) options='-s --src --orig-src -d --dst --orig-dst -r --reply-src -q --reply-dst -p --protonum -e --event-mask --mask-src --mask-dst -m --mark -f --family -n --src-nat -g --dst-nat -o --output -c --secmark -b --buffer-size -j --any-nat -w --zone -l --label --orig-zone --reply-zone --labelmap --netns --with-table --exit-on-loss' law=select ;;
	event/expect) options='-o --output --netns --exit-on-loss' law=none ;;
	counter/conntrack | counter/expect | stats/conntrack | stats/expect) options='-o --output --netns' law=none ;;
	help/conntrack | help/expect) options='-p --protonum --netns' law=none ;;
	/*) options='-L --dump -I --create -D --delete -U --update -G --get -F --flush -E --event -C --counter -S --stats -A --add -V --version -h --help -R --load-file -s --src --orig-src -d --dst --orig-dst -r --reply-src -q --reply-dst -p --protonum -t --timeout -u --status -z --zero -e --event-mask --tuple-src --tuple-dst --mask-src --mask-dst -m --mark -i --id -f --family -n --src-nat -g --dst-nat -o --output -c --secmark -b --buffer-size -j --any-nat -w --zone -l --label --label-add --label-del --orig-zone --reply-zone --labelmap --netns --dry-run --with-table --exit-on-loss --verbose' ;;
	esac
	case $proto/$law in
	tcp/) options+=' --sport --orig-port-src --dport --orig-port-dst --reply-port-src --reply-port-dst --mask-port-src --mask-port-dst --tuple-port-src --tuple-port-dst --state' ;;
	tcp/select | tcp/update | tcp/get | tcp/create | sctp/select | dccp/select | dccp/update | dccp/get) options+=' --sport --orig-port-src --dport --orig-port-dst --reply-port-src --reply-port-dst --state' ;;
	tcp/announce | udp/announce | udplite/announce) options+=' --sport --orig-port-src --dport --orig-port-dst --mask-port-src --mask-port-dst --tuple-port-src --tuple-port-dst' ;;
	tcp/lookup | udp/select | udp/update | udp/get | udp/create | udp/lookup | udplite/select | udplite/update | udplite/get | udplite/create | udplite/lookup | sctp/lookup | dccp/lookup) options+=' --sport --orig-port-src --dport --orig-port-dst --reply-port-src --reply-port-dst' ;;
	udp/ | udplite/) options+=' --sport --orig-port-src --dport --orig-port-dst --reply-port-src --reply-port-dst --mask-port-src --mask-port-dst --tuple-port-src --tuple-port-dst' ;;
	sctp/) options+=' --sport --orig-port-src --dport --orig-port-dst --reply-port-src --reply-port-dst --mask-port-src --mask-port-dst --tuple-port-src --tuple-port-dst --state --orig-vtag --reply-vtag' ;;
	sctp/update | sctp/get | sctp/create) options+=' --sport --orig-port-src --dport --orig-port-dst --reply-port-src --reply-port-dst --state --orig-vtag --reply-vtag' ;;
	sctp/announce) options+=' --sport --orig-port-src --dport --orig-port-dst --mask-port-src --mask-port-dst --tuple-port-src --tuple-port-dst --orig-vtag --reply-vtag' ;;
	dccp/) options+=' --sport --orig-port-src --dport --orig-port-dst --reply-port-src --reply-port-dst --mask-port-src --mask-port-dst --tuple-port-src --tuple-port-dst --state --role' ;;
	dccp/create) options+=' --sport --orig-port-src --dport --orig-port-dst --reply-port-src --reply-port-dst --state --role' ;;
	dccp/announce) options+=' --sport --orig-port-src --dport --orig-port-dst --mask-port-src --mask-port-dst --tuple-port-src --tuple-port-dst --role' ;;
	icmp/ | icmp/select | icmp/update | icmp/get | icmp/create) options+=' --icmp-type --icmp-code --icmp-id' ;;
	icmpv6/ | icmpv6/select | icmpv6/update | icmpv6/get | icmpv6/create) options+=' --icmpv6-type --icmpv6-code --icmpv6-id' ;;
	gre/ | gre/announce) options+=' --srckey --orig-key-src --dstkey --orig-key-dst --reply-key-src --reply-key-dst --mask-key-src --mask-key-dst --tuple-key-src --tuple-key-dst' ;;
	gre/select | gre/update | gre/get | gre/create | gre/lookup) options+=' --srckey --orig-key-src --dstkey --orig-key-dst --reply-key-src --reply-key-dst' ;;
	esac
	_conntrack_words "$options"
}
complete -F _conntrack conntrack
