#!/bin/sh
# The demo: does it prove what it says, and does it leave nothing, whichever way it ends?  Prints TAP.
#
# A demo and all that it starts carry a mark in their environment, so that what else runs here does not matter.
set -u
cd "$(dirname "$0")/../.." || exit 1
export SLUICE_BUILD="${SLUICE_BUILD:-build}"
work=$(mktemp -d) || exit 1
mark="DEMO_MARK=$$-$(od -An -N4 -tx4 /dev/urandom | tr -d ' ')"
number=0 pid=

marked() { # pids of processes with the mark
    grep -lzFx "$mark" /proc/[0-9]*/environ 2>/dev/null | cut -d / -f 3
}

end_all() { for p in $(marked); do kill -KILL "$p" 2>/dev/null; done; }
trap 'end_all; rm -rf "$work"' EXIT
trap 'exit 1' INT TERM HUP

result() { # STATUS NAME
    # One that did not end as it should must not disturb the next.
    end_all
    wait "$pid" 2>/dev/null
    number=$((number + 1))
    if [ "$1" -eq 0 ]; then
        echo "ok $number - $2"
    else
        echo "not ok $number - $2"
        sed 's/^/# /' "$work/out"
    fi
}

# Start a demo in a process group of its own, as a terminal would; background jobs of a script ignore SIGINT otherwise.
prepare() {
    rm -rf "$work/tmp" "$work/home"
    mkdir "$work/tmp" "$work/home"
    ls -A >"$work/files"
    : >"$work/out" # now: what the one before said must not be read as this one's
}

# Only to be called in the background: its pid is then that of the program.
demo() { # VARIABLES..., PROGRAM
    exec env --default-signal=INT,TERM,HUP,PIPE "$mark" "TMPDIR=$work/tmp" "HOME=$work/home" "$@"
}

start() { # VARIABLES...
    prepare
    demo "$@" setsid packaging/demo >>"$work/out" 2>&1 </dev/null &
    pid=$!
}

# Into a pipe whose reader leaves after three lines.
start_for_head() { # VARIABLES...
    prepare
    rm -f "$work/pipe"
    mkfifo "$work/pipe"
    head -n 3 <"$work/pipe" >>"$work/out" &
    demo "$@" setsid packaging/demo >"$work/pipe" 2>>"$work/out" </dev/null &
    pid=$!
}

# On a terminal that can be taken away, with a demo that is not told so.
start_on_terminal() { # VARIABLES...
    prepare
    rm -f "$work/status"
    demo "$@" script -qfec "trap '' HUP; echo \$\$ >'$work/shell'; packaging/demo; echo \$? >'$work/status'" /dev/null \
        >>"$work/out" 2>&1 </dev/null &
    pid=$!
}

close_terminal() {
    kill -KILL "$pid"
    wait "$pid" 2>/dev/null
    tenths=0
    # Who wrote it ends a moment later.
    until [ -s "$work/status" ] && ! kill -0 "$(cat "$work/shell")" 2>/dev/null; do
        tenths=$((tenths + 1))
        [ "$tenths" -le 1800 ] || { echo "# it did not end when its terminal was closed" >>"$work/out"; return 1; }
        sleep 0.1
    done
    grep -qx "$1" "$work/status" || { echo "# it ended with $(cat "$work/status"), not $1" >>"$work/out"; return 1; }
}

# Wait until it says something; three minutes are plenty.
says() { # TEXT
    tenths=0
    until grep -q -e "$1" "$work/out"; do
        tenths=$((tenths + 1))
        if [ "$tenths" -gt 1800 ] || ! kill -0 "$pid" 2>/dev/null; then
            echo "# it never said: $1" >>"$work/out"
            return 1
        fi
        sleep 0.1
    done
}

# Whatever is left gets no time to end by itself: the demo has said that all is gone.
nothing_is_left() {
    left=$(marked)
    [ -z "$left" ] || { echo "# processes are left: $(ps -o pid,args -p "$(echo $left | tr ' ' ,)")" >>"$work/out"; end_all; return 1; }
    for port in $(grep -oE '127\.0\.0\.1:[0-9]+' "$work/out" | cut -d : -f 2 | sort -u); do
        [ "$port" -eq 0 ] || ! ss -ltnH "sport = :$port" | grep . || { echo "# port $port still listens" >>"$work/out"; return 1; }
    done
    [ -z "$(find "$work/tmp" "$work/home" -mindepth 1)" ] ||
        { echo "# files are left: $(find "$work/tmp" "$work/home" -mindepth 1 | head)" >>"$work/out"; return 1; }
    ls -A | cmp -s - "$work/files" || { echo "# the checkout has other files than before" >>"$work/out"; return 1; }
}

