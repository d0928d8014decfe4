/* event_topic.c: the table of topics: one struct a name, chosen by shell patterns. */
#include "event/topic.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static struct topic *
intern(struct topic_table *table, const char *name)
{
    return topic_intern(table, name, strlen(name));
}

Test(event_topic, a_name_gives_the_same_topic_every_time)
{
    char *all[] = {"*"};
    struct topic_table *table = topic_table_new(all, 1);
    struct topic *orders = intern(table, "orders");
    struct topic *users = intern(table, "users");
    cr_assert_neq(orders, users);
    cr_assert_eq(intern(table, "orders"), orders);
    cr_assert_eq(intern(table, "users"), users);
    cr_assert_eq(intern(table, "users"), users);
    cr_assert_str_eq(orders->name, "orders");
    cr_assert_eq(orders->index, 0);
    cr_assert_eq(users->index, 1);
    cr_assert_eq(topic_count(table), 2);
    cr_assert_eq(topic_at(table, 1), users);
    topic_table_free(table);
}

Test(event_topic, a_name_that_only_begins_like_another_is_another_topic)
{
    char *all[] = {"*"};
    struct topic_table *table = topic_table_new(all, 1);
    const char *text = "orders.late";
    struct topic *whole = topic_intern(table, text, 11);
    struct topic *start = topic_intern(table, text, 6);
    struct topic *other = topic_intern(table, "order2", 6);
    cr_assert_neq(whole, start);
    cr_assert_neq(start, other);
    cr_assert_str_eq(start->name, "orders");
    cr_assert_eq(topic_intern(table, text, 11), whole);
    cr_assert_eq(topic_intern(table, text, 6), start);
    topic_table_free(table);
}

Test(event_topic, thousands_of_topics_keep_their_place_and_their_pointers)
{
    enum { MANY = 5000 };
    char *all[] = {"*"};
    struct topic_table *table = topic_table_new(all, 1);
    static struct topic *seen[MANY];
    char name[32];
    for (size_t i = 0; i < MANY; i++) {
        snprintf(name, sizeof name, "topic-%zu", i);
        seen[i] = intern(table, name);
    }
    cr_assert_eq(topic_count(table), (size_t)MANY);
    for (size_t i = 0; i < MANY; i++) {
        snprintf(name, sizeof name, "topic-%zu", i);
        cr_assert_eq(intern(table, name), seen[i]);
        cr_assert_eq(topic_at(table, i), seen[i]);
        cr_assert_str_eq(seen[i]->name, name);
        cr_assert_eq(seen[i]->index, i);
    }
    topic_table_free(table);
}

Test(event_topic, shell_patterns_select_topics)
{
    char *patterns[] = {"order.*", "user-[0-9]"};
    struct topic_table *table = topic_table_new(patterns, 2);
    cr_assert(intern(table, "order.paid")->selected);
    cr_assert(intern(table, "order.")->selected);
    cr_assert(intern(table, "user-7")->selected);
    cr_assert_not(intern(table, "user-77")->selected);
    cr_assert_not(intern(table, "orders")->selected);
    cr_assert_not(intern(table, "Order.paid")->selected);
    topic_table_free(table);
}

Test(event_topic, the_star_selects_a_name_that_starts_with_a_dot)
{
    char *all[] = {"*"};
    struct topic_table *table = topic_table_new(all, 1);
    cr_assert(intern(table, ".hidden")->selected);
    topic_table_free(table);
}

Test(event_topic, the_patterns_are_copied_and_without_any_nothing_is_selected)
{
    char pattern[] = "orders";
    char *patterns[] = {pattern};
    struct topic_table *table = topic_table_new(patterns, 1);
    memset(pattern, 'x', sizeof pattern - 1);
    cr_assert(intern(table, "orders")->selected);
    topic_table_free(table);

    table = topic_table_new(NULL, 0);
    cr_assert_not(intern(table, "orders")->selected);
    topic_table_free(table);
    topic_table_free(NULL);
}

Test(event_topic, names_without_end_that_are_not_selected_are_counted_together__I6)
{
    char *chosen[] = {"order*"}, name[32];
    struct topic_table *table = topic_table_new(chosen, 1);
    struct topic *others = NULL;
    for (int i = 0; i < 3 * TOPICS_PASSED_OVER; i++) {
        snprintf(name, sizeof name, "name-%d", i);
        others = intern(table, name);
        others->passed_over++;
    }
    cr_assert_str_eq(others->name, TOPIC_OTHERS);
    cr_assert_not(others->selected);
    cr_assert_eq(others->passed_over, 2 * TOPICS_PASSED_OVER);
    cr_assert_eq(topic_count(table), TOPICS_PASSED_OVER + 1);
    struct topic *orders = intern(table, "orders");
    cr_assert(orders->selected, "a selected topic is always one of its own");
    cr_assert_eq(intern(table, "name-7")->passed_over, 1, "one that came early stays one of its own");
    cr_assert_eq(intern(table, "name-2999"), others);
    cr_assert_eq(intern(table, "orders"), orders);
    topic_table_free(table);
}
