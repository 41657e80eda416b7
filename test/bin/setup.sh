# shellcheck shell=bash disable=SC2034,SC2174
# Read by run-tests, demo and dev-cluster: which PostgreSQL, as which user,
# missing packages, a build in a copy, throw-away servers.

set -u
umask 022
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

# Nothing of the caller's connection or of an outer make may leak into ours.
# What the caller asked of make arrives by name in the environment.
unset MAKEFLAGS MFLAGS MAKELEVEL MAKEOVERRIDES
for variable in $(compgen -v PG); do
	[ "$variable" = PG_CONFIG ] || unset "$variable"
done
export LC_ALL=C.UTF-8

say() { printf '== %s\n' "$*"; }
die() { printf 'leadscore: %s\n' "$*" >&2; exit 1; }

# --- users ------------------------------------------------------------------

is_root() { [ "$(id -u)" = 0 ]; }

as_root() {
	if is_root; then "$@"; else sudo "$@"; fi
}

# initdb and the server refuse root: root hands over to postgres.
as_server_user() {
	if is_root; then
		runuser -u postgres -- env HOME=/nonexistent "$@"
	else
		"$@"
	fi
}

# --- packages (Debian, Ubuntu) ----------------------------------------------

installed() {
	case $(dpkg-query -W -f '${db:Status-Abbrev}' "$1" 2>/dev/null) in
		?i*) return 0 ;;
		*) return 1 ;;
	esac
}

apt_updated=
apt_get() {
	as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 "$@" </dev/null
}
apt_update() {
	[ -z "$apt_updated" ] || return 0
	say "apt-get update"
	apt_get update || die "apt-get update failed"
	apt_updated=yes
}

# A file of the system is moved aside while packages are installed, ours stands
# in its place, and put_back restores it, or its absence.
aside_suffix=.before-leadscore
moved=()
added=()
exists() { [ -e "$1" ] || [ -L "$1" ]; }
stand_in() {
	local file=$1 mode=$2
	as_root mkdir -p "$(dirname "$file")"
	if exists "$file$aside_suffix"; then
		moved+=("$file")        # a run that was killed left it
	elif exists "$file"; then
		moved+=("$file")
		as_root mv "$file" "$file$aside_suffix"
	else
		added+=("$file")
	fi
	as_root tee "$file" >/dev/null && as_root chmod "$mode" "$file"
}
put_back() {
	local file
	for file in ${moved[@]+"${moved[@]}"}; do
		if exists "$file$aside_suffix"; then as_root mv "$file$aside_suffix" "$file"; fi
	done
	for file in ${added[@]+"${added[@]}"}; do
		as_root rm -f "$file"
	done
	moved=()
	added=()
}

# install_packages NAME...: what is missing of them.  The server's package makes
# a cluster, and starts and stops those that are there: it is kept from both.
# LEADSCORE_PACKAGES=installed: what there is has to do (on-version).
install_packages() {
	local missing=() package running
	[ "${LEADSCORE_PACKAGES:-}" != installed ] || return 0
	for package; do
		installed "$package" || missing+=("$package")
	done
	[ ${#missing[@]} -gt 0 ] || return 0

	apt_update
	say "installing packages: ${missing[*]}"
	running=$(pg_lsclusters -h 2>/dev/null | awk '$4 ~ /^online/ { print $1 }' | sort -u)
	for package in $running; do
		if apt_get -s install --no-install-recommends "${missing[@]}" | grep -q "^Inst postgresql-$package "; then
			die "this would upgrade postgresql-$package under a running cluster; do that first: apt-get install postgresql-$package"
		fi
	done

	stand_in /usr/sbin/policy-rc.d 755 <<-'POLICY'
		#!/bin/sh
		# while leadscore's make test installs packages
		exit 101
	POLICY
	if ! installed postgresql-common; then
		apt_get install --no-install-recommends postgresql-common >/dev/null || die "apt-get install failed"
	fi
	stand_in /etc/postgresql-common/createcluster.conf 644 <<-'CONF'
		# while leadscore's make test installs packages
		create_main_cluster = false
	CONF
	apt_get install --no-install-recommends "${missing[@]}" >/dev/null || die "apt-get install failed"
	put_back
}

# --- other releases of Debian ------------------------------------------------

# suite_of MAJOR: the suite of Debian that has it.
suite_of() {
	case $1 in
		15) echo bookworm ;;
		17) echo trixie ;;
		18) echo forky ;;
		19) echo experimental ;;
		*) return 1 ;;
	esac
}

# The mirror from which apt has this distribution, or from which it has another
# release of Debian.
mirror() {
	if [ -n "${LEADSCORE_MIRROR:-}" ]; then
		printf '%s\n' "$LEADSCORE_MIRROR"
		return
	fi
	apt-get indextargets --format '$(RELEASE) $(REPO_URI)' 'Created-By: Packages' 2>/dev/null |
		awk '$1 ~ /^(bullseye|bookworm|trixie|forky|sid|(old)*stable|testing|unstable)$/ { print $2; exit }'
}

# What apt was told here about the way to a mirror, for apt in the chroot.
apt_options() {
	printf '%s\n' 'Acquire::Check-Valid-Until "false";' 'Acquire::Languages "none";' 'APT::Install-Recommends "false";'
	apt-config dump | grep -iE '^Acquire::(https?|ftp)::(Proxy|Verify|CAInfo)[^ ]* ".+";'
	if apt-config dump | grep -iq '^Acquire::Check-Date "\(false\|0\|no\)"'; then
		echo 'Acquire::Check-Date "false";'
	fi
}

# --- PostgreSQL -------------------------------------------------------------

