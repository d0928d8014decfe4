/* kafka_opening.c: one event with a key at a time until its partition is open. */
#include "kafka/opening.h"

#include <criterion/criterion.h>

static struct event
keyed(const char *key)
{
    return (struct event){.key = key, .key_size = 1};
}

Test(kafka_opening, one_event_opens_its_partition_and_the_others_wait_for_it__P2)
{
    struct opening opening = {0};
    struct event a = keyed("a"), b = keyed("b");
    opening_resize(&opening, 1);
    cr_assert(opening_allows(&opening, &a));
    opening_sent(&opening, &a);
    cr_assert_not(opening_allows(&opening, &b));
    opening_acknowledged(&opening, &a);
    cr_assert(opening_allows(&opening, &b));
    cr_assert_eq(opening.shut, 0);
    opening_free(&opening);
}

Test(kafka_opening, partitions_open_one_by_one_and_events_without_a_key_wait_for_none)
{
    struct opening opening = {0};
    struct event first = keyed("a"), other = keyed("b"), unkeyed = {0};
    opening_resize(&opening, 1000);
    opening_sent(&opening, &first);
    cr_assert_not(opening_allows(&opening, &first));
    cr_assert(opening_allows(&opening, &other), "another partition");
    cr_assert(opening_allows(&opening, &unkeyed));
    opening_sent(&opening, &unkeyed);
    opening_acknowledged(&opening, &unkeyed);
    cr_assert_eq(opening.shut, 1000);
    opening_acknowledged(&opening, &first);
    opening_acknowledged(&opening, &first);
    cr_assert_eq(opening.shut, 999);
    opening_free(&opening);
}

Test(kafka_opening, a_new_instance_and_another_number_of_partitions_close_all)
{
    struct opening opening = {0};
    struct event event = keyed("a");
    opening_resize(&opening, 1);
    opening_sent(&opening, &event);
    opening_reset(&opening);
    cr_assert(opening_allows(&opening, &event), "what was on its way has ended with its instance");
    opening_sent(&opening, &event);
    opening_acknowledged(&opening, &event);
    opening_resize(&opening, 1);
    cr_assert_eq(opening.shut, 0, "the same number changes nothing");
    opening_resize(&opening, 3);
    cr_assert_eq(opening.shut, 3);
    cr_assert(opening_allows(&opening, &event));
    opening_free(&opening);
}
