/* check.c: the judge of the demo. Reads everything that is in Kafka and everything that the database says was
 * committed, compares them event by event, and prints the table. Called by demo.sh after the last sign-up. It
 * takes no number from the demo on trust: what the sign-up program said of itself is compared as well. */
#include "consumer.h"

#include <endian.h>
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    EXIT_USAGE = 64,
    PATIENCE_S =
        30,      /* a takeover takes seconds: whoever has sent nothing for this long will not send any more */
    QUIET_S = 1, /* after the last expected event: time for a ghost or a duplicate to show itself */
};

struct committed {
    PGresult *rows; /* id, key, payload, by id; binary */
    int count;
    int *received; /* how often each came */
};

struct counts {
    long signed_up, rolled_back, orphans, silent_users; /* Postgres */
    long published, missing, changed, ghosts, duplicates;
};

/* NULL, with the reason on stderr, when Postgres refuses. */
static PGresult *
query(PGconn *db, const char *sql, const char *topic, int binary)
{
    PGresult *rows = PQexecParams(db, sql, 1, NULL, &topic, NULL, NULL, binary);
    if (PQresultStatus(rows) == PGRES_TUPLES_OK)
        return rows;
    fprintf(stderr, "check: %s", PQerrorMessage(db));
    PQclear(rows);
    return NULL;
}

/* Identity columns draw their number outside of the transaction: a number without a row is a sign-up rolled
 * back. */
static bool
count_business(PGconn *db, const char *topic, struct counts *counts)
{
    PGresult *row = query(db,
                          "select (select count(*) from app_user),"
                          " (select case when is_called then last_value else 0 end from account_id_seq)"
                          "   - (select count(*) from account),"
                          " (select count(*) from account a"
                          "   where not exists (select from app_user u where u.account_id = a.id)),"
                          " (select count(*) from app_user u where not exists (select from outbox.event e"
                          "   where e.topic = $1 and e.key = convert_to(u.id::text, 'UTF8')))",
                          topic, 0);
    if (row == NULL)
        return false;
    counts->signed_up = strtol(PQgetvalue(row, 0, 0), NULL, 10);
    counts->rolled_back = strtol(PQgetvalue(row, 0, 1), NULL, 10);
    counts->orphans = strtol(PQgetvalue(row, 0, 2), NULL, 10);
    counts->silent_users = strtol(PQgetvalue(row, 0, 3), NULL, 10);
    PQclear(row);
    return true;
}

static bool
read_committed(PGconn *db, const char *topic, struct committed *committed)
{
    committed->rows =
        query(db, "select id, key, payload from outbox.event where topic = $1 order by id", topic, 1);
    if (committed->rows == NULL)
        return false;
    committed->count = PQntuples(committed->rows);
    committed->received = calloc((size_t)committed->count + 1, sizeof *committed->received);
    return committed->received != NULL;
}

static int64_t
committed_id(const struct committed *committed, int row)
{
    uint64_t big_endian;
    memcpy(&big_endian, PQgetvalue(committed->rows, row, 0), sizeof big_endian);
    return (int64_t)be64toh(big_endian);
}

