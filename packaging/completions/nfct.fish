# Completion of nfct(8) for fish. Made by make generate: do not edit.

function __nfct_commands
    switch "$argv[1]"
        case 'timeout'
            string split ' ' -- 'list add delete get flush default-set default-get'
        case 'helper'
            string split ' ' -- 'list add delete get flush disable'
    end
end

function __nfct_states
    switch (string lower -- "$argv[1]")
        case 'tcp'
            string split ' ' -- 'syn_sent syn_recv established fin_wait close_wait last_ack time_wait close syn_sent2 retrans unacknowledged'
        case 'udp'
            string split ' ' -- 'unreplied replied'
        case 'udplite'
            string split ' ' -- 'unreplied replied'
        case 'icmp'
            string split ' ' -- 'timeout'
        case 'icmpv6'
            string split ' ' -- 'timeout'
        case 'gre'
            string split ' ' -- 'unreplied replied'
        case 'generic'
            string split ' ' -- 'timeout'
        case 'sctp'
            string split ' ' -- 'closed cookie_wait cookie_echoed established shutdown_sent shutdown_recd shutdown_ack_sent'
        case 'dccp'
            string split ' ' -- 'request respond partopen open closereq closing timewait'
    end
end

function __nfct_transports
    switch "$argv[1]"
        case 'amanda'
            string split ' ' -- 'udp'
        case 'dhcpv6'
            string split ' ' -- 'udp'
        case 'ftp'
            string split ' ' -- 'tcp'
        case 'mdns'
            string split ' ' -- 'udp'
        case 'rpc'
            string split ' ' -- 'tcp udp'
        case 'sane'
            string split ' ' -- 'tcp'
        case 'slp'
            string split ' ' -- 'udp'
        case 'ssdp'
            string split ' ' -- 'tcp udp'
        case 'tftp'
            string split ' ' -- 'udp'
        case 'tns'
            string split ' ' -- 'tcp'
        case '*'
            string split ' ' 'tcp udp'
    end
end

function __nfct_places
    switch "$argv[1]"
        case 'add timeout'
            string split ' ' -- '- f p s'
        case 'delete timeout'
            string split ' ' -- 'n'
        case 'get timeout'
            string split ' ' -- 'n o'
        case 'list timeout'
            string split ' ' -- 'o'
        case 'default-set timeout'
            string split ' ' -- 'f p s'
        case 'default-get timeout'
            string split ' ' -- 'f p o'
        case 'add helper'
            string split ' ' -- 'h f t'
        case 'disable helper'
            string split ' ' -- 'h f t'
        case 'delete helper'
            string split ' ' -- 'n f t'
        case 'get helper'
            string split ' ' -- 'n f t o'
        case 'list helper'
            string split ' ' -- 'o'
    end
end

# __nfct_first WORD LIST... prints the first of the list that the word begins.
function __nfct_first
    set -l length (string length -- "$argv[1]")
    for name in $argv[2..-1]
        if test (string sub -l $length -- $name) = "$argv[1]"
            echo $name
            return
        end
    end
end

# __nfct_offer prints what can stand in the place of the word that is being typed.
function __nfct_offer
    set -l line (commandline -opc)[2..-1]
    set -l current (commandline -ct)
    while string match -q -- '-*' "$line[1]"
        contains -- $line[1] -o --output; or return
        if test (count $line) -eq 1
            echo json
            return
        end
        set line $line[3..-1]
    end
    if test (count $line) -eq 0
        if string match -q -- '-*' "$current"
            string split ' ' -- '-o --output -h --help -V --version'
        else
            string split ' ' 'list add delete get flush disable default-set default-get timeout helper version'
        end
        return
    end
    set -l command (__nfct_first $line[1] list add delete get flush disable default-set default-get)
    if test (count $line) -eq 1
        if test -n "$command"
            string split ' ' 'timeout helper version'
        else
            __nfct_commands (__nfct_first $line[1] timeout helper version)
        end
        return
    end
    set -l subsystem $line[2]
    if test -z "$command"
        set command (__nfct_first $line[2] list add delete get flush disable default-set default-get)
        set subsystem $line[1]
    end
    set subsystem (__nfct_first $subsystem timeout helper version)
    set line $line[3..-1]
    set -l places (__nfct_places "$command $subsystem")
    set -l n (count $line)
    set -l last (count $places)
    test $last -gt 0; or return
    set -l place $places[(math $n + 1)]
    if test (math $n + 1) -ge $last; and test $places[$last] = s
        set place s
        test (math "($n + 1 - $last) % 2") -eq 0; or return
    end
    if test $n -gt 0; and test $places[$last] = o
        string match -q -- '-*' "$current"; and set place o
        test $line[$n] = -o; and set place json
    end
    switch "$place"
        case n
            nfct list $subsystem 2>/dev/null | string replace -rf '^\.(.*) = \{$|^\t\.name = (.*),$' '$1$2'
        case h
            string split ' ' 'amanda dhcpv6 ftp mdns rpc sane slp ssdp tftp tns'
        case f
            string split ' ' 'inet inet6'
        case p
            string split ' ' 'tcp udp udplite icmp icmpv6 gre generic sctp dccp'
        case t
            __nfct_transports $line[1]
        case s
            __nfct_states $line[(math $last - 1)]
        case o
            echo -- -o
        case json
            echo json
    end
end

complete -c nfct -f -a '(__nfct_offer)'
