/* pause.c: `outboxd pause` and `outboxd resume`: a topic, or all of a relay. Called by main; the relay's leader sees it in the
 * database. */
#include "command/asking.h"

#include "command/command.h"
#include "command/print.h"
#include "event/topic.h"
#include "postgres/pauses.h"
#include "postgres/waiting.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char pause_help[] =
    "Usage: outboxd pause [TOPIC]\n"
    "\n"
    "The relay publishes no event of the topic, or without one none at all, until it is resumed. The leader\n"
    "looks every second: so long it may go on, and what is in flight then is finished. Events go on being\n"
    "committed, wait, and are published in order after `outboxd resume`. Slots that hold them are not\n"
    "emptied meanwhile. Kept in the database: it holds for the next leader too.\n"
    "\n"
    "  -c, --config FILE   configuration (default " COMMAND_DEFAULT_CONFIG ")\n"
    "  -h, --help          this text\n"
    "\n"
    "Exit codes: 0 it is paused, also when it was before; 64 usage; 69 Postgres did not do it; 70 it gave "
    "an\n"
    "answer that must not be; 78 configuration.\n";

static const char resume_help[] =
    "Usage: outboxd resume [TOPIC]\n"
    "\n"
    "Ends what `outboxd pause` with the same argument began: what has waited is published, in order. A "
    "topic\n"
    "that nobody has paused, and that waits because Kafka takes nothing for it, is tried again at once.\n"
    "\n"
    "  -c, --config FILE   configuration (default " COMMAND_DEFAULT_CONFIG ")\n"
    "  -h, --help          this text\n"
    "\n"
    "Exit codes: 0 it is not paused by hand, also when it was not before; 64 usage; 69 Postgres did not do\n"
    "it; 70 it gave an answer that must not be; 78 configuration.\n";

/* An exact name, as the outbox takes it. */
static bool
is_topic(const char *text)
{
    size_t size = strlen(text);
    return size > 0 && size < TOPIC_NAME_SIZE && strcmp(text, ".") != 0 && strcmp(text, "..") != 0 &&
           strncmp(text, "__", 2) != 0 &&
           strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == size;
}

/* ---- what it means, as the relay is now ---- */

static bool
is_led(const struct asking *asking)
{
    char why[256];
    return asking_leads(asking, why);
}

/* What waits from a pause on. */
static const char *
what_stops(const struct asking *asking)
{
    return is_led(asking) ? "within a second no event is begun any more, what is in flight is finished, and "
                            "further events"
                          : "no process leads the relay now, and events";
}

/* When what has waited goes out. */
static const char *
when_it_goes(const struct asking *asking)
{
    if (!is_led(asking))
        return " as soon as `outboxd run` leads it";
    return asking->relay->paused ? " when the relay is resumed, too" : "";
}

/* By whom it was paused before. */
static void
print_pause(const struct paused *paused)
{
    char age[PRINT_SIZE];
    if (paused == NULL || paused->asked_by == NULL) /* resumed meanwhile */
        return;
    fputs("  paused by ", stdout);
    print_text(stdout, paused->asked_by);
    printf(", since %s ago\n", print_age(paused->since_us, age));
}

/* What becomes of a topic that was not paused; `paused` may be NULL: it does not wait at all. */
static void
print_unpaused(const struct asking *asking, const char *topic, const struct paused *paused)
{
    const char *relay = asking->settings->relay;
    if (paused == NULL || paused->asked_by != NULL || strcmp(paused->error, WAITING_PAUSED) == 0) {
        printf("topic %s was not paused by hand for relay %s, or has just been resumed\n", topic, relay);
        return;
    }
    printf("topic %s was not paused by hand for relay %s\n  it waits because it takes nothing, and is tried "
           "%s: ",
           topic, relay, is_led(asking) ? "again now" : "first when a leader is there");
    print_text(stdout, paused->error);
    fputs(": ", stdout);
    print_text(stdout, paused->message);
    putchar('\n');
}

