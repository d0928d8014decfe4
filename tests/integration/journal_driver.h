/* journal_driver.h: the journal and the reader, driven step by step against a real Postgres, as the relay drives them but
 * one request at a time: so a test can put other transactions exactly between two steps. */
#ifndef OUTBOXD_TESTS_INTEGRATION_JOURNAL_DRIVER_H
#define OUTBOXD_TESTS_INTEGRATION_JOURNAL_DRIVER_H

#include "postgres/journal.h"
#include "postgres/reader.h"

#include <libpq-fe.h>

struct driver {
    struct settings settings;
    struct session *session;
    struct topic_table *topics;
    struct reader *reader;
    struct journal_self self;
    struct tick_edge edge;
    int64_t sequence;
    struct journal_position confirmed;
    void (*asked)(void); /* called once a page was asked for, before its answer; NULL: nothing */
};

/* Ids of one tick, in the order in which they were read. */
struct ids {
    int64_t *list;
    size_t count;
    size_t pages;
};

/* Connects as the relay role, registers `relay`, takes the lead. The test fails with the server's words if it cannot. */
struct driver *driver_open(const char *conninfo, const char *relay);
void driver_close(struct driver *driver);

/* Waits for the answer of whatever was asked. */
void driver_wait(struct driver *driver);

/* One step; true when a tick with events was opened: its ids are read in pages of `events` (and `bytes`) into *ids, which
 * the caller frees with driver_ids_free. */
bool driver_step(struct driver *driver, int64_t events, int64_t bytes, struct ids *ids);

/* Splits driver_step: asks only, so that the test can act while the server works; driver_finish_step waits and reads. */
void driver_ask_step(struct driver *driver);
bool driver_finish_step(struct driver *driver, int64_t events, int64_t bytes, struct ids *ids);

/* Reads tick `seq` back from the journal, as a new leader does. */
void driver_read_back(struct driver *driver, int64_t seq, int64_t events, struct ids *ids);

/* While the gate is closed, whoever reads the id sequence in the database of `admin` waits before he has it, where the SQL
 * condition `when` holds: with its snapshot taken. driver_await_gate() returns when somebody waits. */
void driver_close_gate(PGconn *admin, const char *when);
void driver_await_gate(PGconn *admin);
void driver_open_gate(PGconn *admin);

void driver_ids_free(struct ids *ids);
bool driver_ids_equal(const struct ids *a, const struct ids *b);
bool driver_has_id(const struct ids *ids, int64_t id);

#endif
