/* record.c: text of the position record and back. Called by exact.c for each commit, and when a position was read. */
#include "relay/record.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the chain ---- */

/* Which entry tells least: its neighbours are close to each other, compared with how far back they are. */
static size_t
dispensable(const struct record_chain *chain)
{
    size_t found = 1;
    double least = 0;
    for (size_t i = 1; i + 1 < chain->count; i++) {
        const struct journal_name *names = chain->names;
        double gap = (double)(names[i - 1].seq - names[i + 1].seq);
        double back = (double)(names[0].seq - names[i + 1].seq);
        if (i == 1 || gap / back < least) {
            found = i;
            least = gap / back;
        }
    }
    return found;
}

void
record_chain_add(struct record_chain *chain, struct journal_name name)
{
    if (chain->count > 0 && chain->names[0].seq >= name.seq)
        return;
    if (chain->count == RECORD_CHAIN) {
        size_t gone = dispensable(chain);
        chain->count--;
        memmove(&chain->names[gone], &chain->names[gone + 1], (chain->count - gone) * sizeof chain->names[0]);
    }
    memmove(&chain->names[1], &chain->names[0], chain->count * sizeof chain->names[0]);
    chain->names[0] = name;
    chain->count++;
}

bool
record_sides_set(struct record_sides *sides, struct record_side side)
{
    size_t i = 0;
    while (i < sides->count && sides->list[i].number != side.number)
        i++;
    if (i == RECORD_SIDES)
        return false;
    sides->list[i] = side;
    sides->count += i == sides->count;
    return true;
}

bool
record_make(struct record *record, struct journal_position at, const struct journal_name *names, size_t count)
{
    int64_t seq = at.seq + (at.id > 0);
    *record = (struct record){.at = at};
    for (size_t i = 0; i < count; i++)
        if (names[i].seq == seq)
            record_chain_add(&record->chain, names[i]);
    return record->chain.count > 0;
}

void
record_seqs(const struct record *record, struct journal_position confirmed, char text[RECORD_SEQS_SIZE])
{
    int used = snprintf(text, RECORD_SEQS_SIZE, "{%" PRId64 ",%" PRId64, confirmed.seq, confirmed.seq + 1);
    if (record != NULL && record->aside.seq > 0)
        used += snprintf(text + used, (size_t)(RECORD_SEQS_SIZE - used), ",%" PRId64, record->aside.seq);
    for (size_t i = 0; record != NULL && i < record->chain.count; i++)
        used +=
            snprintf(text + used, (size_t)(RECORD_SEQS_SIZE - used), ",%" PRId64, record->chain.names[i].seq);
    snprintf(text + used, (size_t)(RECORD_SEQS_SIZE - used), "}");
}

void
record_side_numbers(const struct record *record, char text[RECORD_SEQS_SIZE])
{
    int used = snprintf(text, RECORD_SEQS_SIZE, "{");
    for (size_t i = 0; record != NULL && i < record->sides.count; i++)
        used += snprintf(text + used, (size_t)(RECORD_SEQS_SIZE - used), "%s%" PRId64, i > 0 ? "," : "",
                         record->sides.list[i].number);
    snprintf(text + used, (size_t)(RECORD_SEQS_SIZE - used), "}");
}

/* ---- writing ---- */

void
record_format(const struct record *record, char text[RECORD_TEXT_SIZE])
{
    int used = snprintf(text, RECORD_TEXT_SIZE,
                        "v1 relay=%s seq=%" PRId64 " id=%" PRId64 " epoch=%" PRId64 " commit=%" PRId64
                        " sysid=%" PRId64 " timeline=%d dbid=%" PRId64 " cluster=%s sides=",
                        record->relay, record->at.seq, record->at.id, record->epoch, record->commit,
                        record->place.sysid, record->place.timeline, record->place.dbid, record->cluster);
    for (size_t i = 0; i < record->sides.count; i++) {
        const struct record_side *side = &record->sides.list[i];
        used += snprintf(text + used, (size_t)(RECORD_TEXT_SIZE - used), "%s%" PRId64 ":%" PRId64,
                         i > 0 ? "," : "", side->number, side->progress);
    }
    if (record->aside.seq > 0)
        used += snprintf(text + used, (size_t)(RECORD_TEXT_SIZE - used), " aside=%" PRId64 ":%" PRId64,
                         record->aside.seq, record->aside.nonce);
    used += snprintf(text + used, (size_t)(RECORD_TEXT_SIZE - used), " chain=");
    for (size_t i = 0; i < record->chain.count; i++) {
        const struct journal_name *name = &record->chain.names[i];
        used += snprintf(text + used, (size_t)(RECORD_TEXT_SIZE - used), "%s%" PRId64 ":%" PRId64,
                         i > 0 ? "," : "", name->seq, name->nonce);
    }
    used += snprintf(text + used, (size_t)(RECORD_TEXT_SIZE - used), " end");
    CHECK(used < RECORD_TEXT_SIZE);
}

