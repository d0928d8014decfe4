#!/bin/bash
# chaos.sh: runs $O/tests/chaos/chaos (O=build by default) on private servers in a private directory and removes them. Called by
# `make chaos`; `chaos.sh --help` explains.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
build=$(cd "$here" && realpath -m "${O:-build}")
child=

usage() {
    cat << END
usage: [NAME=VALUE ..] make chaos
Faults drawn from a seed, one or two at a time, against two processes of one relay, a Postgres with a synchronous standby and
three Kafka brokers, while hostile writers write. In rounds of ten faults; after each one everything heals and is compared:
nothing may be lost, phantom, reordered or changed, and nothing twice when delivery is exactly once. It ends at the first
round that fails. The last line is "N passed, N failed" (rounds).

  SECONDS=300       how long faults go on
  SEED=             the same seed gives the same faults, in the same order, with the same parameters; else one is drawn
  DELIVERY=both     exactly-once, at-least-once, or one after the other
  FAULTS=           a shell pattern: only faults of these names ('Kafka*', '*failover*')

Printed: each fault with its parameters, a verdict a round, a table at the end. Kept in build/chaos when a round fails: logs of
all servers and processes, the faults of the proxy, what was committed, what was published, the journal.
END
}

case ${1:-} in
'') ;;
-h | --help) usage; exit 0 ;;
*) usage >&2; exit 64 ;;
esac
case ${DELIVERY:=both} in
both | exactly-once | at-least-once) ;;
*) echo "chaos.sh: DELIVERY=$DELIVERY: exactly-once, at-least-once or both" >&2; exit 64 ;;
esac
export DELIVERY

"$here/packaging/kafka-jars.sh" > /dev/null

# passable by user postgres, and short: a Unix socket's path has room for 107 bytes
scratch=$(mktemp -d /tmp/outboxd-chaos-XXXXXX)
chmod 0711 "$scratch"
trap '[ -z "$child" ] || kill "$child" 2> /dev/null || true; rm -rf "$scratch"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
ulimit -c 0

evidence=$build/chaos
rm -rf "$evidence"
mkdir -p "$evidence"
export OUTBOXD_TEST_DIR=$scratch OUTBOXD_BIN=${OUTBOXD_BIN:-$build/outboxd} CHAOS_EVIDENCE=$evidence

# in the background, so that an interrupt is heard; what it started dies with it
"$build/tests/chaos/chaos" 2> "$evidence/chaos.log" &
child=$!
result=0
wait "$child" || result=$?
child=
if [ "$result" -ne 0 ]; then
    (cd "$scratch" && find . \( -name log -o -name '*.log' -o -name config.yaml \) -type f -exec cp --parents {} "$evidence" \;)
    tail -n 40 "$evidence/chaos.log" >&2
    echo "chaos.sh: what is left of it is in $evidence" >&2
fi
exit "$result"
