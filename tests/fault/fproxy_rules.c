/* fproxy_rules.c: reads rules, counts requests, decides. Called by the control socket and by the protocols; no fault is carried out
 * here. */
#include "fault/fproxy_rules.h"

#include <errno.h>
#include <fnmatch.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum amount { AMOUNT_NONE, AMOUNT_MAY, AMOUNT_MUST };

struct action {
    const char *name;
    enum fault fault;
    enum side side;
    enum amount amount;
    /* a client of Postgres awaits one answer before it asks again, and nothing would tell it that a byte is another one */
    bool kafka_only;
};

static const struct action actions[] = {
    {"count", FAULT_NONE, SIDE_REQUEST, AMOUNT_NONE, false},
    {"delay-request", FAULT_DELAY, SIDE_REQUEST, AMOUNT_MUST, false},
    {"delay-response", FAULT_DELAY, SIDE_RESPONSE, AMOUNT_MUST, false},
    {"drop-request", FAULT_DROP, SIDE_REQUEST, AMOUNT_NONE, false},
    {"drop-response", FAULT_DROP, SIDE_RESPONSE, AMOUNT_NONE, false},
    {"cut-request", FAULT_CUT, SIDE_REQUEST, AMOUNT_MAY, false},
    {"cut-response", FAULT_CUT, SIDE_RESPONSE, AMOUNT_MAY, false},
    {"rst-request", FAULT_RST, SIDE_REQUEST, AMOUNT_NONE, false},
    {"rst-response", FAULT_RST, SIDE_RESPONSE, AMOUNT_NONE, false},
    {"half-close-request", FAULT_HALF_CLOSE, SIDE_REQUEST, AMOUNT_NONE, false},
    {"half-close-response", FAULT_HALF_CLOSE, SIDE_RESPONSE, AMOUNT_NONE, false},
    {"duplicate", FAULT_DUPLICATE, SIDE_REQUEST, AMOUNT_NONE, true},
    {"hold-request", FAULT_HOLD, SIDE_REQUEST, AMOUNT_MAY, false},
    {"hold-response", FAULT_HOLD, SIDE_RESPONSE, AMOUNT_MAY, false},
    {"postpone", FAULT_POSTPONE, SIDE_REQUEST, AMOUNT_MAY, true},
    {"throttle-request", FAULT_THROTTLE, SIDE_REQUEST, AMOUNT_MUST, false},
    {"throttle-response", FAULT_THROTTLE, SIDE_RESPONSE, AMOUNT_MUST, false},
    {"corrupt-request", FAULT_CORRUPT, SIDE_REQUEST, AMOUNT_MAY, true},
    {"corrupt-response", FAULT_CORRUPT, SIDE_RESPONSE, AMOUNT_MAY, true},
};

/* The next word of *text, without the '..' around it; NULL: there is none. Changes the text. */
static char *
next_word(char **text)
{
    char *start = *text + strspn(*text, " \t");
    if (*start == '\0')
        return NULL;
    const char *end_mark = " \t";
    if (*start == '\'') {
        start++;
        end_mark = "'";
    }
    char *end = start + strcspn(start, end_mark);
    *text = *end == '\0' ? end : end + 1;
    *end = '\0';
    return start;
}

static bool
read_number(const char *text, int64_t *number)
{
    char *end;
    errno = 0;
    *number = strtoll(text, &end, 10);
    return end != text && *end == '\0' && errno == 0 && *number > 0;
}

/* "3", "3.." or "3..5" */
static bool
read_range(char *text, struct rule *rule)
{
    int64_t from, to;
    char *dots = strstr(text, "..");
    if (dots != NULL)
        *dots = '\0';
    if (!read_number(text, &from))
        return false;
    rule->from = rule->to = (uint64_t)from;
    if (dots != NULL && dots[2] == '\0')
        rule->to = UINT64_MAX;
    else if (dots != NULL) {
        if (!read_number(dots + 2, &to))
            return false;
        rule->to = (uint64_t)to;
    }
    return true;
}

/* NAME=VALUE before the action: which of the requests of that kind. */
static bool
read_condition(const char *name, char *value, struct rule *rule)
{
    int64_t number;
    char *end;
    if (strcmp(name, "n") == 0)
        return read_range(value, rule);
    if (strcmp(name, "p") == 0) {
        rule->probability = strtod(value, &end);
        return *end == '\0' && rule->probability > 0 && rule->probability <= 1;
    }
    if (!read_number(value, &number))
        return false;
    if (strcmp(name, "every") == 0)
        rule->every = (uint64_t)number;
    else if (strcmp(name, "kb") == 0)
        rule->kb = number;
    else if (strcmp(name, "listener") == 0)
        rule->listener = (int)number;
    else
        return false;
    return true;
}

static bool
read_action(const char *name, const char *value, struct rule *rule)
{
    const struct action *action = actions, *end = actions + sizeof actions / sizeof *actions;
    while (action < end && strcmp(action->name, name) != 0)
        action++;
    if (action == end || (action->kafka_only && rule->protocol != PROTOCOL_KAFKA))
        return false;
    if ((value == NULL && action->amount == AMOUNT_MUST) || (value != NULL && action->amount == AMOUNT_NONE))
        return false;
    rule->action = action;
    return value == NULL || read_number(value, &rule->amount);
}

