/* blockers.h: who holds what an administrator's transaction waits for, in words for a person. A connection of its own looks,
 * while the other one waits. Blocks; private to src/postgres. */
#ifndef OUTBOXD_POSTGRES_BLOCKERS_H
#define OUTBOXD_POSTGRES_BLOCKERS_H

#include <stdbool.h>

struct pg_conn;

struct blockers {
    struct pg_conn *connection; /* NULL until the first look */
    char names[1024];           /* as last seen; "": nobody was */
    bool autovacuum;            /* nobody but autovacuum, which Postgres sends off */
};

/* Who blocks this backend now. What was seen before stays when nobody does, or when nobody can be asked. */
void blockers_look(struct blockers *blockers, const char *conninfo, int backend_pid);
void blockers_close(struct blockers *blockers);

#endif
