#!/bin/sh
# Tells conntrackd what has become of this firewall. keepalived calls it:
#
#     vrrp_sync_group firewall {
#         group { inside outside }
#         notify /etc/conntrackd/primary-backup.sh
#     }
#
# which gives it three words or more, the third of which is MASTER, BACKUP, FAULT or STOP. Other programs, and
# people, say it in one: primary, backup or fault.
#
# CONNTRACKD and CONNTRACKD_CONF name the program and its configuration if they are elsewhere.
# What fails goes to syslog and changes the exit status; the steps behind it are taken all the same.

program=${CONNTRACKD:-conntrackd}
config=${CONNTRACKD_CONF:-/etc/conntrackd/conntrackd.conf}
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
status=0

say() { # priority text...
	priority=$1
	shift
	logger -t conntrackd-failover -p "daemon.$priority" -- "$*" 2>/dev/null || echo "$*" >&2
}

ask() { # request
	"$program" -C "$config" "$@" >/dev/null && return
	status=1
	say err "conntrackd $* has failed"
}

alive() { "$program" -C "$config" -s >/dev/null 2>&1; }

# A daemon that was killed has left its lock file behind, which keeps the next one from starting.
revive() {
	say warning "conntrackd does not answer, starting it"
	if [ -d /run/systemd/system ] && systemctl -q is-enabled conntrackd.service 2>/dev/null; then
		systemctl restart conntrackd.service || status=1
	else
		lock=$(sed -n 's/^[[:space:]]*LockFile[[:space:]]\{1,\}\([^[:space:]]*\).*/\1/p' "$config" | tail -n 1)
		rm -f "${lock:-/var/lock/conntrackd.lock}"
		"$program" -C "$config" -d || status=1
	fi
	for _ in 1 2 3 4 5 6 7 8 9 10; do
		alive && return
		sleep 0.2
	done
	status=1
	say err "conntrackd does not start"
}

# This firewall now forwards. The states that the other one has told of go into the kernel, and from there come
# back as this one's own, which everybody is told of.
primary() {
	ask -c
	ask -f
	ask -R
	ask -B
}

# The other firewall forwards. What this kernel still has is out of date: it goes after a while, in which
# this one may become primary again. The daemon gets what the other one has.
backup() {
	alive || revive
	ask -t
	ask -n
}

# This firewall cannot forward.
fault() {
	ask -t
}

case $# in
1) state=$1 ;;
*) state=${3:-} ;;
esac
case $state in
primary | MASTER)
	say notice "this firewall is primary"
	primary
	;;
backup | BACKUP)
	say notice "this firewall is backup"
	backup
	;;
fault | FAULT | STOP)
	say notice "this firewall is out of service"
	fault
	;;
*)
	echo "usage: $0 primary|backup|fault" >&2
	exit 2
	;;
esac
exit $status