static bool
read_rule(char *text, struct rule *rule, struct error *error)
{
    const char *protocol = next_word(&text), *kind = next_word(&text);
    *rule = (struct rule){.from = 1, .to = UINT64_MAX, .every = 1, .probability = 1};
    if (protocol == NULL || kind == NULL)
        return error_set(error, ERROR_USAGE, "a rule is PROTOCOL KIND [CONDITION..] ACTION");
    if (strcmp(protocol, "kafka") != 0 && strcmp(protocol, "postgres") != 0)
        return error_set(error, ERROR_USAGE, "%s: kafka or postgres", protocol);
    rule->protocol = strcmp(protocol, "kafka") == 0 ? PROTOCOL_KAFKA : PROTOCOL_POSTGRES;
    if (strlen(kind) >= sizeof rule->kind)
        return error_set(error, ERROR_USAGE, "%s: at most %zu bytes", kind, sizeof rule->kind - 1);
    snprintf(rule->kind, sizeof rule->kind, "%s", kind);
    for (char *word; (word = next_word(&text)) != NULL;) {
        char *value = strchr(word, '=');
        if (value != NULL)
            *value++ = '\0';
        if (rule->action != NULL)
            return error_set(error, ERROR_USAGE, "%s: the action is the last word", word);
        if ((value == NULL || !read_condition(word, value, rule)) && !read_action(word, value, rule))
            return error_set(error, ERROR_USAGE,
                             "%s%s%s: no such condition or action, or not with this value", word,
                             value != NULL ? "=" : "", value != NULL ? value : "");
    }
    return rule->action != NULL || error_set(error, ERROR_USAGE, "the rule says nothing to do");
}

bool
rules_add(struct rules *rules, const char *line, int *number, struct error *error)
{
    if (rules->count == RULES_MAX)
        return error_set(error, ERROR_USAGE, "%d rules are as many as there can be", RULES_MAX);
    struct rule *rule = &rules->list[rules->count];
    char *copy = must_strdup(line);
    bool good = read_rule(copy, rule, error);
    free(copy);
    if (!good)
        return false;
    rules->count++;
    *number = rule->number = ++rules->numbers;
    return true;
}

bool
rules_clear(struct rules *rules, int number)
{
    int kept = 0, before = rules->count;
    for (int i = 0; i < before; i++)
        if (number != 0 && rules->list[i].number != number)
            rules->list[kept++] = rules->list[i];
    rules->count = kept;
    return number == 0 || kept < before;
}

void
rules_list(const struct rules *rules, FILE *to)
{
    for (int i = 0; i < rules->count; i++) {
        const struct rule *rule = &rules->list[i];
        fprintf(to, "%d %s '%s'", rule->number, rule->protocol == PROTOCOL_KAFKA ? "kafka" : "postgres",
                rule->kind);
        fprintf(to, rule->to == UINT64_MAX ? " n=%" PRIu64 ".." : " n=%" PRIu64 "..%" PRIu64, rule->from,
                rule->to);
        fprintf(to, " every=%" PRIu64 " p=%g kb=%" PRId64 " listener=%d %s=%" PRId64, rule->every,
                rule->probability, rule->kb, rule->listener, rule->action->name, rule->amount);
        fprintf(to, " seen=%" PRIu64 " fired=%" PRIu64 "\n", rule->seen, rule->fired);
    }
}

/* splitmix64 (Steele, Lea, Flood 2014) in 0 .. 1, without 1 */
static double
draw(struct rules *rules)
{
    uint64_t z = (rules->random += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return (double)((z ^ (z >> 31)) >> 11) * 0x1p-53;
}

static bool
is_of_kind(const struct rule *rule, const struct request *request)
{
    if (rule->protocol != request->protocol || (rule->listener != 0 && rule->listener != request->listener))
        return false;
    for (size_t i = 0; i < sizeof request->kinds / sizeof *request->kinds; i++)
        if (request->kinds[i] != NULL && fnmatch(rule->kind, request->kinds[i], FNM_CASEFOLD) == 0)
            return true;
    return false;
}

/* Counts the request, once, and says whether it is one of those that the rule is after. */
static bool
fires(struct rules *rules, struct rule *rule, const struct request *request)
{
    uint64_t bit = UINT64_C(1) << (rule - rules->list);
    if ((*request->counted & bit) != 0 || !is_of_kind(rule, request))
        return false;
    *request->counted |= bit;
    rule->seen++;
    if (rule->seen < rule->from || rule->seen > rule->to || (rule->seen - rule->from) % rule->every != 0)
        return false;
    uint64_t step = (uint64_t)rule->kb * 1024;
    if (rule->kb > 0 && request->before / step == (request->before + request->size) / step)
        return false;
    return rule->probability >= 1 || draw(rules) < rule->probability;
}

/* A fault that ends or changes something is decided by the first rule that fires; throttling goes with it. */
static bool
decides(const struct rule *rule, const struct verdict *verdict)
{
    if (rule->action->fault == FAULT_NONE)
        return false;
    return verdict->fault == FAULT_NONE ||
           (verdict->fault == FAULT_THROTTLE && rule->action->fault != FAULT_THROTTLE);
}

struct verdict
rules_judge(struct rules *rules, const struct request *request)
{
    struct verdict verdict = {.fault = FAULT_NONE};
    for (int i = 0; i < rules->count; i++) {
        struct rule *rule = &rules->list[i];
        const struct action *action = rule->action;
        if (!fires(rules, rule, request))
            continue;
        if (action->fault == FAULT_THROTTLE)
            verdict.rate[action->side] = rule->amount;
        rule->fired += action->fault == FAULT_THROTTLE;
        if (!decides(rule, &verdict))
            continue;
        rule->fired += action->fault != FAULT_THROTTLE;
        verdict.fault = action->fault;
        verdict.side = action->side;
        verdict.action = action->name;
        verdict.rule = rule->number;
        verdict.n = rule->seen;
        verdict.amount = rule->amount;
        verdict.drawn = action->fault == FAULT_CORRUPT ? draw(rules) : 0;
        if (rule->kb > 0)
            verdict.boundary = rule->kb * 1024 - (int64_t)request->before % (rule->kb * 1024);
    }
    return verdict;
}
