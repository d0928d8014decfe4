#!/bin/sh
# prepare.sh fastapi|go|java|node [DIRECTORY]: fetches what an example in another language needs from its language's registry
# and builds it, all below DIRECTORY (build/examples/NAME by default), only what is out of date. Called by the tests and by
# hand. Nothing of it ends up among the sources.
set -eu

name=${1:-}
case $name in
fastapi) tool=python3 hint='python3 and python3-venv' ;;
go) tool=go hint='golang-go' ;;
java) tool=javac hint='default-jdk-headless and maven' ;;
node) tool=npm hint='nodejs and npm' ;;
*)
    echo "usage: examples/prepare.sh fastapi|go|java|node [DIRECTORY]" >&2
    exit 64
    ;;
esac
here=$(cd "$(dirname "$0")" && pwd)
directory=$(realpath -m "${2:-$here/../build/examples/$name}")
cd "$here/$name"
if ! command -v $tool >/dev/null; then
    echo "prepare: there is no $tool here: the example $name needs $hint (packaging/deps.sh test)" >&2
    exit 69
fi
mkdir -p "$directory"
# two tests may want the same example at the same moment
exec 9>"$directory/.lock"
flock 9

# made FILE: what FILE asks for is there; remember FILE: it is there now
made() { cmp -s "$1" "$directory/.made"; }
remember() { cp "$1" "$directory/.made"; }

case $name in
fastapi)
    cat requirements.txt requirements-test.txt >"$directory/.wanted"
    made "$directory/.wanted" && exit 0
    python3 -m venv --clear "$directory/venv"
    "$directory/venv/bin/python" -m pip install --quiet --disable-pip-version-check -r requirements-test.txt
    remember "$directory/.wanted"
    ;;
go)
    go build -o "$directory/reprice" .
    ;;
java)
    cat pom.xml src/main/java/*.java >"$directory/.wanted"
    made "$directory/.wanted" && exit 0
    rm -rf "$directory/jars" "$directory/classes"
    mvn --quiet --batch-mode -DoutputDirectory="$directory/jars" dependency:copy-dependencies
    javac --release 17 -encoding UTF-8 -Xlint:all,-serial -Werror -cp "$directory/jars/*" -d "$directory/classes" \
        src/main/java/*.java
    remember "$directory/.wanted"
    ;;
node)
    for file in package.json reprice.js; do # whole at any moment: it may be running
        cmp -s $file "$directory/$file" || { cp $file "$directory/$file.new" && mv "$directory/$file.new" "$directory/$file"; }
    done
    made package.json && exit 0
    (cd "$directory" && npm install --no-package-lock --no-audit --no-fund --loglevel=error)
    remember package.json
    ;;
esac
