#!/bin/sh
# lint.sh: what `make lint` checks beyond the compilers' warnings: format, clang-tidy, directions of includes, each header
# alone, what the service may do, lengths of files. Called by the Makefile with the preprocessor's flags as arguments. Prints what is wrong.
set -u
cd "$(dirname "$0")/.."
bad=0
complain() { echo "lint: $*"; bad=1; }

sources=$(git ls-files --cached --others --exclude-standard -- '*.c' '*.h')

# ---- format: every clang-format breaks lines its own way, so one major version decides
clang-format --version | grep -q 'version 14\.' || complain "clang-format 14 is wanted: $(clang-format --version)"
# shellcheck disable=SC2086
clang-format --dry-run --Werror $sources || bad=1

# ---- an include points to the same room or to one below
rooms='base event config http kafka postgres relay command'
rank() { n=0; for room in $rooms; do n=$((n + 1)); [ "$room" = "$1" ] && { echo $n; return; }; done; echo 0; }
for file in $(printf '%s\n' $sources | grep '^src/.*/'); do
    own=$(echo "$file" | cut -d/ -f2)
    for target in $(sed -n 's/^#include "\([a-z]*\)\/.*/\1/p' "$file" | sort -u); do
        [ "$target" = "$own" ] && continue
        # the library is linked into applications: of base it takes what neither logs nor ends the process
        if [ "$own" = client ]; then
            [ "$target" = base ] || complain "$file: client may not include $target"
            grep '^#include "base/' "$file" | grep -qv '"base/\(backoff\|clock\)\.h"' &&
                complain "$file: client may include base/backoff.h and base/clock.h only"
            continue
        fi
        [ "$(rank "$target")" -ge "$(rank "$own")" ] && complain "$file: $own may not include $target"
        case "$own-$target" in
        postgres-kafka | kafka-postgres | postgres-http | kafka-http)
            complain "$file: $own and $target do not know each other" ;;
        esac
    done
done

# ---- each header compiles alone
for header in $(printf '%s\n' $sources | grep '^src/.*\.h$\|^include/.*\.h$'); do
    for compiler in gcc clang; do
        "$compiler" "$@" -std=c17 -Wall -Wextra -Wno-unused -Werror -fsyntax-only -x c "$header" ||
            complain "$header does not compile alone ($compiler)"
    done
done

# ---- the service is exposed to little: 1.5 of 10, where one without any restriction has 9.6
if command -v systemd-analyze >/dev/null; then
    systemd-analyze security --offline=true --threshold=15 packaging/outboxd.service >build/exposure.txt 2>&1 ||
        complain "the service is exposed to too much: $(tail -n 1 build/exposure.txt)"
else
    echo "lint: no systemd-analyze here, the service is not judged"
fi

# ---- a page links to what is there, also where it is installed: beside README.md, config.yaml.example and docs/*.md, nothing is
links() { sed -f "${2:-/dev/null}" "$1" | grep -o '](\([^)]*\))' | sed 's/^](//; s/[#)].*//' | grep -v '^https\{0,1\}:\|^$'; }
for page in $(git ls-files --cached --others --exclude-standard -- '*.md'); do
    for target in $(links "$page"); do
        [ -e "$(dirname "$page")/$target" ] || complain "$page links to $target, which is not there"
    done
done
for page in README.md docs/*.md; do
    for target in $(links "$page" packaging/installed-links.sed); do
        case $(dirname "$page")/$target in
        ./README.md | ./config.yaml.example | ./docs/*.md | docs/*.md | docs/../README.md) [ -e "$(dirname "$page")/$target" ] && continue ;;
        esac
        complain "$page links to $target, which is not installed"
    done
done

# ---- a file that outgrows its room has two jobs
for file in $sources $(git ls-files --cached --others --exclude-standard -- '*.sql' '*.sh'); do
    lines=$(wc -l <"$file")
    [ "$lines" -gt 400 ] && complain "$file has $lines lines: split it by job"
done

# ---- clang-tidy: two processes, one file each, for version 14 sees false va_list findings when it is given several
mkdir -p build/lint
printf '%s\n' "$@" -std=c17 | sed "s,^-I\([^/]\),-I$PWD/\1," >build/lint/compile_flags.txt
printf '%s\n' $sources | grep '^src/.*\.c$' |
    xargs -P 2 -n 1 clang-tidy --quiet -p build/lint 2>/dev/null || complain "clang-tidy has findings"

[ $bad -eq 0 ] && echo "lint: clean"
exit $bad