/* It was so already. */
static bool
print_unchanged(const struct asking *asking, const char *topic, bool pause, struct error *error)
{
    const char *relay = asking->settings->relay;
    struct pauses pauses;
    bool good = pauses_read(asking->session, &pauses, error) &&
                (pause || pauses_try_again(asking->session, relay, topic, error));
    const struct paused *paused = good ? pauses_find(&pauses, relay, topic) : NULL;
    if (good && pause) {
        printf("topic %s was paused for relay %s already; `outboxd resume %s` ends it\n", topic, relay,
               topic);
        print_pause(paused);
    } else if (good) {
        print_unpaused(asking, topic, paused);
    }
    pauses_free(&pauses);
    return good;
}

static bool
set_topic(struct asking *asking, const char *topic, bool pause, struct error *error)
{
    const char *relay = asking->settings->relay;
    bool changed;
    if (!asking_selects(asking, topic))
        fprintf(stderr,
                "outboxd %s: relay %s does not select topic %s: it publishes none of its events anyway\n",
                asking->command, relay, topic);
    if (!pauses_set(asking->session, relay, topic, pause, &changed, error) || !asking_refresh(asking, error))
        return false;
    if (!changed)
        return print_unchanged(asking, topic, pause, error);
    if (pause)
        printf("topic %s is paused for relay %s: %s wait until `outboxd resume %s`\n", topic, relay,
               what_stops(asking), topic);
    else
        printf("topic %s is resumed for relay %s: what has waited is published%s\n", topic, relay,
               when_it_goes(asking));
    return true;
}

static bool
set_relay(struct asking *asking, bool pause, struct error *error)
{
    const char *relay = asking->settings->relay;
    bool changed;
    if (!pauses_set(asking->session, relay, NULL, pause, &changed, error) || !asking_refresh(asking, error))
        return false;
    if (pause && changed)
        printf("relay %s is paused: %s wait until `outboxd resume`\n", relay, what_stops(asking));
    else if (pause)
        printf("relay %s was paused already; `outboxd resume` ends it\n", relay);
    else if (changed)
        printf("relay %s is resumed: what has waited is published%s\n", relay, when_it_goes(asking));
    else
        printf("relay %s was not paused\n", relay);
    return true;
}

static bool
act(const char *command, const struct settings *settings, const char *topic, struct error *error)
{
    struct asking asking;
    bool pause = strcmp(command, "pause") == 0;
    bool good = asking_open(&asking, command, settings, false, error);
    if (good)
        good = topic != NULL ? set_topic(&asking, topic, pause, error) : set_relay(&asking, pause, error);
    if (good && (!pause || !is_led(&asking)))
        asking_warn(&asking);
    asking_close(&asking);
    if (fflush(stdout) != 0 && good)
        return error_set(error, ERROR_UNUSABLE, "cannot write to standard output: %s", strerror(errno));
    return good;
}

static int
run(int argc, char **argv, const char *help)
{
    struct command_line line = {.help = help, .operands_most = 1};
    struct settings *settings = NULL;
    struct error error;
    int exit_code;
    if (!command_parse(argc, argv, &line, &exit_code))
        return exit_code;
    const char *topic = line.operand_count > 0 ? line.operands[0] : NULL;
    if (topic != NULL && !is_topic(topic)) {
        error_set(&error, ERROR_USAGE, "'%.300s' is no legal topic name; it is one topic, not a pattern",
                  topic);
        return command_misused(argv[0], error.message);
    }
    if (!command_load(line.config, &settings, &exit_code))
        return exit_code;
    exit_code = act(argv[0], settings, topic, &error) ? 0 : command_failed(argv[0], &error);
    settings_free(settings);
    return exit_code;
}

int
command_pause(int argc, char **argv)
{
    return run(argc, argv, pause_help);
}

int
command_resume(int argc, char **argv)
{
    return run(argc, argv, resume_help);
}
