# Completion of nfct(8) for bash. Made by make generate: do not edit.

_nfct_commands()
{
	case $1 in
	timeout) echo 'list add delete get flush default-set default-get' ;;
	helper) echo 'list add delete get flush disable' ;;
	esac
}

_nfct_states()
{
	case ${1,,} in
	tcp) echo 'syn_sent syn_recv established fin_wait close_wait last_ack time_wait close syn_sent2 retrans unacknowledged' ;;
	udp) echo 'unreplied replied' ;;
	udplite) echo 'unreplied replied' ;;
	icmp) echo 'timeout' ;;
	icmpv6) echo 'timeout' ;;
	gre) echo 'unreplied replied' ;;
	generic) echo 'timeout' ;;
	sctp) echo 'closed cookie_wait cookie_echoed established shutdown_sent shutdown_recd shutdown_ack_sent' ;;
	dccp) echo 'request respond partopen open closereq closing timewait' ;;
	esac
}

_nfct_transports()
{
	case $1 in
	amanda) echo 'udp' ;;
	dhcpv6) echo 'udp' ;;
	ftp) echo 'tcp' ;;
	mdns) echo 'udp' ;;
	rpc) echo 'tcp udp' ;;
	sane) echo 'tcp' ;;
	slp) echo 'udp' ;;
	ssdp) echo 'tcp udp' ;;
	tftp) echo 'udp' ;;
	tns) echo 'tcp' ;;
	*) echo 'tcp udp' ;;
	esac
}

_nfct_places()
{
	case $1 in
	add\ timeout) echo '- f p s' ;;
	delete\ timeout) echo 'n' ;;
	get\ timeout) echo 'n o' ;;
	list\ timeout) echo 'o' ;;
	default-set\ timeout) echo 'f p s' ;;
	default-get\ timeout) echo 'f p o' ;;
	add\ helper) echo 'h f t' ;;
	disable\ helper) echo 'h f t' ;;
	delete\ helper) echo 'n f t' ;;
	get\ helper) echo 'n f t o' ;;
	list\ helper) echo 'o' ;;
	esac
}

# _nfct_first WORD LIST... prints the first of the list that the word begins.
_nfct_first()
{
	local word=$1 name
	shift
	for name; do
		[[ $name == "$word"* ]] && echo "$name" && return
	done
}

# _nfct_names SUBSYSTEM prints the names of what there is.
_nfct_names()
{
	nfct list "$1" 2>/dev/null | sed -n 's/^\.\(.*\) = {$/\1/p; s/^\t\.name = \(.*\),$/\1/p'
}

_nfct()
{
	local cur=${COMP_WORDS[COMP_CWORD]} words=("${COMP_WORDS[@]:1:COMP_CWORD-1}") places offer='' command subsystem place
	local IFS=$' \t\n'
	while [[ ${words[0]} == -* ]]; do
		case ${words[0]} in
		-o | --output)
			if ((${#words[@]} == 1)); then
				mapfile -t COMPREPLY < <(compgen -W json -- "$cur")
				return
			fi
			words=("${words[@]:2}")
			;;
		*) return ;;
		esac
	done
	if ((${#words[@]} == 0)); then
		offer='list add delete get flush disable default-set default-get timeout helper version'
		[[ $cur == -* ]] && offer='-o --output -h --help -V --version'
	else
		command=$(_nfct_first "${words[0]}" list add delete get flush disable default-set default-get)
		if ((${#words[@]} == 1)); then
			if [[ $command ]]; then
				offer='timeout helper version'
			else
				offer=$(_nfct_commands "$(_nfct_first "${words[0]}" timeout helper version)")
			fi
		else
			subsystem=${words[1]}
			[[ $command ]] || command=$(_nfct_first "${words[1]}" list add delete get flush disable default-set default-get) subsystem=${words[0]}
			subsystem=$(_nfct_first "$subsystem" timeout helper version)
			words=("${words[@]:2}")
			read -ra places < <(_nfct_places "$command $subsystem")
			local n=${#words[@]} last=$((${#places[@]} - 1)) final='' prior=''
			((last >= 0)) && final=${places[last]}
			((n > 0)) && prior=${words[n-1]}
			place=${places[n]}
			if [[ $final == s ]] && ((n >= last)); then
				place=''
				(((n - last) % 2)) || place=s
			elif [[ $final == o && $prior == -o ]]; then
				place=json
			elif [[ $final == o && $prior && $cur == -* ]]; then
				place=o
			fi
			case $place in
			n) offer=$(_nfct_names "$subsystem") IFS=$'\n' ;;
			h) offer='amanda dhcpv6 ftp mdns rpc sane slp ssdp tftp tns' ;;
			f) offer='inet inet6' ;;
			p) offer='tcp udp udplite icmp icmpv6 gre generic sctp dccp' ;;
			t) offer=$(_nfct_transports "${words[0]}") ;;
			s) offer=$(_nfct_states "${words[last-1]}") ;;
			o) offer=-o ;;
			json) offer=json ;;
			esac
		fi
	fi
	mapfile -t COMPREPLY < <(compgen -W "$offer" -- "$cur")
}
complete -F _nfct nfct
