#!/usr/bin/env bash
#
# enter.sh ROOT VOLUME USER GROUP VARIABLES COMMAND...: be process 1 of a container:
# unshare has given it namespaces of its own. The image in ROOT is read-only, VOLUME
# is its /var/lib/postgresql, VARIABLES is a file of its environment. All mounts are
# gone with the last process.

set -eu
root=$1 volume=$2 user=$3 group=$4
mapfile -t variables <"$5"

ip link set lo up
ip address add 192.0.2.1/32 dev lo

mount --bind "$root" "$root"
mount -o remount,bind,ro "$root"
mount --bind "$volume" "$root/var/lib/postgresql"
mount -t proc proc "$root/proc"
mount -t tmpfs -o mode=1777 tmp "$root/tmp"
mount -t tmpfs -o "uid=$user,gid=$group,mode=755" run "$root/run/postgresql"
mount -t tmpfs -o mode=755 dev "$root/dev"
for device in null zero full random urandom tty; do
	touch "$root/dev/$device"
	mount --bind "/dev/$device" "$root/dev/$device"
done
mkdir -m 1777 "$root/dev/shm"
mount -t tmpfs -o size=64m,mode=1777 shm "$root/dev/shm"
ln -s /proc/self/fd "$root/dev/fd"
mount -o remount,ro "$root/dev"

exec env --default-signal=INT,TERM,QUIT chroot "$root" \
	setpriv --reuid="$user" --regid="$group" --clear-groups --no-new-privs --bounding-set=-all \
	env -i "${variables[@]}" "${@:6}"
