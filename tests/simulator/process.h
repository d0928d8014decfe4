/* process.h: the processes of outboxd: each a real relay of src/relay with a clock of its own, that is killed, stopped, paused. */
#ifndef OUTBOXD_TESTS_SIMULATOR_PROCESS_H
#define OUTBOXD_TESTS_SIMULATOR_PROCESS_H

#include "config/settings.h"
#include "postgres/session.h"
#include "relay/relay.h"
#include "simulator/model.h"

struct instance;

struct process {
    int number;
    struct relay *relay; /* NULL: it does not run */
    struct settings settings;
    int64_t due_us;    /* its next turn */
    int turns_at_once; /* so many of them, without waiting for anything */
    int64_t paused_until_us;
    int64_t cut_until_us; /* Postgres is out of its reach */
    int64_t clock_origin_us, clock_begin_us;
    int64_t clock_permille;               /* its speed */
    char holder[SESSION_NAME_HOLDER + 1]; /* how its holder begins */
    const struct instance *instance;      /* of its producer: the last one that it has started */
    int64_t epoch;                        /* of its newest row in the journal */
    int64_t fenced_from_us;               /* since when another one's row has been the newest; 0: it is not */
};

extern struct process processes[MODEL_PROCESSES];
/* Whose turn it is: whatever the relay makes belongs to it. */
extern struct process *turning;

void processes_begin(void);
/* The next turn of any of them, in the world's time; CLOCK_NEVER: none is due. */
struct process *processes_next(int64_t *due_us);
void process_turn(struct process *process);

/* Something is ready for it: as poll(2) would say. */
void process_wake(struct process *process);
int64_t process_clock_us(const struct process *process);

/* What it calls its session, of which its holder is the end. */
void process_name(struct process *process, const char *application);
/* A row of this holder has become the newest of the journal. */
void processes_led_by(const char *holder, int64_t epoch);

void process_start(struct process *process);
void process_kill(struct process *process);
void process_strike(void *subject);         /* the same, planned for later */
void process_stop(struct process *process); /* SIGTERM */
void processes_free(void);

#endif
