# Completion of conntrack(8) for fish. Made by make generate: do not edit.

# __conntrack_value prints what is being typed, without the option it is attached to.
function __conntrack_value
    string replace -r '^--[^=]*=' '' -- (commandline -ct)
end

# __conntrack_list WORD... prints words for the last place of a comma list.
function __conntrack_list
    set -l before (string replace -r '[^,!]*$' '' -- (__conntrack_value))
    for word in $argv
        echo $before$word
    end
end

function __conntrack_labels
    set -l map (__conntrack_option --labelmap)
    test -n "$map"; or set map /etc/xtables/connlabel.conf
    test -r "$map"; and __conntrack_list (string replace -rf '^[0-9]+\s+([A-Za-z0-9-]+)\s*$' '$1' <$map)
end

function __conntrack_namespaces
    for file in /run/netns/*
        string replace -r '.*/' '' -- $file
    end
end

# __conntrack_option NAME... prints the value that an option was given.
function __conntrack_option
    set -l words (commandline -opc)
    for i in (seq (count $words))
        if contains -- $words[$i] $argv
            echo $words[(math $i + 1)]
        end
    end 2>/dev/null | tail -n 1
end

# __conntrack_after WORD... is true if the last word is one of them.
function __conntrack_after
    set -l words (commandline -opc)
    contains -- $words[-1] $argv
end

# __conntrack_proto PROTO... is true if -p named one of them.
function __conntrack_proto
    set -l proto (string lower -- (__conntrack_option -p --protonum))
    contains -- "$proto" $argv
end

# __conntrack_with USAGE... is true if the command and its table are one of them.
function __conntrack_with
    contains -- (__conntrack_usage) $argv
end

# __conntrack_usage prints the command and its table, or none.
function __conntrack_usage
    set -l words (commandline -opc)
    for i in (seq (count $words))
        set -l next $words[(math $i + 1)]
        set -l command
        set -l tables
        switch $words[$i]
            case -L --dump
                set command dump
                set tables conntrack expect dying unconfirmed
            case -I --create
                set command create
                set tables conntrack expect
            case -D --delete
                set command delete
                set tables conntrack expect
            case -U --update
                set command update
                set tables conntrack
            case -G --get
                set command get
                set tables conntrack expect
            case -F --flush
                set command flush
                set tables conntrack expect
            case -E --event
                set command event
                set tables conntrack expect
            case -C --counter
                set command counter
                set tables conntrack expect
            case -S --stats
                set command stats
                set tables conntrack expect
            case -A --add
                set command add
                set tables conntrack
            case -V --version
                set command version
                set tables 
            case -h --help
                set command help
                set tables 
        end
        if test -n "$command"
            set -l table conntrack
            for word in $tables
                test -n "$next"; and string match -q -- "$next*" $word; and set table $word
            end
            echo $command/$table
            return
        end
    end 2>/dev/null
    echo none
end

complete -c conntrack -f

complete -c conntrack -n '__conntrack_with none' -s L -l dump -d 'list the table'
complete -c conntrack -n '__conntrack_with none' -s I -l create -d 'create an entry'
complete -c conntrack -n '__conntrack_with none' -s D -l delete -d 'delete the entries that match'
complete -c conntrack -n '__conntrack_with none' -s U -l update -d 'change the entries that match'
complete -c conntrack -n '__conntrack_with none' -s G -l get -d 'look an entry up'
complete -c conntrack -n '__conntrack_with none' -s F -l flush -d 'empty the table'
complete -c conntrack -n '__conntrack_with none' -s E -l event -d 'show changes as they happen'
complete -c conntrack -n '__conntrack_with none' -s C -l counter -d 'count the entries'
complete -c conntrack -n '__conntrack_with none' -s S -l stats -d 'show the tracker'\''s statistics'
complete -c conntrack -n '__conntrack_with none' -s A -l add -d 'create an entry, or change it if it exists'
complete -c conntrack -n '__conntrack_with none' -s V -l version -d 'show the version'
complete -c conntrack -n '__conntrack_with none' -s h -l help -d 'show this help, and with -p the options of a protocol'
complete -c conntrack -n '__conntrack_with none' -s R -l load-file -r -F -d 'carry out the commands of a file, - for stdin; must be the first argument'
complete -c conntrack -n '__conntrack_after -L --dump' -a 'conntrack expect dying unconfirmed'
complete -c conntrack -n '__conntrack_after -I --create -D --delete -G --get -F --flush -E --event -C --counter -S --stats' -a 'conntrack expect'
complete -c conntrack -n '__conntrack_after -U --update -A --add' -a 'conntrack'

