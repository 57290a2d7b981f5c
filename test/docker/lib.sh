# lib.sh: containers without an engine, for test.sh. A container is an image's
# files, mounted by buildah, and processes in namespaces of their own: it sees its
# own network, processes and mounts, runs as the image's user with the image's
# variables and entrypoint, and has no capability. Each has a directory of its own in
# $work, with its log, its variables and its exit status.
#
# Processes are ended by their ids, each wait has an end.
# shellcheck shell=bash
# test.sh sets work and uses what is set here; apt-get expands its own variables
# shellcheck disable=SC2016,SC2034,SC2154

storage=(--root "$work/storage" --runroot "$work/runroot" --storage-driver vfs)
image=fast_ingest-test

die()
{
	echo "test/docker/test.sh: $*" >&2
	exit 1
}

# run_buildah COMMAND ARGUMENT...
run_buildah()
{
	TMPDIR=$work/tmp buildah "$1" "${storage[@]}" "${@:2}"
}

# run_bounded SECONDS COMMAND...: a signal to this script ends it, too
run_bounded()
{
	local result=0

	timeout -k 30 "$@" &
	bounded=$!
	wait "$bounded" || result=$?
	bounded=
	return "$result"
}

# wait_until SECONDS COMMAND...: until it succeeds
wait_until()
{
	local deadline=$((SECONDS + $1))

	until "${@:2}"; do
		[ "$SECONDS" -lt "$deadline" ] || return 1
		sleep 0.1
	done
}

# The machine's own sources of Debian's packages, and how it reaches them
write_apt()
{
	mkdir -p "$work/apt/none"
	apt-get indextargets --format 'deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $(REPO_URI) $(RELEASE) $(COMPONENT)' \
		'Created-By: Packages' 'Origin: Debian' | sort -u >"$work/apt/sources.list"
	[ -s "$work/apt/sources.list" ] || die "apt has no source of Debian's packages: apt-get update"
	apt-config dump | grep -E '^Acquire::(Check-Valid-Until|Check-Date|Retries|http|https|ForceIPv[46]) *|^Acquire::(http|https)::' \
		>"$work/apt/apt.conf" || true
}

