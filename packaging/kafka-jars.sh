#!/bin/sh
# kafka-jars.sh [VERSION]: fetches the jars of a real Kafka broker (4.1.0 by default; 3.9.1 and 3.6.2 work too) from Maven
# Central, once, and prints the directory they are in. Called by tests/run.sh and by hand.
# The directory appears whole or not at all, also when several runs fetch at once or one is interrupted.
set -eu

version=${1:-4.1.0}
here=$(cd "$(dirname "$0")" && pwd)
cache=${OUTBOXD_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/outboxd}
jars=$cache/kafka-$version

if [ -d "$jars" ]; then
    echo "$jars"
    exit 0
fi
if ! command -v mvn >/dev/null || ! command -v java >/dev/null; then
    echo "kafka-jars: mvn and java are needed to fetch Kafka: packaging/deps.sh test" >&2
    exit 1
fi

mkdir -p "$cache"
fetched=$(mktemp -d "$cache/.kafka-$version.XXXXXX")
trap 'rm -rf "$fetched"' EXIT
trap 'exit 130' HUP INT TERM

echo "kafka-jars: fetching Kafka $version from Maven Central into $jars (about 45 MB, once) .." >&2
if ! mvn --quiet --batch-mode --file "$here/kafka/pom.xml" -Dkafka.version="$version" \
        dependency:copy-dependencies -DoutputDirectory="$fetched/jars" -DincludeScope=runtime \
        > "$fetched/log" 2>&1; then
    head -n 3 "$fetched/log" >&2
    echo "kafka-jars: Maven could not fetch Kafka $version (network, proxy in ~/.m2/settings.xml?)" >&2
    exit 1
fi
if [ ! -f "$fetched/jars/kafka_2.13-$version.jar" ]; then
    echo "kafka-jars: Maven ended well but brought no kafka_2.13-$version.jar" >&2
    exit 1
fi

# whoever renames first wins; the others find it done
if ! mv -T "$fetched/jars" "$jars" 2>/dev/null && [ ! -d "$jars" ]; then
    echo "kafka-jars: cannot move the jars to $jars" >&2
    exit 1
fi
echo "$jars"
