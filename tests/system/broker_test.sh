#!/bin/sh
# The private RabbitMQ of the tests: is it alone, does it obey, does it leave nothing?  Prints TAP.
set -u
cd "$(dirname "$0")/../.." || exit 1
work=$(mktemp -d) || exit 1
number=0
trap 'for d in "$work"/one "$work"/two; do [ -f "$d/env" ] && tests/broker stop "$d"; done; rm -rf "$work"' EXIT
trap 'exit 1' INT TERM HUP

result() { # STATUS NAME
    number=$((number + 1))
    if [ "$1" -eq 0 ]; then echo "ok $number - $2"; else echo "not ok $number - $2"; fi
}

value() { # DIR NAME
    sed -n "s/^$2='\(.*\)'/\1/p" "$1/env"
}

mine() { # processes that carry the name of a node, or its folder
    ps -eo pid,args | grep -F -e "$1" -e "$2" | grep -v grep
}

listens() { # PORT
    ss -ltnH "sport = :$1" | grep -q .
}

only_on_loopback() { # DIR: each of its listeners, epmd's and the distribution's too
    for name in AMQP_PORT MGMT_PORT TLS_PORT DIST_PORT EPMD_PORT; do
        port=$(value "$1" $name)
        listens "$port" || { echo "# nothing listens on $name $port"; return 1; }
        ss -ltnH "sport = :$port" | awk '{ print $4 }' | grep -vE '^(127\.0\.0\.1|\[::1\]):' && return 1
    done
    return 0
}

declare_queue() { # DIR NAME
    tests/broker ctl "$1" eval "rabbit_amqqueue:declare(rabbit_misc:r(<<\"/\">>, queue, <<\"$2\">>), true, false, [], none,
        <<\"test\">>), ok." >/dev/null
}

queues() { # DIR
    tests/broker ctl "$1" -q --no-table-headers list_queues name
}

handshake() { # DIR CA: the verified name of the TLS listener
    echo | openssl s_client -connect "localhost:$(value "$1" TLS_PORT)" -CAfile "$2" -verify_return_error \
        -verify_hostname localhost >"$work/handshake" 2>&1
}

process_state() { # DIR
    sed 's/.*) //' "/proc/$(value "$1" PID)/stat" | cut -c 1
}

echo 1..11
tests/broker start "$work/one" --management --tls "$work/tls"
result $? 'a node starts'
only_on_loopback "$work/one"
result $? 'a node listens on loopback only, with management, TLS, distribution and epmd'
curl -sf -u guest:guest "http://127.0.0.1:$(value "$work/one" MGMT_PORT)/api/overview" >/dev/null
result $? 'management answers where it was asked for'
handshake "$work/one" "$work/tls/ca.pem" && ! handshake "$work/one" "$work/tls/other-ca.pem"
result $? 'its certificate is verified by its own authority and by no other'

echo 'vm_memory_high_watermark.absolute = 123MiB' >"$work/more.conf"
tests/broker start "$work/two" "$work/more.conf" && declare_queue "$work/two" two && [ -z "$(queues "$work/one")" ]
result $? 'two nodes live side by side and know nothing of each other'
tests/broker ctl "$work/two" eval 'vm_memory_monitor:get_vm_memory_high_watermark().' | grep -q '123'
result $? 'more lines for the configuration reach the node'
! tests/broker start "$work/two" 2>/dev/null
result $? 'a second node in the same folder is refused'

tests/broker freeze "$work/two" && [ "$(process_state "$work/two")" = T ] &&
    tests/broker thaw "$work/two" && [ "$(process_state "$work/two")" != T ] && [ "$(queues "$work/two")" = two ]
result $? 'a frozen node stands still, and goes on when thawed'
port=$(value "$work/two" AMQP_PORT)
tests/broker kill "$work/two" && ! listens "$port" &&
    tests/broker restart "$work/two" && listens "$port" && [ "$(queues "$work/two")" = two ]
result $? 'a killed node comes back with its data and its ports'

node=$(value "$work/one" NODE)
epmd=$(value "$work/one" EPMD_PORT)
tests/broker stop "$work/one" && ! mine "$node" "$work/one" && ! listens "$epmd"
result $? 'a stopped node leaves no process and no listener'
tests/broker freeze "$work/two" && node=$(value "$work/two" NODE) && tests/broker stop "$work/two" &&
    ! mine "$node" "$work/two"
result $? 'a frozen node can be stopped, too'