complete -c conntrack -n '__conntrack_with none dump/conntrack dump/dying dump/unconfirmed create/conntrack create/expect delete/conntrack delete/expect update/conntrack get/conntrack get/expect event/conntrack add/conntrack' -s s -l src -l orig-src -x -d 'source address of the original direction'
complete -c conntrack -n '__conntrack_with none dump/conntrack dump/dying dump/unconfirmed create/conntrack create/expect delete/conntrack delete/expect update/conntrack get/conntrack get/expect event/conntrack add/conntrack' -s d -l dst -l orig-dst -x -d 'destination address of the original direction'
complete -c conntrack -n '__conntrack_with none dump/conntrack dump/dying dump/unconfirmed create/conntrack create/expect delete/conntrack delete/expect update/conntrack get/conntrack get/expect event/conntrack add/conntrack' -s r -l reply-src -x -d 'source address of the reply direction'
complete -c conntrack -n '__conntrack_with none dump/conntrack dump/dying dump/unconfirmed create/conntrack create/expect delete/conntrack delete/expect update/conntrack get/conntrack get/expect event/conntrack add/conntrack' -s q -l reply-dst -x -d 'destination address of the reply direction'
complete -c conntrack -n '__conntrack_with none dump/conntrack dump/dying dump/unconfirmed create/conntrack create/expect delete/conntrack delete/expect update/conntrack get/conntrack get/expect event/conntrack add/conntrack help/conntrack help/expect' -s p -l protonum -x -a 'tcp udp udplite sctp dccp icmp icmpv6 gre' -d 'layer 4 protocol, by name or number; opens the protocol'\''s own options'
complete -c conntrack -n '__conntrack_with none create/conntrack create/expect delete/conntrack update/conntrack add/conntrack' -s t -l timeout -x -d 'timeout of the entry'
complete -c conntrack -n '__conntrack_with none dump/conntrack dump/dying dump/unconfirmed create/conntrack create/expect delete/conntrack update/conntrack add/conntrack' -s u -l status -x -a '(__conntrack_list ASSURED SEEN_REPLY UNSET FIXED_TIMEOUT EXPECTED OFFLOAD HW_OFFLOAD UNREPLIED)' -d 'status bits'
complete -c conntrack -n '__conntrack_with none dump/conntrack dump/dying dump/unconfirmed' -s z -l zero -d 'set counters to zero while listing them'
complete -c conntrack -n '__conntrack_with none event/conntrack' -s e -l event-mask -x -a '(__conntrack_list ALL NEW UPDATES DESTROY)' -d 'events to show'
complete -c conntrack -n '__conntrack_with none create/expect' -l tuple-src -x -d 'source address of the expected connection'
complete -c conntrack -n '__conntrack_with none create/expect' -l tuple-dst -x -d 'destination address of the expected connection'
complete -c conntrack -n '__conntrack_with none dump/conntrack dump/dying dump/unconfirmed create/expect delete/conntrack update/conntrack event/conntrack' -l mask-src -x -d 'bits of the source address that count'
complete -c conntrack -n '__conntrack_with none dump/conntrack dump/dying dump/unconfirmed create/expect delete/conntrack update/conntrack event/conntrack' -l mask-dst -x -d 'bits of the destination address that count'
complete -c conntrack -n '__conntrack_with none dump/conntrack dump/dying dump/unconfirmed create/conntrack delete/conntrack update/conntrack event/conntrack add/conntrack' -s m -l mark -x -d 'connection mark'
complete -c conntrack -n '__conntrack_with none delete/conntrack update/conntrack get/conntrack' -s i -l id -x -d 'identifier of the entry, as -o id shows it'
complete -c conntrack -n '__conntrack_with none dump/conntrack dump/expect dump/dying dump/unconfirmed delete/conntrack update/conntrack flush/conntrack event/conntrack' -s f -l family -x -a 'ipv4 ipv6' -d 'layer 3 protocol family'
complete -c conntrack -n '__conntrack_with none dump/conntrack dump/dying dump/unconfirmed create/conntrack delete/conntrack update/conntrack event/conntrack add/conntrack' -s n -l src-nat -d 'source translation, into that address if one follows'
complete -c conntrack -n '__conntrack_with none dump/conntrack dump/dying dump/unconfirmed create/conntrack delete/conntrack update/conntrack event/conntrack add/conntrack' -s g -l dst-nat -d 'destination translation, into that address if one follows'
complete -c conntrack -n '__conntrack_with none dump/conntrack dump/expect dump/dying dump/unconfirmed delete/conntrack update/conntrack get/conntrack event/conntrack event/expect counter/conntrack counter/expect stats/conntrack stats/expect' -s o -l output -x -a '(__conntrack_list xml extended timestamp id ktimestamp labels userspace save json jsonl csv)' -d 'output'
complete -c conntrack -n '__conntrack_with none dump/conntrack dump/dying dump/unconfirmed event/conntrack' -s c -l secmark -x -d 'security mark'
complete -c conntrack -n '__conntrack_with none event/conntrack' -s b -l buffer-size -x -d 'size of the kernel'\''s event queue to begin with'
complete -c conntrack -n '__conntrack_with none dump/conntrack dump/dying dump/unconfirmed event/conntrack' -s j -l any-nat -d 'source or destination translation'
complete -c conntrack -n '__conntrack_with none dump/conntrack dump/dying dump/unconfirmed create/conntrack delete/conntrack event/conntrack add/conntrack' -s w -l zone -x -d 'conntrack zone of both directions'
complete -c conntrack -n '__conntrack_with none dump/conntrack dump/dying dump/unconfirmed delete/conntrack update/conntrack get/conntrack event/conntrack' -s l -l label -x -a '(__conntrack_labels)' -d 'labels that the entry has'
complete -c conntrack -n '__conntrack_with none create/conntrack update/conntrack add/conntrack' -l label-add -x -a '(__conntrack_labels)' -d 'labels to add'
complete -c conntrack -n '__conntrack_with none update/conntrack' -l label-del -d 'labels to remove; all if none follows'
complete -c conntrack -n '__conntrack_with none dump/conntrack dump/dying dump/unconfirmed create/conntrack delete/conntrack event/conntrack add/conntrack' -l orig-zone -x -d 'zone of the original direction alone'
complete -c conntrack -n '__conntrack_with none dump/conntrack dump/dying dump/unconfirmed create/conntrack delete/conntrack event/conntrack add/conntrack' -l reply-zone -x -d 'zone of the reply direction alone'
complete -c conntrack -n '__conntrack_with none dump/conntrack dump/dying dump/unconfirmed delete/conntrack update/conntrack event/conntrack' -l labelmap -r -F -d 'names of labels; /etc/xtables/connlabel.conf if not given'
complete -c conntrack -n '__conntrack_with none dump/conntrack dump/expect dump/dying dump/unconfirmed create/conntrack create/expect delete/conntrack delete/expect update/conntrack get/conntrack get/expect flush/conntrack flush/expect event/conntrack event/expect counter/conntrack counter/expect stats/conntrack stats/expect add/conntrack version/conntrack version/expect help/conntrack help/expect' -l netns -x -a '(__conntrack_namespaces)' -d 'work in another network namespace'
complete -c conntrack -n '__conntrack_with none delete/conntrack update/conntrack' -l dry-run -d 'show the entries that would be hit and leave them alone'
complete -c conntrack -n '__conntrack_with none event/conntrack' -l with-table -d 'show the table as it is, then the events since'
complete -c conntrack -n '__conntrack_with none event/conntrack event/expect' -l exit-on-loss -d 'stop with an error when events were lost, instead of going on'
complete -c conntrack -n '__conntrack_with none dump/conntrack dump/dying dump/unconfirmed delete/conntrack' -l verbose -d 'with -L and -D'

