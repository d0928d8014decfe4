/* faults.h: the table of the faults, and what a seed makes of it. A fault is an entry in the file of its place: faults_relay.c,
 * faults_network.c, faults_kafka.c, faults_postgres.c; one more is one entry more.
 *
 *     seed, number --plan_draw()--> moment: rest, then one fault, or two of different places, each with its parameters
 *     stage_strike(): rest -> inject (.. inject) -> as long as drawn -> heal (.. heal): everything runs again
 *
 * What is drawn depends on the seed and the number alone, not on what the stage does; "the leader" is whoever leads at that moment. */
#ifndef OUTBOXD_TESTS_CHAOS_FAULTS_H
#define OUTBOXD_TESTS_CHAOS_FAULTS_H

#include "chaos/stage.h"

#define STRIKE_WORDS 200

struct fault;
struct fault_list;

/* One fault as it was drawn, and what it needs to heal. */
struct strike {
    const struct fault *fault; /* NULL: none */
    const struct fault_list *place;
    int length_ms;
    unsigned pick;            /* whom it strikes, where there are several */
    char words[STRIKE_WORDS]; /* its parameters: fault.words with everything drawn */
    char victim[64];          /* whom it struck, for people */
    int at;                   /* the fault's own: a process, a node, a rule */
    long hits;  /* requests or calls that a rule has struck; whatever has no rule strikes once */
    bool alone; /* no other one at the same time */
    bool led;   /* the process that it struck led, and another one stood by */
    PGconn *session;
};

struct fault {
    const char *name;
    int weight;         /* how often, beside the others */
    int from_ms, to_ms; /* how long it lasts; at most three times as long when its rule has not struck yet */
    /* {3..9}: a number, {this|that}: one of them, nested as need be; NULL: no parameters */
    const char *words;
    void (*inject)(struct stage *stage, struct strike *strike);
    /* at each turn while it lasts; NULL: nothing */
    void (*during)(struct stage *stage, struct strike *strike);
    /* NULL: inject has healed it */
    void (*heal)(struct stage *stage, struct strike *strike);
    bool takeover; /* strikes the leader alone: another one is to lead within the lease and a second */
};

/* The faults of one place; two at a time are of two places, so that neither heals the other. */
struct fault_list {
    const char *place;
    const struct fault *list;
    size_t count;
};

extern const struct fault_list faults_relay, faults_network, faults_kafka, faults_postgres;
extern const struct fault_list *const fault_lists[];
#define FAULT_LISTS 4

struct moment {
    uint64_t number;
    int rest_ms; /* before it */
    struct strike first, second;
    int lead_ms; /* from the first one to the second one */
    bool first_heals_first;
};

/* The `number`-th moment of this seed. `only` is a shell pattern: the names of the faults that there are; NULL: all. */
void plan_draw(struct moment *moment, uint64_t seed, uint64_t number, const char *only);

/* Carries it out, and says so on stdout. */
void stage_strike(struct stage *stage, struct moment *moment);

/* How often each fault was injected, and how much it struck, as a table. */
void faults_print_counts(void);
uint64_t faults_injected(void);

#endif
