/* crashpoint.c: a shared object, loaded before librdkafka and libpq, that ends, stops, delays or fails its process at the k-th call of
 * one of their functions, before or after it. No hook in the product is needed. Environment (tests/fault/README.md):
 *
 *   CRASHPOINT=FUNCTION:K:before|after:ACTION[;..]   K: 3 | 3.. | *   ACTION: kill | stop | delay=MS | error[=CODE]
 *   CRASHPOINT_LOG=PATH       a line for each action, written before it is done
 *   CRASHPOINT_COUNTS=PATH    at exit: a line FUNCTION CALLS for each function that is watched
 *
 * A rule that cannot be read ends the process at once: a test must not pass because nothing was injected. */
#include "fault/crashpoint.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define RULES 32

enum action { ACTION_KILL, ACTION_STOP, ACTION_DELAY, ACTION_ERROR };

static const char *const action_names[] = {"kill", "stop", "delay", "error"};

struct rule {
    char function[64];
    unsigned long from, to;
    bool after;
    enum action action;
    int amount;
};

static struct rule rules[RULES];
static int rule_count;

static _Noreturn void
refuse(const char *what, const char *why)
{
    fprintf(stderr, "crashpoint: %s: %s\n", what, why);
    abort();
}

/* "3", "3.." or "*" */
static bool
read_calls(const char *text, struct rule *rule)
{
    char *end;
    rule->from = 1, rule->to = (unsigned long)-1;
    if (strcmp(text, "*") == 0)
        return true;
    rule->from = strtoul(text, &end, 10);
    if (*end == '\0')
        rule->to = rule->from;
    return rule->from > 0 && (*end == '\0' || strcmp(end, "..") == 0);
}

static bool
read_action(char *text, struct rule *rule)
{
    char *value = strchr(text, '='), *end = NULL;
    if (value != NULL)
        *value++ = '\0';
    size_t action = 0, count = sizeof action_names / sizeof *action_names;
    while (action < count && strcmp(action_names[action], text) != 0)
        action++;
    rule->action = (enum action)action;
    rule->amount = value != NULL ? (int)strtol(value, &end, 10) : 0;
    bool wants = action == ACTION_DELAY, may = wants || action == ACTION_ERROR;
    return action < count && (value != NULL ? may && *end == '\0' && end != value : !wants);
}

static bool
read_rule(char *text, struct rule *rule)
{
    char *rest = NULL;
    const char *function = strtok_r(text, ":", &rest), *calls = strtok_r(NULL, ":", &rest);
    const char *when = strtok_r(NULL, ":", &rest);
    char *action = strtok_r(NULL, ":", &rest);
    if (action == NULL || rest[0] != '\0' || strlen(function) >= sizeof rule->function)
        return false;
    snprintf(rule->function, sizeof rule->function, "%s", function);
    rule->after = strcmp(when, "after") == 0;
    return (rule->after || strcmp(when, "before") == 0) && read_calls(calls, rule) &&
           read_action(action, rule);
}

static bool
is_possible(const struct rule *rule)
{
    int at = 0;
    while (at < point_count && strcmp(points[at].name, rule->function) != 0)
        at++;
    if (at == point_count)
        return false;
    return rule->action != ACTION_ERROR || points[at].failing == FAILS_ANYWHERE ||
           (points[at].failing == FAILS_BEFORE && !rule->after);
}

__attribute__((constructor)) static void
read_rules(void)
{
    const char *given = getenv("CRASHPOINT");
    char *copy = strdup(given != NULL ? given : ""), *rest = NULL;
    if (copy == NULL)
        refuse("rules", "no memory");
    for (char *text = strtok_r(copy, ";", &rest); text != NULL; text = strtok_r(NULL, ";", &rest)) {
        if (rule_count == RULES || !read_rule(text, &rules[rule_count]))
            refuse(text,
                   "FUNCTION:K:before|after:kill|stop|delay=MS|error[=CODE] is wanted, at most 32 times");
        if (!is_possible(&rules[rule_count]))
            refuse(rules[rule_count].function,
                   "not a function that is watched, or not one that can fail there");
        rule_count++;
    }
    free(copy);
}

/* Not of a process that called nothing, as the shell that started this one: it would wipe out what the other has written. */
__attribute__((destructor)) static void
write_counts(void)
{
    const char *path = getenv("CRASHPOINT_COUNTS");
    unsigned long calls = 0;
    for (int i = 0; i < point_count; i++)
        calls += points[i].calls;
    FILE *file = path != NULL && calls > 0 ? fopen(path, "we") : NULL;
    if (file == NULL)
        return;
    for (int i = 0; i < point_count; i++)
        fprintf(file, "%s %lu\n", points[i].name, points[i].calls);
    fclose(file);
}

static const void *
library_of(const void *address)
{
    Dl_info info;
    return dladdr(address, &info) != 0 ? info.dli_fbase : NULL;
}

void *
point_real(struct point *point)
{
    if (point->real == NULL) {
        void *real = dlsym(RTLD_NEXT, point->name);
        if (real == NULL)
            refuse(point->name, "no library behind this one has it");
        point->library = library_of(real);
        point->real = real;
    }
    return point->real;
}

static void
note(const struct point *point, const struct rule *rule, unsigned long number)
{
    const char *path = getenv("CRASHPOINT_LOG");
    int fd = path != NULL ? open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644) : -1;
    if (fd < 0)
        return;
    dprintf(fd, "function=%s call=%lu when=%s action=%s\n", point->name, number,
            rule->after ? "after" : "before", action_names[rule->action]);
    close(fd);
}

static void
wait_ms(int ms)
{
    struct timespec left = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L};
    while (nanosleep(&left, &left) != 0 && errno == EINTR)
        ;
}

static void
obey(const struct point *point, struct call *call, bool after)
{
    for (int i = 0; i < rule_count && call->number > 0; i++) {
        const struct rule *rule = &rules[i];
        if (rule->after != after || call->number < rule->from || call->number > rule->to ||
            strcmp(rule->function, point->name) != 0)
            continue;
        note(point, rule, call->number);
        if (rule->action == ACTION_DELAY)
            wait_ms(rule->amount);
        else if (rule->action == ACTION_ERROR)
            call->fails = true, call->code = rule->amount;
        else
            kill(getpid(), rule->action == ACTION_KILL ? SIGKILL : SIGSTOP);
    }
}

struct call
point_enter(struct point *point, const void *caller)
{
    struct call call = {.number = 0};
    (void)point_real(point);
    if (library_of(caller) == point->library)
        return call;
    call.number = ++point->calls;
    obey(point, &call, false);
    return call;
}

void
point_leave(const struct point *point, struct call *call)
{
    obey(point, call, true);
}