# build_base CODENAME: what debian:CODENAME-slim is, of the machine's mirror, and
# without the same directories
build_base()
{
	local mirror container

	mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' "Codename: $1" 'Component: main' | head -n 1)
	[ -n "$mirror" ] || die "apt has no source of Debian $1"
	echo "# making a base of Debian $1 by debootstrap"
	run_bounded 900 debootstrap --variant=minbase "$1" "$work/base" "$mirror" >"$work/debootstrap.log" 2>&1 ||
		die "debootstrap failed: $(tail -n 5 "$work/debootstrap.log")"
	printf 'path-exclude /usr/share/%s/*\n' doc info locale man >"$work/base/etc/dpkg/dpkg.cfg.d/slim"
	rm -rf "$work"/base/usr/share/{doc,info,locale,man}/* "$work"/base/var/cache/apt/archives/*.deb
	container=$(run_buildah from scratch)
	run_buildah add --quiet "$container" "$work/base" / >/dev/null
	run_buildah commit --quiet "$container" "$base" >/dev/null
	run_buildah rm "$container" >/dev/null
	rm -rf "$work/base"
}

# build_image: the Dockerfile
build_image()
{
	echo "# building docker/Dockerfile on $base"
	run_bounded 1800 env TMPDIR="$work/tmp" buildah bud "${storage[@]}" --isolation chroot --format docker \
		--volume "$work/apt/sources.list:/etc/apt/sources.list:ro" \
		--volume "$work/apt/none:/etc/apt/sources.list.d:ro" \
		--volume "$work/apt/apt.conf:/etc/apt/apt.conf:ro" \
		--build-arg BASE="$base" --ignorefile .dockerignore --file docker/Dockerfile --tag "$image" . \
		>"$work/build.log" 2>&1 || die "the build failed: $(tail -n 30 "$work/build.log")"
}

# open_image: mount it, and read what Docker would of its configuration
open_image()
{
	config=$work/config.json
	run_buildah inspect --type image "$image" | jq .Docker.config >"$config"
	root=$(run_buildah mount "$(run_buildah from --pull-never "$image")")
	echo '127.0.0.1 localhost' >"$root/etc/hosts"
	IFS=: read -r user group <<<"$(jq -r .User "$config")"
	signal=$(jq -r .StopSignal "$config")
	mapfile -t entrypoint < <(jq -r '.Entrypoint[]' "$config")
	mapfile -t command < <(jq -r '.Cmd[]' "$config")
}

# create NAME VOLUME [VARIABLE=VALUE...]
create()
{
	mkdir -p "$work/$1"
	ln -sfn "$2" "$work/$1/volume"
	jq -r '.Env[]' "$config" >"$work/$1/variables"
	[ $# = 2 ] || printf '%s\n' "${@:3}" >>"$work/$1/variables"
	# Docker gives a volume the owner of the image's directory
	[ -d "$2" ] || install -d -o "$user" -g "$group" "$2"
}

# start NAME [ARGUMENT...]: instead of the image's command
start()
{
	local name=$1 directory=$work/$1

	shift
	[ $# -gt 0 ] || set -- "${command[@]}"
	unshare --mount --pid --net --ipc --uts --fork test/docker/enter.sh "$root" \
		"$(readlink "$directory/volume")" "$user" "$group" "$directory/variables" "${entrypoint[@]}" "$@" \
		>"$directory/log" 2>&1 </dev/null &
	unshared["$name"]=$!
	wait_until 30 find_process "$name" || die "container $name did not start: $(<"$directory/log")"
}

# find_process NAME: sets process[NAME] to its process 1, seen from outside, and not to
# what unshare starts besides. One that has ended is no error here.
find_process()
{
	local child

	process["$1"]=
	for child in $(pgrep -P "${unshared[$1]}" || true); do
		if grep -qsE $'^NSpid:.*\t1$' "/proc/$child/status"; then
			process["$1"]=$child
		fi
	done
	[ -n "${process[$1]}" ] || ! running "$1"
}

running()
{
	local state

	state=$(ps -o stat= -p "${unshared[$1]:-none}" 2>/dev/null) && [[ $state != Z* ]]
}

stopped()
{
	! running "$1"
}

# finish NAME SECONDS: sets status to its exit status, or to "running" and kills it
# after that time. The status of a killed one is unshare's.
finish()
{
	local result=0

	status=
	if ! wait_until "$2" stopped "$1"; then
		status=running
		send "$1" KILL
	fi
	wait "${unshared[$1]}" || result=$?
	status=${status:-$result}
	unset "unshared[$1]"
}

# send NAME SIGNAL: to its process 1, with which all others of it end
send()
{
	kill -s "$2" "${process[$1]}"
}

# inside NAME COMMAND...: docker exec
inside()
{
	local variables

	mapfile -t variables <"$work/$1/variables"
	timeout 60 nsenter --target "${process[$1]}" --mount --uts --ipc --net --pid --root --wdns=/ \
		--setuid "$user" --setgid "$group" env -i "${variables[@]}" "${@:2}"
}

# beside NAME COMMAND...: a program of this machine, in its network
beside()
{
	timeout 60 nsenter --target "${process[$1]}" --net "${@:2}"
}

remove_all()
{
	local name

	if [ -n "${bounded:-}" ] && kill "$bounded" 2>/dev/null; then
		wait "$bounded" || true
	fi
	for name in "${!unshared[@]}"; do
		kill -s KILL "${process[$name]:-${unshared[$name]}}" 2>/dev/null || true
		wait "${unshared[$name]}" 2>/dev/null || true
	done
	run_buildah umount --all >/dev/null 2>&1 || true
	run_buildah rm --all >/dev/null 2>&1 || true
	if grep -qF " $work/" /proc/self/mounts; then
		echo "test/docker/test.sh: something is still mounted in $work: it stays" >&2
	else
		rm -rf "$work"
	fi
}
