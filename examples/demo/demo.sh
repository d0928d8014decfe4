#!/bin/bash
# demo.sh: the whole story in about 16 seconds, on servers of its own: people sign up, their events reach Kafka, a mailer
# welcomes them, the mail server fails and the relay is killed in the middle, and at the end Kafka, the mails and Postgres are
# compared. Called by `make demo`, which has built everything before.
#   O=build        where things are built      BROKER=mock|kafka    librdkafka's mock broker, or a real Apache Kafka
# Uses no well-known port and no directory of the user; leaves neither a process nor a file behind.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

O=${O:-build}
BROKER=${BROKER:-mock}
TOPIC=user.signed_up
PARTITIONS=3
SIGNUPS=400
RATE=40          # a second: 10 s of sign-ups
SHOW_EVERY=20    # print every 20th event

pg_config=${PG_CONFIG:-pg_config}
unset "${!PG@}" # PGHOST, PGSERVICE and the like of the caller must not lead us to another server
export LC_ALL=C

scratch=
pids=()
identity=() # setpriv's options for the next background process
said=

# ---- telling ------------------------------------------------------------------------------------------------

say() {
    printf '[%3ds] %s\n' "$SECONDS" "$*"
}

fail() {
    said=yes
    printf '\ndemo: FAILED: %s\n' "$1" >&2
    [[ -n ${2:-} && -s $2 ]] && printf '    the last lines of %s:\n' "${2##*/}" >&2 && tail -n 15 "$2" | sed 's/^/    | /' >&2
    exit 1
}

# ---- leaving nothing behind -----------------------------------------------------------------------------------

running() {
    kill -0 "$1" 2>/dev/null
}

stop_all() {
    local pid
    for pid in "${pids[@]}"; do kill -TERM "$pid" 2>/dev/null || true; done
    for _ in {1..50}; do
        local left=no
        for pid in "${pids[@]}"; do if running "$pid"; then left=yes; fi; done
        [[ $left == no ]] && return
        sleep 0.1
    done
    for pid in "${pids[@]}"; do kill -KILL "$pid" 2>/dev/null || true; done
}

leave() {
    local code=$?
    trap '' INT TERM HUP PIPE
    set +e
    [[ $code -ne 0 && -z $said ]] && printf '\ndemo: stopped before its end (code %d)\n' "$code" >&2
    exec 2>/dev/null # bash's own notes about the processes that end now
    stop_all
    wait
    [[ -n $scratch ]] && rm -rf "$scratch"
    exit "$code"
}
trap leave EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP
trap 'exit 141' PIPE

# background LOG COMMAND..: in a session of its own, so that Ctrl-C reaches only this script, which then stops things in
# order; and ended by the kernel should this script itself be killed. The pid is in $!.
background() {
    local log=$1
    shift
    setsid setpriv "${identity[@]}" --pdeathsig TERM -- "$@" >>"$log" 2>&1 </dev/null &
    pids+=($!)
}

# wait_end PID: its exit code. The pid may then be anybody's, so it is forgotten.
wait_end() {
    local code=0 pid left=()
    wait "$1" 2>/dev/null || code=$?
    for pid in "${pids[@]}"; do if [[ $pid != "$1" ]]; then left+=("$pid"); fi; done
    pids=("${left[@]}")
    return "$code"
}

# wait_until SECONDS WHAT PID LOG COMMAND..: until the command succeeds, as long as the process lives.
wait_until() {
    local deadline=$((SECONDS + $1)) what=$2 pid=$3 log=$4
    shift 4
    until "$@" >/dev/null 2>&1; do
        running "$pid" || fail "$what ended" "$log"
        ((SECONDS < deadline)) || fail "$what is not ready in time" "$log"
        sleep 0.1
    done
}

# ---- Postgres -------------------------------------------------------------------------------------------------

sql() {
    psql -XqAt -v ON_ERROR_STOP=1 -d "host=$socket dbname=shop user=postgres" "$@"
}

start_postgres() {
    local programs data=$scratch/postgres/data log=$scratch/postgres.log
    programs=$("$pg_config" --bindir)
    [[ -x $programs/initdb ]] || fail "no Postgres server in $programs"
    socket=$scratch/postgres
    mkdir -m 0700 "$socket"
    identity=()
    if ((EUID == 0)); then # initdb refuses root
        identity=(--reuid=postgres --regid=postgres --init-groups)
        chown postgres: "$socket"
    fi
    (cd / && setpriv "${identity[@]}" --pdeathsig TERM -- "$programs/initdb" -D "$data" -U postgres -A trust -E UTF8 \
        --locale=C --no-sync) >>"$log" 2>&1 || fail "initdb does not work" "$log"
    background "$log" "$programs/postgres" -D "$data" -c listen_addresses= -c "unix_socket_directories=$socket"
    identity=()
    wait_until 20 Postgres $! "$log" "$programs/pg_isready" -h "$socket" -U postgres
    psql -Xq -d "host=$socket dbname=postgres user=postgres" -c 'create database shop' \
        -c 'create role shop_app login' -c 'create role outboxd login' || fail "cannot make the database" "$log"
    sql -f examples/signup/schema.sql -c 'grant select, insert on account, app_user, notification to shop_app'
}

# ---- the broker -----------------------------------------------------------------------------------------------