complete -c conntrack -n '__conntrack_after --label-del' -a '(__conntrack_labels)'

complete -c conntrack -n '__conntrack_proto tcp udp udplite sctp dccp; and __conntrack_with none dump/conntrack dump/dying dump/unconfirmed create/conntrack create/expect delete/conntrack delete/expect update/conntrack get/conntrack get/expect event/conntrack add/conntrack' -l sport -l orig-port-src -x -d 'original source port'
complete -c conntrack -n '__conntrack_proto tcp udp udplite sctp dccp; and __conntrack_with none dump/conntrack dump/dying dump/unconfirmed create/conntrack create/expect delete/conntrack delete/expect update/conntrack get/conntrack get/expect event/conntrack add/conntrack' -l dport -l orig-port-dst -x -d 'original destination port'
complete -c conntrack -n '__conntrack_proto tcp udp udplite sctp dccp; and __conntrack_with none dump/conntrack dump/dying dump/unconfirmed create/conntrack delete/conntrack delete/expect update/conntrack get/conntrack get/expect event/conntrack add/conntrack' -l reply-port-src -x -d 'reply source port'
complete -c conntrack -n '__conntrack_proto tcp udp udplite sctp dccp; and __conntrack_with none dump/conntrack dump/dying dump/unconfirmed create/conntrack delete/conntrack delete/expect update/conntrack get/conntrack get/expect event/conntrack add/conntrack' -l reply-port-dst -x -d 'reply destination port'
complete -c conntrack -n '__conntrack_proto tcp udp udplite sctp dccp; and __conntrack_with none create/expect' -l mask-port-src -x -d 'mask of the expected source port'
complete -c conntrack -n '__conntrack_proto tcp udp udplite sctp dccp; and __conntrack_with none create/expect' -l mask-port-dst -x -d 'mask of the expected destination port'
complete -c conntrack -n '__conntrack_proto tcp udp udplite sctp dccp; and __conntrack_with none create/expect' -l tuple-port-src -x -d 'expected source port'
complete -c conntrack -n '__conntrack_proto tcp udp udplite sctp dccp; and __conntrack_with none create/expect' -l tuple-port-dst -x -d 'expected destination port'
complete -c conntrack -n '__conntrack_proto tcp; and __conntrack_with none dump/conntrack dump/dying dump/unconfirmed create/conntrack delete/conntrack update/conntrack get/conntrack event/conntrack add/conntrack' -l state -x -a 'NONE SYN_SENT SYN_RECV ESTABLISHED FIN_WAIT CLOSE_WAIT LAST_ACK TIME_WAIT CLOSE SYN_SENT2' -d 'state'
complete -c conntrack -n '__conntrack_proto sctp; and __conntrack_with none dump/conntrack dump/dying dump/unconfirmed create/conntrack delete/conntrack update/conntrack get/conntrack event/conntrack add/conntrack' -l state -x -a 'NONE CLOSED COOKIE_WAIT COOKIE_ECHOED ESTABLISHED SHUTDOWN_SENT SHUTDOWN_RECD SHUTDOWN_ACK_SENT' -d 'state'
complete -c conntrack -n '__conntrack_proto dccp; and __conntrack_with none dump/conntrack dump/dying dump/unconfirmed create/conntrack delete/conntrack update/conntrack get/conntrack event/conntrack add/conntrack' -l state -x -a 'NONE REQUEST RESPOND PARTOPEN OPEN CLOSEREQ CLOSING TIMEWAIT IGNORE INVALID' -d 'state'
complete -c conntrack -n '__conntrack_proto sctp; and __conntrack_with none create/conntrack create/expect update/conntrack get/conntrack add/conntrack' -l orig-vtag -x -d 'verification tag of the original direction'
complete -c conntrack -n '__conntrack_proto sctp; and __conntrack_with none create/conntrack create/expect update/conntrack get/conntrack add/conntrack' -l reply-vtag -x -d 'verification tag of the reply direction'
complete -c conntrack -n '__conntrack_proto dccp; and __conntrack_with none create/conntrack create/expect add/conntrack' -l role -x -a 'client server' -d 'role'
complete -c conntrack -n '__conntrack_proto icmp; and __conntrack_with none dump/conntrack dump/dying dump/unconfirmed create/conntrack delete/conntrack update/conntrack get/conntrack event/conntrack add/conntrack' -l icmp-type -x -d 'ICMP type'
complete -c conntrack -n '__conntrack_proto icmp; and __conntrack_with none dump/conntrack dump/dying dump/unconfirmed create/conntrack delete/conntrack update/conntrack get/conntrack event/conntrack add/conntrack' -l icmp-code -x -d 'ICMP code'
complete -c conntrack -n '__conntrack_proto icmp; and __conntrack_with none dump/conntrack dump/dying dump/unconfirmed create/conntrack delete/conntrack update/conntrack get/conntrack event/conntrack add/conntrack' -l icmp-id -x -d 'ICMP identifier'
complete -c conntrack -n '__conntrack_proto icmpv6; and __conntrack_with none dump/conntrack dump/dying dump/unconfirmed create/conntrack delete/conntrack update/conntrack get/conntrack event/conntrack add/conntrack' -l icmpv6-type -x -d 'ICMPv6 type'
complete -c conntrack -n '__conntrack_proto icmpv6; and __conntrack_with none dump/conntrack dump/dying dump/unconfirmed create/conntrack delete/conntrack update/conntrack get/conntrack event/conntrack add/conntrack' -l icmpv6-code -x -d 'ICMPv6 code'
complete -c conntrack -n '__conntrack_proto icmpv6; and __conntrack_with none dump/conntrack dump/dying dump/unconfirmed create/conntrack delete/conntrack update/conntrack get/conntrack event/conntrack add/conntrack' -l icmpv6-id -x -d 'ICMPv6 identifier'
complete -c conntrack -n '__conntrack_proto gre; and __conntrack_with none dump/conntrack dump/dying dump/unconfirmed create/conntrack create/expect delete/conntrack delete/expect update/conntrack get/conntrack get/expect event/conntrack add/conntrack' -l srckey -l orig-key-src -x -d 'original source key'
complete -c conntrack -n '__conntrack_proto gre; and __conntrack_with none dump/conntrack dump/dying dump/unconfirmed create/conntrack create/expect delete/conntrack delete/expect update/conntrack get/conntrack get/expect event/conntrack add/conntrack' -l dstkey -l orig-key-dst -x -d 'original destination key'
complete -c conntrack -n '__conntrack_proto gre; and __conntrack_with none dump/conntrack dump/dying dump/unconfirmed create/conntrack create/expect delete/conntrack delete/expect update/conntrack get/conntrack get/expect event/conntrack add/conntrack' -l reply-key-src -x -d 'reply source key'
complete -c conntrack -n '__conntrack_proto gre; and __conntrack_with none dump/conntrack dump/dying dump/unconfirmed create/conntrack create/expect delete/conntrack delete/expect update/conntrack get/conntrack get/expect event/conntrack add/conntrack' -l reply-key-dst -x -d 'reply destination key'
complete -c conntrack -n '__conntrack_proto gre; and __conntrack_with none create/expect' -l mask-key-src -x -d 'mask of the expected source key'
complete -c conntrack -n '__conntrack_proto gre; and __conntrack_with none create/expect' -l mask-key-dst -x -d 'mask of the expected destination key'
complete -c conntrack -n '__conntrack_proto gre; and __conntrack_with none create/expect' -l tuple-key-src -x -d 'expected source key'
complete -c conntrack -n '__conntrack_proto gre; and __conntrack_with none create/expect' -l tuple-key-dst -x -d 'expected destination key'
