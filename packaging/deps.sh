#!/bin/sh
# deps.sh GROUP..: installs what a group of make targets needs, by apt-get, only what is missing: build, test, lint, fuzz,
# demo, all. Works as root and through sudo; asks nothing. On other systems it says what to install. COMMAND:PACKAGE is for
# languages that may be here from elsewhere: nothing is installed when there is such a command.
set -eu

build="gcc libc6-dev make pkg-config libpq-dev libssl-dev librdkafka-dev libyaml-dev libmicrohttpd-dev libjansson-dev libsystemd-dev libjemalloc-dev"
demo="$build postgresql libcurl4-openssl-dev python3-aiosmtpd"
tests="$demo g++ libcriterion-dev maven default-jre-headless pgbouncer iproute2 openssl"
tests="$tests python3-venv go:golang-go javac:default-jdk-headless node:nodejs npm:npm"
lint="$build clang clang-tidy clang-format"
fuzz="$build clang libclang-rt-dev"

[ $# -gt 0 ] || set -- --help
wanted=
for group in "$@"; do
    case $group in
    build) wanted="$wanted $build" ;;
    test) wanted="$wanted $tests" ;;
    lint) wanted="$wanted $lint" ;;
    fuzz) wanted="$wanted $fuzz" ;;
    demo) wanted="$wanted $demo" ;;
    all) wanted="$wanted $tests $lint $fuzz" ;;
    *)
        echo "usage: packaging/deps.sh build|test|lint|fuzz|demo|all .." >&2
        exit 64
        ;;
    esac
done

if ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null; then
    echo "deps: no apt-get here (not Debian or Ubuntu). Install what these packages hold, by the names of your system:" >&2
    echo "$wanted" | tr -s ' ' '\n' | sed 's/.*://' | sort -u | sed '/^$/d; s/^/    /' >&2
    exit 69
fi

missing=
for package in $(echo "$wanted" | tr ' ' '\n' | sort -u); do
    case $package in
    *:*)
        ! command -v "${package%%:*}" >/dev/null || continue
        package=${package#*:}
        ;;
    esac
    # installed, or provided by an installed package of another name
    if [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" != installed ]; then
        missing="$missing $package"
    fi
done
[ -n "$missing" ] || exit 0

as_root=
if [ "$(id -u)" != 0 ]; then
    if ! command -v sudo >/dev/null; then
        echo "deps: run this as root:  apt-get install$missing" >&2
        exit 77
    fi
    as_root="sudo"
fi

apt() {
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get --quiet --quiet --option Dpkg::Use-Pty=0 "$@" > "$log" 2>&1
}

log=$(mktemp)
trap 'rm -f "$log"' EXIT
echo "deps: installing$missing .." >&2
# the package lists may be old or, in a fresh container, absent: look again only when the first try fails
# shellcheck disable=SC2086
if ! apt install --yes --no-install-recommends $missing; then
    echo "deps: reading the package lists .." >&2
    if ! apt update || ! apt install --yes --no-install-recommends $missing; then
        cat "$log" >&2
        echo "deps: apt-get could not install:$missing" >&2
        exit 69
    fi
fi
