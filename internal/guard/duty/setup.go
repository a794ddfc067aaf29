package duty

import "strconv"

const tableName = "spoor_guard"

// setSize is how many addresses a set holds.
const setSize = 65536

// Setup is the ruleset that blocking needs, for nft(8). Loading it again leaves blocked addresses and counters as they are. It knows nothing but its own table.
func Setup() string {
	size := strconv.Itoa(setSize)
	return `# What spoor guard needs in order to block: two sets of addresses, and a chain that
# drops the packets of those in them, before connection tracking sees them.
#
#   load it:        spoor guard setup | nft -f -
#   look at it:     nft list table inet spoor_guard
#   remove it:      nft delete table inet spoor_guard
#
# Other tables are not touched. Loaded once more, it leaves blocked addresses and counters
# as they are. The chain is written anew: rules of your own belong in a chain of your own.

add table inet spoor_guard

add set inet spoor_guard blocked4 { type ipv4_addr; flags timeout; size ` + size + `; }
add set inet spoor_guard blocked6 { type ipv6_addr; flags timeout; size ` + size + `; }

add counter inet spoor_guard dropped4
add counter inet spoor_guard dropped6

add chain inet spoor_guard drop_blocked { type filter hook prerouting priority -310; policy accept; }
flush chain inet spoor_guard drop_blocked
add rule inet spoor_guard drop_blocked ip saddr @blocked4 counter name "dropped4" drop
add rule inet spoor_guard drop_blocked ip6 saddr @blocked6 counter name "dropped6" drop
`
}
