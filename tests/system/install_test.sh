#!/bin/sh
# What `make install` puts in place: do documents lead somewhere, and can a program be built with it?  Prints TAP.
set -u
cd "$(dirname "$0")/../.." || exit 1
build=${SLUICE_BUILD:-build}
work=$(mktemp -d) || exit 1
root=$work/root
docs=$root/usr/share/doc/sluice
number=0 gateway=
trap '[ -z "$gateway" ] || kill "$gateway"; rm -rf "$work"' EXIT
trap 'exit 1' INT TERM HUP

result() { # STATUS NAME
    number=$((number + 1))
    if [ "$1" -eq 0 ]; then echo "ok $number - $2"; else echo "not ok $number - $2"; fi
}

quietly() { # COMMAND...: its words are shown where it fails
    "$@" >"$work/words" 2>&1 || { sed 's/^/# /' "$work/words"; return 1; }
}

# Every link that is not of the web, against the folder of the page it stands on; a part of a page is its page.
links() {
    (cd "$docs" && find . -name '*.md' | while read -r page; do
        grep -oE '\]\([^)#]+' "$page" | cut -c 3- | grep -v '://' | while read -r to; do
            echo "$page $to"
        done
    done)
}

links_lead_somewhere() {
    links >"$work/links"
    [ -s "$work/links" ] || { echo "# no links were found"; return 1; }
    dead=$(cd "$docs" && while read -r page to; do
        [ -e "$(dirname "$page")/$to" ] || echo "# $page: $to is not installed"
    done <"$work/links")
    [ -z "$dead" ] || { echo "$dead"; return 1; }
}

# The index names a file in its first column, and in its fifth the one of frame 2, where there is one.
vectors_are_there() {
    grep -v '^#' "$docs/tests/vectors/index.tsv" | cut -f 1,5 | tr '\t' '\n' | grep '\.bin$' | sort -u >"$work/vectors"
    [ -s "$work/vectors" ] || { echo "# the index names no files"; return 1; }
    while read -r file; do
        [ -e "$docs/tests/vectors/$file" ] || { echo "# $file is not installed"; return 1; }
    done <"$work/vectors"
}

pkg() { # ARGUMENTS OF PKG-CONFIG
    PKG_CONFIG_SYSROOT_DIR=$root PKG_CONFIG_LIBDIR=$root/usr/lib/pkgconfig pkg-config "$@" sluice
}

# The README's example, as a reader would build it; without a gateway it says so.
example_builds() {
    sed -n '/^```c$/,/^```$/p' "$docs/README.md" | sed '1d;$d' >"$work/example.c"
    # shellcheck disable=SC2046
    quietly cc -std=c17 -Wall -Wextra -Werror $(pkg --cflags) -o "$work/example" "$work/example.c" $(pkg --libs) ||
        return 1
    SLUICE_ENDPOINT="ipc://$work/nobody" LD_LIBRARY_PATH=$root/usr/lib timeout 60 "$work/example" >"$work/words" 2>&1
    status=$?
    [ "$status" -eq 1 ] && grep -q nobody "$work/words" ||
        { echo "# status $status"; sed 's/^/# /' "$work/words"; return 1; }
}

programs_run() {
    for program in sluiced sluice-cisa-kev sluice-stix-file; do
        quietly "$root/usr/bin/$program" --help || return 1
        head -n 1 "$work/words" | grep -q "^usage: $program " ||
            { echo "# $program calls itself otherwise: $(head -n 1 "$work/words")"; return 1; }
    done
}

# A gateway needs no RabbitMQ to refuse who is not configured.
refusal_is_said_once() {
    mkdir "$work/state"
    cat >"$work/sluice.cfg" <<END
door = { endpoint = "ipc://$work/door"; };
state = { dir = "$work/state"; };
connectors = ( { id = "known"; queue = "known"; } );
END
    "$root/usr/bin/sluiced" --config "$work/sluice.cfg" 2>"$work/log" &
    gateway=$!
    echo '{}' >"$work/one.json"
    "$root/usr/bin/sluice-stix-file" --endpoint "ipc://$work/door" --id unknown "$work/one.json" >"$work/words" 2>&1
    status=$?
    [ "$status" -eq 77 ] && [ "$(grep -c unknown_id "$work/words")" -eq 1 ] ||
        { echo "# status $status"; sed 's/^/# /' "$work/words"; return 1; }
}

echo 1..6
quietly make MAKEFLAGS= --no-print-directory -o all "B=$build" "DESTDIR=$root" PREFIX=/usr install
result $? 'it installs below DESTDIR'
links_lead_somewhere
result $? 'every link of an installed document leads to an installed file'
vectors_are_there
result $? 'the vectors that the index names are installed'
programs_run
result $? 'the installed programs name themselves as they are installed'
example_builds
result $? "the README's example builds with pkg-config, and says so where there is no gateway"
refusal_is_said_once
result $? 'a connector that the gateway refuses says why, once'
