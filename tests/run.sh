#!/bin/bash
# run.sh [--jobs N] [--timeout SECONDS] [--filter PATTERN] SUITE..: runs test suites (unit, integration, e2e, or paths of
# suite binaries) out of $O/tests (O=build by default). The last line is `N passed, N failed`; the exit code is 0 when
# at least one test ran and none failed. Logs of a suite that failed are left in build/test-logs.
# A suite starts the servers that its tests share and ends them; everything else a test starts dies with it.
# Sanitizer builds: whatever a sanitizer reports, of the tests or of the daemon, is a failure.
set -uo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build=$(cd "$here" && realpath -m "${O:-build}")
logs=$here/build/test-logs
jobs= timeout=300 filter='*' suites=()

usage() {
    echo "usage: tests/run.sh [--jobs N] [--timeout SECONDS] [--filter PATTERN] unit|integration|e2e|BINARY .." >&2
    exit 64
}

while [ $# -gt 0 ]; do
    case $1 in
    --jobs | --timeout | --filter)
        [ $# -ge 2 ] || usage
        printf -v "${1#--}" %s "$2"
        shift
        ;;
    -*) usage ;;
    *) suites+=("$1") ;;
    esac
    shift
done
[ ${#suites[@]} -gt 0 ] || usage

# passable by user postgres, and short: a Unix socket's path has room for 107 bytes
scratch=$(mktemp -d /tmp/outboxd-test-XXXXXX) || exit 1
chmod 0711 "$scratch"
trap 'rm -rf "$scratch"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
mkdir "$scratch/sanitizer"
rm -rf "$logs"

export OUTBOXD_TEST_DIR=$scratch
export OUTBOXD_BIN=${OUTBOXD_BIN:-$build/outboxd}
for tool in ASAN LSAN UBSAN TSAN; do
    name=${tool}_OPTIONS
    export "$name=${!name:+${!name}:}log_path=$scratch/sanitizer/report:print_stacktrace=1"
done
ulimit -c 0

# Tests that start brokers are as heavy as two; the rest wait more than they compute.
jobs_of() {
    if [ -n "$jobs" ]; then
        echo "$jobs"
    elif [ "$1" = e2e ]; then
        echo $((($(nproc) + 1) / 2))
    else
        nproc
    fi
}

keep_logs() {
    mkdir -p "$logs/$1"
    cp "$scratch/$1.out" "$logs/$1/output"
    (cd "$scratch" && find . \( -name log -o -name '*.log' -o -name 'report.*' -o -name config.yaml \) -type f \
        -exec cp --parents {} "$logs/$1" \;)
    echo "run.sh: logs of $1 are in $logs/$1"
}

passed=0 failed=0

run_suite() {
    local binary=$build/tests/$1 name=$1 synthesis tested passing reports
    case $1 in */*) binary=$1 name=$(basename "$1") ;; esac
    if [ ! -x "$binary" ]; then
        echo "run.sh: $binary: no such suite; build it first" >&2
        failed=$((failed + 1))
        return
    fi
    echo "== $name"
    "$binary" --jobs="$(jobs_of "$name")" --timeout="$timeout" --filter="$filter" 2>&1 | tee "$scratch/$name.out"
    synthesis=$(grep -a 'Synthesis: Tested:' "$scratch/$name.out" | tail -n 1)
    tested=$(sed -n 's/.*Tested: \([0-9]*\).*/\1/p' <<< "$synthesis")
    passing=$(sed -n 's/.*Passing: \([0-9]*\).*/\1/p' <<< "$synthesis")
    reports=$(find "$scratch/sanitizer" -type f -size +0 | wc -l)
    if [ -z "$tested" ]; then
        echo "run.sh: $name ended without a synthesis" >&2
        tested=1 passing=0
    fi
    if [ "$reports" -gt 0 ]; then
        echo "run.sh: $reports sanitizer reports, the first of them:" >&2
        find "$scratch/sanitizer" -type f -size +0 -print0 | sort -z | head -z -n 1 | xargs -0 head -n 40 >&2
    fi
    passed=$((passed + passing))
    failed=$((failed + tested - passing + reports))
    [ $((tested - passing + reports)) -eq 0 ] || keep_logs "$name"
    # a suite answers for its own reports only; its servers are gone
    rm -rf "$scratch"
    mkdir -p "$scratch/sanitizer"
    chmod 0711 "$scratch"
}

for suite in "${suites[@]}"; do
    if [ "$(basename "$suite")" = e2e ] && ! "$here/packaging/kafka-jars.sh" > /dev/null; then
        failed=$((failed + 1))
        continue
    fi
    run_suite "$suite"
done

[ $((passed + failed)) -gt 0 ] || echo "run.sh: no test ran" >&2
echo "$passed passed, $failed failed"
[ "$passed" -gt 0 ] && [ "$failed" -eq 0 ]
