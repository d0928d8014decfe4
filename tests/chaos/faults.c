/* faults.c: carries out what plan.c has drawn: injects, waits, heals, so that the next fault meets a system that is getting on again
 * (faults.h). Called by chaos.c. */
#include "chaos/faults.h"

#include "base/clock.h"
#include "support/wait.h"

#include <inttypes.h>
#include <stdio.h>

#define FAULTS_MAX 64 /* of one place */
/* Longer than any takeover; who does not lead by then is waited for at the end of the round. */
#define TAKEOVER_MS 15000

static uint64_t counts[FAULT_LISTS][FAULTS_MAX], injected;

static void
count(const struct fault *fault)
{
    for (size_t l = 0; l < FAULT_LISTS; l++)
        if (fault >= fault_lists[l]->list && fault < fault_lists[l]->list + fault_lists[l]->count)
            counts[l][fault - fault_lists[l]->list]++;
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
    for (size_t l = 0; l < FAULT_LISTS; l++)
        for (size_t i = 0; i < fault_lists[l]->count; i++)
            if (counts[l][i] > 0)
                printf("  %5" PRIu64 "  %s: %s\n", counts[l][i], fault_lists[l]->place,
                       fault_lists[l]->list[i].name);
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
inject(struct stage *stage, struct strike *strike)
{
    count(strike->fault);
    strike->fault->inject(stage, strike);
}

static void
heal(struct stage *stage, struct strike *strike)
{
    if (strike->fault->heal != NULL)
        strike->fault->heal(stage, strike);
}

static void
last(struct stage *stage, struct strike *first, struct strike *second)
{
    int length_ms = first->length_ms;
    if (second->fault != NULL && second->length_ms > length_ms)
        length_ms = second->length_ms;
    int64_t until_us = clock_monotonic_us() + INT64_C(1000) * length_ms;
    while (stage_turn(stage, until_us)) {
        if (first->fault->during != NULL)
            first->fault->during(stage, first);
        if (second->fault != NULL && second->fault->during != NULL)
            second->fault->during(stage, second);
    }
}

static void
print_strike(const struct strike *strike)
{
    printf("%s", strike->fault->name);
    if (strike->victim[0] != '\0')
        printf(" [%s]", strike->victim);
    if (strike->words[0] != '\0')
        printf(" (%s)", strike->words);
    if (strike->length_ms > 0)
        printf(" for %d ms", strike->length_ms);
}

static void
print_moment(const struct moment *moment, double from_s, double took_s)
{
    printf("chaos: %7.1f s  #%" PRIu64 "  ", from_s, moment->number);
    print_strike(&moment->first);
    if (moment->second.fault != NULL) {
        printf(", with %d ms later ", moment->lead_ms);
        print_strike(&moment->second);
    }
    printf("; %.1f s in all\n", took_s);
    fflush(stdout);
}

void
stage_strike(struct stage *stage, struct moment *moment)
{
    struct strike *first = &moment->first, *second = &moment->second;
    stage_wait(stage, moment->rest_ms);
    int64_t from_us = clock_monotonic_us();
    double from_s = stage_seconds(stage);
    /* on stderr at once: the campaign may end in the middle of it */
    stage_say(stage, "#%" PRIu64 " %s%s%s", moment->number, first->fault->name,
              second->fault != NULL ? ", with " : "", second->fault != NULL ? second->fault->name : "");
    inject(stage, first);
    if (first->fault->takeover && first->led && first->alone)
        await_takeover(stage, first, from_us);
    if (second->fault != NULL) {
        stage_wait(stage, moment->lead_ms);
        inject(stage, second);
    }
    last(stage, first, second);
    if (second->fault != NULL && !moment->first_heals_first)
        heal(stage, second);
    heal(stage, first);
    if (second->fault != NULL && moment->first_heals_first)
        heal(stage, second);
    print_moment(moment, from_s, stage_seconds(stage) - from_s);
}
