/* http_snapshot.c: a copy of a snapshot is deep, also into one that was used before; an old one does not lead. */
#include "http/snapshot.h"

#include <criterion/criterion.h>
#include <string.h>

Test(http_snapshot, a_copy_shares_nothing_with_the_original)
{
    char first[] = "orders", second[] = "users";
    struct snapshot_topic topics[] = {{.name = first, .published = 7}, {.name = second, .published = 8}};
    struct snapshot from = {.state = "leading", .epoch = 3, .topic_count = 2, .topics = topics}, to = {0};
    snapshot_copy(&to, &from);
    first[0] = 'X';
    topics[0].published = 99;
    cr_assert_str_eq(to.topics[0].name, "orders");
    cr_assert_eq(to.topics[0].published, 7);
    cr_assert_str_eq(to.topics[1].name, "users");
    cr_assert_str_eq(to.state, "leading");
    cr_assert_eq(to.epoch, 3);
    snapshot_clear(&to);
    cr_assert_null(to.topics);
    cr_assert_eq(to.topic_count, 0);
}

Test(http_snapshot, copying_again_follows_more_fewer_and_other_topics)
{
    struct snapshot_topic topics[] = {{.name = (char[]){"a"}, .published = 1},
                                      {.name = (char[]){"b"}, .published = 2},
                                      {.name = (char[]){"c"}, .published = 3}};
    struct snapshot from = {.topic_count = 2, .topics = topics}, to = {0};
    snapshot_copy(&to, &from);
    char *kept = to.topics[0].name;
    from.topic_count = 3;
    topics[0].published = 10;
    topics[1].name = (char[]){"other"};
    snapshot_copy(&to, &from);
    cr_assert_eq(to.topics[0].name, kept, "an unchanged name is not allocated again");
    cr_assert_eq(to.topics[0].published, 10);
    cr_assert_str_eq(to.topics[1].name, "other");
    cr_assert_str_eq(to.topics[2].name, "c");
    from.topic_count = 1;
    snapshot_copy(&to, &from);
    cr_assert_eq(to.topic_count, 1);
    cr_assert_str_eq(to.topics[0].name, "a");
    from.topic_count = 0;
    from.topics = NULL;
    snapshot_copy(&to, &from);
    cr_assert_eq(to.topic_count, 0);
    snapshot_clear(&to);
}

Test(http_snapshot, a_loop_that_has_stopped_leads_only_until_its_lease_is_over)
{
    struct snapshot leads = {.leader = true, .leader_until_us = 5000};
    snapshot_age(&leads, 4999);
    cr_assert(leads.leader);
    snapshot_age(&leads, 5000);
    cr_assert_not(leads.leader);
    struct snapshot stands_by = {.leader = false, .leader_until_us = 5000};
    snapshot_age(&stands_by, 0);
    cr_assert_not(stands_by.leader);
}
