#!/bin/bash
# run.sh [--jobs N] [--timeout SECONDS] [--filter PATTERN] SUITE..: runs test suites (unit, integration, e2e, examples, or
# paths of suite binaries) out of $O/tests (O=build by default). The last line is `N passed, N failed`; the exit code is 0 when
# at least one test ran and none failed. Logs of a suite that failed are left in $O/test-logs.
# A suite starts the servers that its tests share and ends them; everything else a test starts dies with it. Each test has
# its own deadline; --timeout is that of a whole suite.
# Sanitizer builds: whatever a sanitizer reports, of the tests or of the daemon, is a failure.
set -uo pipefail

# a test waits half of its time, for a server, a lease or a deadline
jobs=$(($(nproc) * 3 / 2))
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build=$(cd "$here" && realpath -m "${O:-build}")
logs=$build/test-logs
timeout=3600 filter='*' suites=() child=''

usage() {
    echo "usage: tests/run.sh [--jobs N] [--timeout SECONDS] [--filter PATTERN] unit|integration|e2e|examples|BINARY .." >&2
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
trap '[ -z "$child" ] || kill "$child" 2> /dev/null; rm -rf "$scratch"' EXIT
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
ulimit -S -c 0

# Sanitizers make everything slower, deadlines included.
patience_of() {
    if [ -n "${OUTBOXD_TEST_PATIENCE:-}" ]; then
        echo "$OUTBOXD_TEST_PATIENCE"
    elif LC_ALL=C grep -qaE '__(asan|tsan)_init' "$1"; then
        echo 4
    else
        echo 1
    fi
}

keep_logs() {
    mkdir -p "$logs/$1"
    cp "$scratch/$1.out" "$logs/$1/output"
    (cd "$scratch" && find . \( -name log -o -name '*.log' -o -name 'report.*' -o -name '*.tsv' -o -name config.yaml \) -type f \
        -exec cp --parents {} "$logs/$1" \;)
    echo "run.sh: logs of $1 are in $logs/$1"
}

# The reports that count: all but leaks in which no frame is ours, for Criterion's runner leaks a little of its own.
list_reports() {
    local report
    find "$scratch/sanitizer" -type f -size +0 | sort | while IFS= read -r report; do
        if ! grep -q 'ERROR: LeakSanitizer' "$report" ||
            grep -qE '\.c:[0-9]+' "$report" || grep -qF -e "($1+" -e "($OUTBOXD_BIN+" "$report"; then
            echo "$report"
        fi
    done
}

# The brokers that the suites start: the present one, the one before, and one that is too old for exactly once.
fetch_kafka() {
    local version
    for version in 4.1.0 3.9.1 3.6.2; do
        "$here/packaging/kafka-jars.sh" "$version" > /dev/null || return
    done
}

passed=0 failed=0 failures=()

run_suite() {
    local binary=$build/tests/$1 name=$1 synthesis tested passing reports
    case $1 in */*) binary=$1 name=$(basename "$1") ;; esac
    if [ ! -x "$binary" ]; then
        echo "run.sh: $binary: no such suite; build it first" >&2
        failed=$((failed + 1))
        return
    fi
    echo "== $name"
    mkfifo "$scratch/output"
    tee "$scratch/$name.out" < "$scratch/output" &
    local tee=$!
    # in the background, so that an interrupt is heard; timeout passes a signal on to all processes of the suite
    OUTBOXD_TEST_PATIENCE=$(patience_of "$binary") timeout --kill-after=30 "$timeout" \
        "$binary" --jobs="$jobs" --filter="$filter" > "$scratch/output" 2>&1 &
    child=$!
    wait "$child"
    child=
    wait "$tee"
    synthesis=$(grep -a 'Synthesis: Tested:' "$scratch/$name.out" | tail -n 1)
    tested=$(sed -n 's/.*Tested: \([0-9]*\).*/\1/p' <<< "$synthesis")
    passing=$(sed -n 's/.*Passing: \([0-9]*\).*/\1/p' <<< "$synthesis")
    reports=$(list_reports "$binary" | wc -l)
    if [ -z "$tested" ]; then
        echo "run.sh: $name ended without a synthesis" >&2
        tested=1 passing=0
    fi
    if [ "$reports" -gt 0 ]; then
        echo "run.sh: $reports sanitizer reports, the first of them:" >&2
        list_reports "$binary" | head -n 1 | xargs head -n 40 >&2
    fi
    passed=$((passed + passing))
    failed=$((failed + tested - passing + reports))
    [ $((tested - passing + reports)) -eq 0 ] || keep_logs "$name"
    # what is said of each test that failed, again: of a long log only the end may be kept
    mapfile -t -O ${#failures[@]} failures < <(awk '
        /^\[----\]/ || /^test failed:/ { if (lines++ < 12) said = said $0 "\n" }
        /^\[FAIL\]/ { printf "%s%s\n", said, $0; said = ""; lines = 0 }' "$scratch/$name.out")
    # a suite answers for its own reports only; its servers are gone
    rm -rf "$scratch"
    mkdir -p "$scratch/sanitizer"
    chmod 0711 "$scratch"
}

for suite in "${suites[@]}"; do
    case $(basename "$suite") in
    e2e | examples | crashpoints)
        if ! fetch_kafka; then
            failed=$((failed + 1))
            continue
        fi
        ;;
    esac
    run_suite "$suite"
done

[ $((passed + failed)) -gt 0 ] || echo "run.sh: no test ran" >&2
[ ${#failures[@]} -eq 0 ] || printf 'run.sh: %s\n' "${failures[@]}"
echo "$passed passed, $failed failed"
[ "$passed" -gt 0 ] && [ "$failed" -eq 0 ]
