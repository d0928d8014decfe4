/* fproxy_rules.h: which requests meet which fault. Knows nothing of sockets: the protocols (fproxy_kafka.c, fproxy_postgres.c) show
 * it each request once and carry out, or pass on, what it answers. The syntax of a rule is in tests/fault/README.md. */
#ifndef OUTBOXD_TESTS_FAULT_FPROXY_RULES_H
#define OUTBOXD_TESTS_FAULT_FPROXY_RULES_H

#include "base/error.h"

#include <stdint.h>
#include <stdio.h>

#define RULES_MAX 64  /* one bit each in request.counted */
#define RULE_KIND 128 /* bytes of a pattern */

enum protocol { PROTOCOL_KAFKA, PROTOCOL_POSTGRES };
enum side { SIDE_REQUEST, SIDE_RESPONSE };

enum fault {
    FAULT_NONE, /* only counts */
    FAULT_DELAY,
    FAULT_DROP,
    FAULT_CUT,
    FAULT_RST,
    FAULT_HALF_CLOSE,
    FAULT_DUPLICATE,
    FAULT_HOLD,
    FAULT_POSTPONE,
    FAULT_THROTTLE,
    FAULT_CORRUPT,
};

/* What becomes of one request and of its answer. */
struct verdict {
    enum fault fault;
    enum side side;
    const char *action; /* its name, for the log; static */
    int rule;
    uint64_t n;     /* of the requests that the rule has counted, this one */
    int64_t amount; /* milliseconds or bytes; 0: not given */
    double drawn;   /* 0 .. 1, without 1: which byte is corrupted */
    int64_t
        boundary;    /* of a rule with kb=: so many bytes of the request come before that many were carried */
    int64_t rate[2]; /* bytes a second of the request and of its answer; 0: as fast as it goes */
};

struct request {
    enum protocol protocol;
    int listener;         /* 1, 2 .. of its protocol */
    const char *kinds[2]; /* its names, either may be NULL */
    uint64_t before;      /* bytes of its connection so far */
    uint64_t size;
    uint64_t
        *counted; /* the rules that have counted it: a statement of several messages is shown several times */
};

struct rule {
    int number;
    enum protocol protocol;
    char kind[RULE_KIND];
    int listener; /* 0: any */
    uint64_t from, to, every;
    double probability;
    int64_t kb; /* in whose course its connection carries another so many KiB; 0: any */
    const struct action *action;
    int64_t amount;
    uint64_t seen, fired;
};

struct rules {
    struct rule list[RULES_MAX];
    int count;
    int numbers;     /* given so far: a number is never given twice */
    uint64_t random; /* state of the generator */
};

/* Adds the rule that `line` says ("kafka EndTxn n=3 drop-response") and gives its number. */
MUST_CHECK bool rules_add(struct rules *rules, const char *line, int *number, struct error *error);

/* Removes one rule, or with 0 all of them; false when there is none of that number. */
bool rules_clear(struct rules *rules, int number);

/* One line a rule: its number, its terms, and how many requests it has seen and met. */
void rules_list(const struct rules *rules, FILE *to);

/* Counts the request and says what to do. The first rule that fires decides, but throttling goes with anything. */
struct verdict rules_judge(struct rules *rules, const struct request *request);

#endif
