#!/bin/bash
# run.sh TARGET..: lets libFuzzer look for inputs that break a target, for FUZZ_SECONDS each (60), on one core, beginning with
# tests/fuzz/corpus/TARGET and with what earlier runs left in build/fuzz/corpus. The last line is `N passed, N failed`; the exit code
# is 0 when none failed. An input that broke one stays in build/fuzz/found, with the command that repeats it.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1

seconds=${FUZZ_SECONDS:-60} build=build/fuzz
[ $# -gt 0 ] || { echo "usage: tests/fuzz/run.sh TARGET .." >&2; exit 64; }
export UBSAN_OPTIONS=print_stacktrace=1
ulimit -S -c 0

passed=0 failed=0
mkdir -p "$build/found" "$build/logs"

# The final figure of that name, or 0.
figure() {
    local value
    value=$(sed -n "s/^stat::$1: *//p" "$2" | tail -n 1)
    echo "${value:-0}"
}

# Longer inputs find nothing more, slower. What takes 10 s or 1 GiB is broken, too.
run_target() {
    local target=$1 program=$build/fuzz/$1 log=$build/logs/$1 dictionary=tests/fuzz/dictionaries/$1 found
    local options=(-max_total_time="$seconds" -max_len=4096 -timeout=10 -rss_limit_mb=1024 -print_final_stats=1
        -artifact_prefix="$build/found/$1-")
    if [ ! -x "$program" ] || [ ! -d "tests/fuzz/corpus/$target" ]; then
        echo "run.sh: $target: no such target" >&2
        failed=$((failed + 1))
        return
    fi
    mkdir -p "$build/corpus/$target"
    [ ! -f "$dictionary" ] || options+=(-dict="$dictionary")
    if "$program" "${options[@]}" "$build/corpus/$target" "tests/fuzz/corpus/$target" > "$log" 2>&1; then
        passed=$((passed + 1))
        printf '%-12s clean   %9d inputs %7d/s %5d kept\n' "$target" "$(figure number_of_executed_units "$log")" \
            "$(figure average_exec_per_sec "$log")" "$(find "$build/corpus/$target" -type f | wc -l)"
        return
    fi
    failed=$((failed + 1))
    printf '%-12s BROKEN  %9d inputs; %s:\n' "$target" "$(figure number_of_executed_units "$log")" "$log"
    grep -aE '^outboxd: |runtime error|SUMMARY|^ERROR|ERROR:' "$log" | head -n 5 | sed 's/^/    /'
    found=$(sed -n 's/.*Test unit written to //p' "$log" | tail -n 1)
    [ -z "$found" ] || echo "    again: $program $found"
}

for target in "$@"; do
    run_target "$target"
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
