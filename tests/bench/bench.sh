#!/bin/bash
# bench.sh: runs a benchmark out of $O/tests/bench (O=build by default) on private servers in a private directory and removes
# them. Prints a table; the numbers are in build/bench.json. Called by `make bench`. Environment:
#   EVENTS=500000 ROUNDS=5 BROKERS=mock,kafka RATE=500,5000 BUDGET_S=400 (no round begins later)
# `bench.sh flat`, by `make bench-flat`, an hour: BROKERS=mock EVENTS=1000000 ROUNDS=3 RETAINED=50000000 OPEN_S=1800 HELD=1000000; 40 GB of disk
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
build=$(cd "$here" && realpath -m "${O:-build}")
child=
what=${1:-relay}
if [ "$what" = flat ]; then
    : "${BROKERS:=mock}" "${BUDGET_S:=7200}"
fi

if [[ ${BROKERS:=mock,kafka} == *kafka* ]]; then
    "$here/packaging/kafka-jars.sh" > /dev/null
fi

# passable by user postgres, and short: a Unix socket's path has room for 107 bytes
scratch=$(mktemp -d /tmp/outboxd-bench-XXXXXX)
chmod 0711 "$scratch"
trap '[ -z "$child" ] || kill "$child" 2> /dev/null || true; rm -rf "$scratch"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
ulimit -c 0

export BROKERS OUTBOXD_TEST_DIR=$scratch
export OUTBOXD_BIN=${OUTBOXD_BIN:-$build/outboxd} OUTBOXD_BENCH_MOCK=$build/examples/demo/mock_broker
export OUTBOXD_TEST_JVM=-XX:TieredStopAtLevel=4 # a broker that works for minutes wants the full compiler
export BENCH_JSON=$build/bench.json

# in the background, so that an interrupt is heard; what it started dies with it
timeout --kill-after=10 "$((${BUDGET_S:-400} + 60))" "$build/tests/bench/bench_$what" &
child=$!
wait "$child"
child=
[ "$what" = flat ] || echo "numbers: $BENCH_JSON"
