/* faults.c: carries out what plan.c has drawn: injects, waits, heals, so that the next fault meets a system that is getting on again
 * (faults.h). Called by chaos.c. */
#include "chaos/faults.h"

#include "base/clock.h"
#include "support/wait.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define FAULTS_MAX 64 /* of one place */
/* Longer than any takeover; who does not lead by then is waited for at the end of the round. */
#define TAKEOVER_MS 15000

static struct count {
    uint64_t injected;
    long hits;
} counts[FAULT_LISTS][FAULTS_MAX];
static uint64_t injected;

static void
count(const struct strike *strike)
{
    size_t l = 0;
    while (fault_lists[l] != strike->place)
        l++;
    struct count *of = &counts[l][strike->fault - strike->place->list];
    of->injected++;
    of->hits += strike->hits;
    injected++;
}

uint64_t
faults_injected(void)
{
    return injected;
}

void
faults_print_counts(void)
{
    printf("%9s %9s\n", "injected", "hits");
    for (size_t l = 0; l < FAULT_LISTS; l++)
        for (size_t i = 0; i < fault_lists[l]->count; i++)
            if (counts[l][i].injected > 0)
                printf("%9" PRIu64 " %9ld  %s: %s\n", counts[l][i].injected, counts[l][i].hits,
                       fault_lists[l]->place, fault_lists[l]->list[i].name);
}

/* The leader was struck alone: how long until another one leads? */
static void
await_takeover(struct stage *stage, const struct strike *strike, int64_t from_us)
{
    int64_t end_us = wait_deadline_us(TAKEOVER_MS);
    while (stage_leader(stage, strike->at) == STAGE_RELAYS)
        if (!wait_turn(end_us))
            break;
    int64_t took_us = clock_monotonic_us() - from_us;
    stage->takeover_us = took_us > stage->takeover_us ? took_us : stage->takeover_us;
}

static void
heal(struct stage *stage, struct strike *strike)
{
    if (strike->fault->heal != NULL)
        strike->fault->heal(stage, strike);
    count(strike);
}

/* True when its rule has not struck yet; one of transactions never does where there are none. */
static bool
goes_on(struct stage *stage, struct strike *strike)
{
    if (strike->fault == NULL)
        return false;
    if (strike->fault->during != NULL)
        strike->fault->during(stage, strike);
    bool of_transactions =
        strstr(strike->words, "Txn") != NULL || strstr(strike->words, "_transaction") != NULL;
    return strike->hits == 0 && (stage->exact || !of_transactions);
}

static void
last(struct stage *stage, struct strike *first, struct strike *second)
{
    int length_ms = first->length_ms;
    if (second->fault != NULL && second->length_ms > length_ms)
        length_ms = second->length_ms;
    int64_t until_us = clock_monotonic_us() + INT64_C(1000) * length_ms;
    int64_t latest_us = until_us + INT64_C(2000) * length_ms;
    while (stage_turn(stage, latest_us)) {
        bool waits = goes_on(stage, first);
        waits |= goes_on(stage, second);
        if (!waits && clock_monotonic_us() >= until_us)
            break;
    }
}

/* What was drawn and, when it is over, what came of it. */
static void
print_strike(FILE *to, const struct strike *strike)
{
    fputs(strike->fault->name, to);
    if (strike->victim[0] != '\0')
        fprintf(to, " [%s]", strike->victim);
    if (strike->words[0] != '\0')
        fprintf(to, " (%s)", strike->words);
    if (strike->hits != 1)
        fprintf(to, ", %ld times", strike->hits);
    fprintf(to, ", for %d ms", strike->length_ms);
}

static void
print_moment(FILE *to, double at_s, const struct moment *moment)
{
    fprintf(to, "chaos: %7.1f s  #%" PRIu64 " after %d ms: ", at_s, moment->number, moment->rest_ms);
    print_strike(to, &moment->first);
    if (moment->second.fault != NULL) {
        fprintf(to, "; %d ms later ", moment->lead_ms);
        print_strike(to, &moment->second);
    }
}

static void
strike_both(struct stage *stage, struct strike *first, struct strike *second, int lead_ms)
{
    int64_t from_us = clock_monotonic_us();
    first->fault->inject(stage, first);
    if (first->fault->takeover && first->led && first->alone)
        await_takeover(stage, first, from_us);
    if (second->fault == NULL)
        return;
    stage_wait(stage, lead_ms);
    second->fault->inject(stage, second);
}

void
stage_strike(struct stage *stage, struct moment *moment)
{
    struct strike *first = &moment->first, *second = &moment->second;
    stage_wait(stage, moment->rest_ms);
    double from_s = stage_seconds(stage);
    /* at once: the campaign may end in the middle of it */
    print_moment(stderr, from_s, moment);
    fputc('\n', stderr);
    strike_both(stage, first, second, moment->lead_ms);
    last(stage, first, second);
    if (second->fault != NULL && !moment->first_heals_first)
        heal(stage, second);
    heal(stage, first);
    if (second->fault != NULL && moment->first_heals_first)
        heal(stage, second);
    if (stage->progress != NULL)
        fputs("\033[K", stdout);
    print_moment(stdout, from_s, moment);
    printf("; %.1f s in all\n", stage_seconds(stage) - from_s);
    fflush(stdout);
}