ends_with() { # STATUS
    wait "$pid"
    status=$?
    [ "$status" -eq "$1" ] || { echo "# it ended with $status, not $1" >>"$work/out"; return 1; }
}

shared=${SLUICE_SHARED:-../shared}
feed=$shared/data/known_exploited_vulnerabilities.json count=1404
[ -r "$feed" ] || feed=connectors/cisa-kev/sample.json count=$(grep -c '"cveID"' connectors/cisa-kev/sample.json)

echo 1..14
start ONCE=1 "FEED=$feed"
ends_with 0 && nothing_is_left
result $? 'a demo that runs once leaves nothing'
[ "$(grep -cE "^(pushed by|confirmed to|in the queue).* $count bundles" "$work/out")" -eq 3 ] &&
    [ "$(awk '/^(pushed by|confirmed to|in the queue).* bytes$/ { print $(NF - 1) }' "$work/out" | sort -u | wc -l)" -eq 1 ]
result $? 'as many bundles and bytes are in the queue as were pushed and confirmed'
# Each bundle of a hundred has an identity more.
objects=$((count + (count + 99) / 100))
grep -qE "^in the queue \"push_kev-opencti\" +$objects\$" "$work/out" && grep -q '"bundle_type": "QUEUE_BUNDLE"' "$work/out" &&
    grep -qE '"name": "CVE-[0-9]+-[0-9]+"' "$work/out" && grep -q '"nb_deps": 2' "$work/out"
result $? "as many messages for OpenCTI are there as objects were pushed, and one is shown to its STIX"

start ONCE= "FEED=$feed"
says 'until Ctrl-C' && [ -n "$(marked)" ] && kill -s INT -- "-$pid" && ends_with 130 && nothing_is_left
result $? 'Ctrl-C while it stays up leaves nothing'
start ONCE= "FEED=$feed"
says 'A RabbitMQ of its own' && sleep 1 && kill -s INT -- "-$pid" && ends_with 130 && nothing_is_left
result $? 'Ctrl-C while RabbitMQ starts leaves nothing'
start ONCE= "FEED=$feed"
says '== The connector' && kill -s INT -- "-$pid" && ends_with 130 && nothing_is_left
result $? 'Ctrl-C while the connector runs leaves nothing'
start ONCE= "FEED=$feed"
says '== The gateway' && kill -TERM "$pid" && ends_with 143 && nothing_is_left
result $? 'SIGTERM to the demo alone leaves nothing'
start ONCE= "FEED=$feed"
says 'until Ctrl-C' && kill -HUP "$pid" && ends_with 129 && nothing_is_left
result $? 'a closed terminal leaves nothing'
start_on_terminal ONCE= "FEED=$feed"
says 'until Ctrl-C' && close_terminal 129 && nothing_is_left
result $? 'a terminal that was closed without a signal leaves nothing'
start_for_head ONCE= "FEED=$feed"
ends_with 141 && nothing_is_left
result $? 'a reader that has seen enough leaves nothing'
start ONCE=1 "FEED=$work/no-such-feed.json"
wait "$pid"
[ $? -ne 0 ] && grep -q no-such-feed "$work/out" && ! grep -q "gateway's last words" "$work/out" && nothing_is_left
result $? 'a feed that is not there is named, without words of the gateway, and nothing is left'
odd="it's a \"\$feed\".json"
cp connectors/cisa-kev/sample.json "$work/$odd"
start ONCE=1 "FEED=$odd" "DEMO_FROM=$work"
ends_with 0 && nothing_is_left
result $? 'a feed is found by any name from where the user stands'
prepare
cp connectors/cisa-kev/sample.json "$work/it's.json"
(cd "$work" && demo ONCE=1 MAKEFLAGS= make -C "$OLDPWD" --no-print-directory -o all "B=$SLUICE_BUILD" "FEED=it's.json" demo) \
    >>"$work/out" 2>&1 </dev/null &
pid=$!
ends_with 0 && nothing_is_left
result $? 'make demo passes such a name on'
start ONCE=1 "RABBITMQ_BIN=$work/nowhere"
ends_with 1 && grep -q 'make deps' "$work/out" && nothing_is_left
result $? 'without RabbitMQ it says what to do, and leaves nothing'