# A port that nobody listens on, below those that the kernel gives to outgoing connections.
free_port() {
    local port
    while port=$((20000 + RANDOM % 10000)); (: >"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do :; done
    echo "$port"
}

start_mock() {
    local log=$scratch/broker.log
    background "$log" "$O/examples/demo/mock_broker" "$TOPIC:$PARTITIONS"
    wait_until 10 "the mock broker" $! "$log" grep -q '^127\.0\.0\.1:' "$log"
    bootstrap=$(grep -m 1 '^127\.0\.0\.1:' "$log")
}

# shellcheck source=examples/demo/kafka.sh
source examples/demo/kafka.sh
# shellcheck source=examples/demo/mail.sh
source examples/demo/mail.sh

# ---- the relay ------------------------------------------------------------------------------------------------

write_config() {
    http_port=$(free_port)
    cat >"$scratch/outboxd.yaml" <<YAML
source: shop
relay: main
postgres: {conninfo: "host=$socket dbname=shop user=outboxd"}
kafka: {bootstrap.servers: "$bootstrap"}
http: {listen: "127.0.0.1:$http_port"}
YAML
}

# The words of a page that outboxd serves.
page_says() {
    exec 3<>"/dev/tcp/127.0.0.1/$http_port" || return 1
    printf 'GET %s HTTP/1.0\r\n\r\n' "$1" >&3
    timeout 2 grep -q "$2" <&3
}

start_relay() {
    background "$scratch/outboxd.log" "$O/outboxd" run --config "$scratch/outboxd.yaml"
    relay=$!
    wait_until 20 outboxd "$relay" "$scratch/outboxd.log" page_says /metrics '^outbox_leader 1'
    wait_until 20 outboxd "$relay" "$scratch/outboxd.log" page_says /health/ready '^HTTP/1.[01] 200'
}

# Kafka has acknowledged an event that this process sent.
wait_published() {
    wait_until 30 "outboxd has published nothing: it" "$relay" "$scratch/outboxd.log" \
        page_says /metrics '^outbox_published_total{.*} [1-9]'
}

stop_relay() {
    kill -TERM "$relay"
    wait_end "$relay" || fail "outboxd was asked to stop and ended with code $?" "$scratch/outboxd.log"
}

# ---- the story ------------------------------------------------------------------------------------------------

kill_relay() {
    local before after
    before=$(sql -c 'select count(*) from app_user')
    {
        kill -KILL "$relay"
        wait_end "$relay" || true
    } 2>/dev/null # bash says "Killed", as if something had gone wrong
    say "kill -9 of outboxd (process $relay), without warning: $before sign-ups are committed so far"
    sleep 2
    after=$(sql -c 'select count(*) from app_user')
    ((after > before)) || fail "nobody could sign up while the relay was dead"
    say "two seconds without a relay: $((after - before)) more people signed up; their events wait in Postgres"
}

[[ $BROKER == mock || $BROKER == kafka ]] || fail "BROKER is mock or kafka, not \"$BROKER\""
scratch=$(mktemp -d /tmp/outboxd-demo.XXXXXX)
chmod 0711 "$scratch" # user postgres passes through

say "starting a private Postgres in $scratch"
start_postgres
say "starting a broker ($BROKER)"
"start_$BROKER"
say "installing the outbox: outboxd migrate --writer shop_app --relay outboxd --consumer mailer"
"$O/outboxd" migrate --conninfo "host=$socket dbname=shop user=postgres" --writer shop_app --relay outboxd --consumer mailer \
    >>"$scratch/migrate.log" 2>&1 || fail "outboxd migrate" "$scratch/migrate.log"
write_config
say "starting outboxd; its status page is at http://127.0.0.1:$http_port/ while this runs"
start_relay
say "starting a mail server, and the mailer: a consumer of the events that sends each new user a welcome mail"
start_mail_server
start_mailer

say "a consumer prints every ${SHOW_EVERY}th event; $SIGNUPS people sign up, $RATE a second, some with an e-mail that is taken"
setsid setpriv --pdeathsig TERM -- "$O/examples/demo/tail" "$bootstrap" "$TOPIC" "$SHOW_EVERY" 2>>"$scratch/tail.log" </dev/null &
pids+=($!)
background "$scratch/signup.log" "$O/examples/signup/signup" --conninfo "host=$socket dbname=shop user=shop_app" \
    --count "$SIGNUPS" --rate "$RATE" --threads 4 --duplicate-every 8
signup=$!
wait_published
wait_first_mail
fail_mail_server
kill_relay
say "starting outboxd again: it takes over when the dead one's lease (3 s) has run out"
start_relay
wait_published
say "the new outboxd leads and publishes what was left; its first events may stand above this line"
wait_end "$signup" || fail "the sign-up program" "$scratch/signup.log"
[[ $(<"$scratch/signup.log") =~ done=([0-9]+)\ email_taken=([0-9]+)\  ]] || fail "the sign-up program" "$scratch/signup.log"

say "all have signed up; comparing everything in Kafka with everything in Postgres"
"$O/examples/demo/check" "host=$socket dbname=shop user=postgres" "$bootstrap" "$TOPIC" "${BASH_REMATCH[@]:1}" &
pids+=($!)
wait_end $! || fail "the numbers are wrong" "$scratch/outboxd.log"
say "comparing the mails with the users"
compare_mails
say "stopping the mailer and outboxd (SIGTERM)"
stop_mailer
stop_relay

say "done: who signed up is in Kafka and has a mail; who was rolled back is nowhere"
cat <<'TEXT'

    What next
      examples/signup/signup.c   the transaction to copy: account, user and event in one
      examples/welcome           the consumer to copy: a mail for each event, once
      docs/patterns.md           what belongs into a transaction, and what does not
      README.md                  how to put outboxd beside an application that you have
      make demo BROKER=kafka     the same with a real Apache Kafka
      make check                 the tests, with real servers
TEXT
