#!/bin/bash
# soak.sh: runs $O/tests/soak/soak (O=build by default) on private servers in a private directory and removes them. Called by
# `make soak`. Environment: SOAK_SECONDS=300 SEED=(drawn)
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
build=$(cd "$here" && realpath -m "${O:-build}")
child=

"$here/packaging/kafka-jars.sh" > /dev/null

# passable by user postgres, and short: a Unix socket's path has room for 107 bytes
scratch=$(mktemp -d /tmp/outboxd-soak-XXXXXX)
chmod 0711 "$scratch"
trap '[ -z "$child" ] || kill "$child" 2> /dev/null || true; rm -rf "$scratch"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
ulimit -c 0

export OUTBOXD_TEST_DIR=$scratch OUTBOXD_BIN=${OUTBOXD_BIN:-$build/outboxd}

# in the background, so that an interrupt is heard; what it started dies with it
"$build/tests/soak/soak" 2> "$build/soak.log" &
child=$!
result=0
wait "$child" || result=$?
child=
if [ "$result" -ne 0 ]; then
    mkdir -p "$build/soak-logs"
    (cd "$scratch" && find . \( -name log -o -name '*.log' -o -name config.yaml \) -type f -exec cp --parents {} "$build/soak-logs" \;)
    tail -n 40 "$build/soak.log" >&2
    echo "soak.sh: logs are in $build/soak.log and $build/soak-logs" >&2
fi
exit "$result"