# use_postgresql [packages...]: sets PG_CONFIG and bindir, installing what is
# missing.  In a package's name, MAJOR stands for the version.
use_postgresql() {
	local major='' bindir_found
	if [ -n "${PG_CONFIG:-}" ] && [ "$PG_CONFIG" != pg_config ]; then
		bindir_found=$("$PG_CONFIG" --bindir 2>/dev/null) || bindir_found=$(dirname "$PG_CONFIG")
	else
		PG_CONFIG=
		bindir_found=$(pg_config --bindir 2>/dev/null) ||
			bindir_found=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1)
	fi

	if ! command -v apt-get >/dev/null; then
		say "no apt-get here: using what is installed"
	else
		case $bindir_found in
			/usr/lib/postgresql/*/bin)
				major=$(basename "$(dirname "$bindir_found")") ;;
			'')
				major=$(distribution_major)
				if [ -z "$major" ]; then
					apt_update
					major=$(distribution_major)
				fi
				[ -n "$major" ] || die "apt knows no postgresql package" ;;
		esac
		if [ -n "$major" ]; then
			bindir_found=/usr/lib/postgresql/$major/bin
			install_packages "${@//MAJOR/$major}"
		else
			# a PostgreSQL that is not Debian's: only the tools around it
			local tools=() package
			for package; do
				case $package in *MAJOR*) ;; *) tools+=("$package") ;; esac
			done
			install_packages "${tools[@]}"
		fi
	fi

	[ -n "$PG_CONFIG" ] || PG_CONFIG=$bindir_found/pg_config
	bindir=$("$PG_CONFIG" --bindir) || die "$PG_CONFIG does not run"
	export PG_CONFIG
}
distribution_major() {
	apt-cache depends postgresql 2>/dev/null | sed -n 's/.*Depends: postgresql-\([0-9][0-9]*\)$/\1/p' | head -n 1
}

build_packages=(make gcc libc6-dev postgresql-MAJOR postgresql-server-dev-MAJOR)
test_packages=(perl libipc-run-perl libcmocka-dev valgrind postgresql-MAJOR-pgtap libtap-parser-sourcehandler-pgtap-perl)

# --- a build in a copy ------------------------------------------------------

work=
make_work() {
	work=$(mktemp -d "/tmp/leadscore-$1.XXXXXX") || exit 1
	if is_root; then chown postgres: "$work"; fi
}

# Whatever happens, the system's files are put back, servers that a test left
# running in the work directory are stopped, and the directory is removed.
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
clean_up() {
	local pidfile
	put_back
	[ -n "$work" ] || return 0
	cd /
	while IFS= read -r pidfile; do
		as_server_user "$bindir/pg_ctl" -D "$(dirname "$pidfile")" -m immediate stop >/dev/null 2>&1
	done < <(find "$work" -name postmaster.pid)
	if [ -n "${KEEP:-}" ]; then
		say "kept: $work"
	else
		rm -rf "$work"
	fi
}

in_copy() {
	as_server_user env -C "$work/leadscore" TMPDIR="$work" "$@"
}

build_and_install() {
	local user
	user=$(as_server_user id -un)
	say "building in $work/leadscore as $user ($("$PG_CONFIG" --version))"
	as_server_user mkdir "$work/leadscore"
	tar -C "$top" -cf - --exclude=./.git --exclude='*.o' --exclude='*.d' --exclude='*.so' --exclude='*.bc' \
		--exclude='./tmp_check*' --exclude=./output_iso --exclude=./results --exclude=./log . |
		as_server_user tar -C "$work/leadscore" --no-same-owner -xf - || die "copying failed"
	in_copy make -s -j2 PG_CONFIG="$PG_CONFIG" "$@" </dev/null || die "the build failed"

	say "installing into $("$PG_CONFIG" --pkglibdir) and $("$PG_CONFIG" --sharedir)/extension"
	if [ -w "$("$PG_CONFIG" --pkglibdir)" ] && [ -w "$("$PG_CONFIG" --sharedir)/extension" ]; then
		make -s -C "$work/leadscore" PG_CONFIG="$PG_CONFIG" install "$@" </dev/null
	else
		as_root make -s -C "$work/leadscore" PG_CONFIG="$PG_CONFIG" install "$@" </dev/null
	fi || die "the installation failed"
}

# --- throw-away servers -----------------------------------------------------

# start_cluster DIR [name=value...]: a server on a socket in DIR, for its user only.
start_cluster() {
	local dir=$1
	shift
	[ ${#dir} -lt 90 ] || die "too long a path for a socket: $dir"
	mkdir -p -m 700 "$dir" || return 1
	if is_root; then chown postgres: "$dir"; fi
	cd /
	if [ ! -d "$dir/data" ]; then
		as_server_user "$bindir/initdb" -D "$dir/data" -U postgres -A trust -E UTF8 --locale=C -N >"$dir/initdb.log" 2>&1 ||
			{ cat "$dir/initdb.log"; die "initdb failed"; }
		echo "include 'leadscore.conf'" | as_server_user tee -a "$dir/data/postgresql.conf" >/dev/null
	fi
	{
		printf "listen_addresses = ''\nunix_socket_directories = '%s'\nport = 5432\nfsync = off\n" "$dir"
		cat "$top/test/regress.conf"
		[ $# -eq 0 ] || printf '%s\n' "$@"
	} | as_server_user tee "$dir/data/leadscore.conf" >/dev/null
	as_server_user "$bindir/pg_ctl" -D "$dir/data" -l "$dir/server.log" -w start >/dev/null ||
		{ cat "$dir/server.log"; die "the server did not start"; }
}

stop_cluster() {
	(cd / && as_server_user "$bindir/pg_ctl" -D "$1/data" -m fast -w stop >/dev/null)
}