/* The row with this id, or -1. */
static int
committed_find(const struct committed *committed, int64_t id)
{
    int low = 0, high = committed->count;
    while (low < high) {
        int middle = low + (high - low) / 2;
        if (committed_id(committed, middle) < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low < committed->count && committed_id(committed, low) == id ? low : -1;
}

static bool
same_bytes(const struct committed *committed, int row, int column, const void *bytes, size_t size)
{
    if (PQgetisnull(committed->rows, row, column) || bytes == NULL)
        return PQgetisnull(committed->rows, row, column) && bytes == NULL;
    return (size_t)PQgetlength(committed->rows, row, column) == size &&
           memcmp(PQgetvalue(committed->rows, row, column), bytes, size) == 0;
}

static void
count_received(const struct committed *committed, const struct received *event, struct counts *counts)
{
    const rd_kafka_message_t *message = event->message;
    int row = committed_find(committed, event->id);
    if (row < 0) {
        counts->ghosts++;
        return;
    }
    if (committed->received[row]++ == 0)
        counts->published++;
    else
        counts->duplicates++;
    if (!same_bytes(committed, row, 1, message->key, message->key_len) ||
        !same_bytes(committed, row, 2, message->payload, message->len))
        counts->changed++;
}

static void
count_kafka(struct consumer *consumer, const struct committed *committed, struct counts *counts)
{
    time_t last = time(NULL);
    while (time(NULL) - last <= (counts->published < committed->count ? PATIENCE_S : QUIET_S)) {
        struct received event;
        if (!consumer_next(consumer, 100, &event))
            continue;
        count_received(committed, &event, counts);
        received_free(&event);
        last = time(NULL);
    }
    counts->missing = committed->count - counts->published;
}

static bool
expect(const char *what, long count, long expected)
{
    if (count != expected)
        fprintf(stderr, "check: WRONG: %s: %ld, expected %ld\n", what, count, expected);
    return count == expected;
}

static bool
judge(const struct counts *counts, int events, long claimed_done, long claimed_taken)
{
    printf("\n"
           "    sign-ups committed    %6ld   rows of app_user\n"
           "    sign-ups rolled back  %6ld   refused; their account ids were used and left no row\n"
           "    orphaned accounts     %6ld   accounts without a user\n"
           "    events committed      %6d   rows of outbox.event\n"
           "    events published      %6ld   different ids in Kafka\n"
           "    lost                  %6ld   committed, not in Kafka\n"
           "    ghosts                %6ld   in Kafka, never committed\n"
           "    duplicates            %6ld   sent again after the kill; same id, so consumers can tell\n\n",
           counts->signed_up, counts->rolled_back, counts->orphans, events, counts->published,
           counts->missing, counts->ghosts, counts->duplicates);
    fflush(stdout);
    bool right =
        expect("sign-ups committed, against what the sign-up program says", counts->signed_up, claimed_done);
    right &= expect("sign-ups rolled back, against what it says", counts->rolled_back, claimed_taken);
    right &= expect("orphaned accounts", counts->orphans, 0);
    right &= expect("users without an event", counts->silent_users, 0);
    right &= expect("events committed, against users", events, counts->signed_up);
    right &= expect("events lost", counts->missing, 0);
    right &= expect("events published but never committed", counts->ghosts, 0);
    right &= expect("events whose key or payload changed on the way", counts->changed, 0);
    if (counts->signed_up == 0)
        fputs("check: WRONG: nobody signed up, so this proves nothing\n", stderr);
    return right && counts->signed_up > 0;
}

int
main(int argc, char **argv)
{
    if (argc != 6) {
        fputs("usage: check CONNINFO BROKERS TOPIC DONE TAKEN\n"
              "Compares all events in Kafka with all that the database committed. DONE and TAKEN are what "
              "the sign-up\n"
              "program counted. Exit code: 0 when everything agrees, 1 otherwise.\n",
              stderr);
        return EXIT_USAGE;
    }
    const char *topic = argv[3];
    PGconn *db = PQconnectdb(argv[1]);
    if (PQstatus(db) != CONNECTION_OK) {
        fprintf(stderr, "check: %s", PQerrorMessage(db));
        return EXIT_FAILURE;
    }
    struct counts counts = {0};
    struct committed committed = {0};
    struct consumer consumer;
    bool right = count_business(db, topic, &counts) && read_committed(db, topic, &committed);
    PQfinish(db);
    right = right && consumer_open(&consumer, argv[2], topic);
    if (right) {
        count_kafka(&consumer, &committed, &counts);
        consumer_close(&consumer);
        right = judge(&counts, committed.count, strtol(argv[4], NULL, 10), strtol(argv[5], NULL, 10));
    }
    free(committed.received);
    PQclear(committed.rows);
    return right ? 0 : EXIT_FAILURE;
}