/* ---- reading ---- */

struct cursor {
    const char *at;
    bool good;
};

static void
skip(struct cursor *cursor, const char *text)
{
    size_t size = strlen(text);
    cursor->good = cursor->good && strncmp(cursor->at, text, size) == 0;
    if (cursor->good)
        cursor->at += size;
}

/* Decimal, as record_format() writes it: no sign but a minus, no zero in front. */
static int64_t
number(struct cursor *cursor, int64_t least, int64_t most)
{
    char *end;
    if (!cursor->good)
        return 0;
    const char *digits = cursor->at + (*cursor->at == '-');
    errno = 0;
    long long value = strtoll(cursor->at, &end, 10);
    bool plain = (*digits >= '1' && *digits <= '9') || (value == 0 && end == cursor->at + 1);
    cursor->good = plain && errno == 0 && value >= least && value <= most;
    cursor->at = end;
    return value;
}

static void
word(struct cursor *cursor, char *text, size_t size)
{
    size_t length = cursor->good ? strcspn(cursor->at, " ") : 0;
    cursor->good = cursor->good && length < size;
    if (!cursor->good)
        return;
    memcpy(text, cursor->at, length);
    text[length] = '\0';
    cursor->at += length;
}

static void
read_sides(struct cursor *cursor, struct record_sides *sides)
{
    while (cursor->good && *cursor->at != ' ') {
        struct record_side side;
        if (sides->count > 0)
            skip(cursor, ",");
        side.number = number(cursor, 1, INT64_MAX);
        skip(cursor, ":");
        side.progress = number(cursor, 1, INT64_MAX);
        size_t before = sides->count;
        cursor->good = cursor->good && record_sides_set(sides, side) && sides->count > before;
    }
}

/* A record of an older version has none. */
static void
read_aside(struct cursor *cursor, struct journal_name *aside)
{
    static const char word[] = " aside=";
    if (!cursor->good || strncmp(cursor->at, word, strlen(word)) != 0)
        return;
    skip(cursor, word);
    aside->seq = number(cursor, 1, INT64_MAX);
    skip(cursor, ":");
    aside->nonce = number(cursor, INT64_MIN, INT64_MAX);
}

static void
read_chain(struct cursor *cursor, struct record_chain *chain)
{
    do {
        struct journal_name *name = &chain->names[chain->count];
        name->seq = number(cursor, 0, INT64_MAX);
        skip(cursor, ":");
        name->nonce = number(cursor, INT64_MIN, INT64_MAX);
        cursor->good = cursor->good && (chain->count == 0 || name[-1].seq > name->seq);
        chain->count++;
        if (*cursor->at != ',')
            return;
        cursor->at++;
    } while (cursor->good && chain->count < RECORD_CHAIN);
    cursor->good = false;
}

bool
record_parse(struct record *record, const char *text, struct error *error)
{
    struct cursor cursor = {.at = text, .good = true};
    *record = (struct record){0};
    skip(&cursor, "v1 relay=");
    word(&cursor, record->relay, sizeof record->relay);
    skip(&cursor, " seq=");
    record->at.seq = number(&cursor, 0, INT64_MAX);
    skip(&cursor, " id=");
    record->at.id = number(&cursor, 0, INT64_MAX);
    skip(&cursor, " epoch=");
    record->epoch = number(&cursor, 0, INT64_MAX);
    skip(&cursor, " commit=");
    record->commit = number(&cursor, 0, INT64_MAX);
    skip(&cursor, " sysid=");
    record->place.sysid = number(&cursor, INT64_MIN, INT64_MAX);
    skip(&cursor, " timeline=");
    record->place.timeline = (int)number(&cursor, 0, INT32_MAX);
    skip(&cursor, " dbid=");
    record->place.dbid = number(&cursor, 0, UINT32_MAX);
    skip(&cursor, " cluster=");
    word(&cursor, record->cluster, sizeof record->cluster);
    skip(&cursor, " sides=");
    read_sides(&cursor, &record->sides);
    read_aside(&cursor, &record->aside);
    skip(&cursor, " chain=");
    read_chain(&cursor, &record->chain);
    skip(&cursor, " end");
    /* the newest tick of the chain is the one that holds the position, or the one after it */
    int64_t newest = record->chain.count > 0 ? record->chain.names[0].seq : 0;
    bool whole = cursor.good && *cursor.at == '\0' && newest - (record->at.id > 0) == record->at.seq;
    return whole || error_set(error, ERROR_CONFIG, "the position record cannot be read (at byte %zu): %.60s",
                              (size_t)(cursor.at - text), text);
}

int
record_compare(struct journal_position a, struct journal_position b)
{
    if (a.seq != b.seq)
        return a.seq < b.seq ? -1 : 1;
    return a.id == b.id ? 0 : a.id < b.id ? -1 : 1;
}
