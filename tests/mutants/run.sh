#!/bin/sh
# run.sh: plants known mistakes into a copy of the source, one at a time, and demands that the suite finds each: a test that
# cannot fail guards nothing. What must find a mutant is a filter of the integration suite, or e2e/ and one of the e2e suite, or
# `simulator`: its 20,000 seeds. Called by `make mutants`.
set -u
cd "$(dirname "$0")/../.."
O=${O:-build}
killed=0 survived=0

plant() { # name file expression killer
    tree=$O/mutants/$1
    rm -rf "$tree" && mkdir -p "$tree/build"
    cp -a Makefile src schema packaging tests examples "$tree/" && cp -a "$O/obj" "$O/gen" "$tree/build/"
    sed -i "$3" "$tree/$2"
    if cmp -s "$2" "$tree/$2"; then
        echo "mutant $1: its expression does not match $2 any more"
        return 1
    fi
    # whoever includes a changed header is built anew, whatever directory the dependency files speak of
    grep -rl "$(echo "$2" | cut -d/ -f2-)" "$tree/src" | xargs -r touch
    targets=build/tests/integration run="$tree/build/tests/integration --filter=$4"
    failing='Failing: [1-9]' found='s/.*\[FAIL\] \([^:]*::[^:]*\).*/\1/p'
    case $4 in
    simulator)
        targets=build/tests/simulator/simulate run="$tree/build/tests/simulator/simulate --seeds=20000"
        failing='seed [0-9]* FAILED' found='s/^\(seed [0-9]*\), after .* good ones/\1/p'
        ;;
    e2e/*) targets='build/outboxd build/tests/e2e' run="$tree/tests/run.sh --filter ${4#e2e/} e2e" ;;
    esac
    # shellcheck disable=SC2086
    make -s -C "$tree" O=build $targets >"$tree/make.log" 2>&1 || {
        echo "mutant $1: does not build, see $tree/make.log"
        return 1
    }
    # shellcheck disable=SC2086
    if (set -f && O=build $run) >"$tree/test.log" 2>&1; then
        echo "mutant $1: SURVIVED, nothing of $4 failed"
        return 1
    fi
    grep -q "$failing" "$tree/test.log" || {
        echo "mutant $1: the suite did not run, see $tree/test.log"
        return 1
    }
    echo "mutant $1: killed by $(sed -n "$found" "$tree/test.log" | head -1)"
    rm -rf "$tree"
}

tab=$(printf '\t')
while IFS=$tab read -r name file expression killer; do
    case $name in '' | '#'*) continue ;; esac
    if plant "$name" "$file" "$expression" "$killer"; then killed=$((killed + 1)); else survived=$((survived + 1)); fi
done <tests/mutants/list

echo "$killed passed, $survived failed"
[ "$survived" -eq 0 ] && [ "$killed" -gt 0 ]
