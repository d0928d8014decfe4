/* values.c: checks and stores values. Called by settings, once for each key that is given and each default.
 * Everything wrong with a value is said here; what values have to do with each other is for settings.c. */
#include "config/values.h"

#include "config/collections.h"
#include "config/secrets.h"
#include "config/units.h"
#include "event/topic.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#define NAME_SIZE_MOST 100
#define TOPIC_SIZE_MOST 249
#define NAME_LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"

struct storing {
    void *field;
    const struct setting *setting;
    struct complaints *complaints;
    int line;
};

static void *
field_of(struct settings *settings, const struct setting *setting)
{
    return (char *)settings + setting->offset;
}

static void complain(const struct storing *storing, const char *format, ...) PRINTF_LIKE(2, 3);

static void
complain(const struct storing *storing, const char *format, ...)
{
    char reason[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(reason, sizeof reason, format, arguments);
    va_end(arguments);
    complaints_add(storing->complaints, storing->line, storing->setting->path, "%s", reason);
}

static void
store_text(const struct storing *storing, const char *text)
{
    char **field = storing->field;
    CHECK(field != NULL);
    *field = must_strdup(text);
}

bool
settings_is_name(const char *text)
{
    size_t size = strlen(text);
    return size >= 1 && size <= NAME_SIZE_MOST && strspn(text, NAME_LETTERS) == size;
}

static void
store_name(const struct storing *storing, const char *text)
{
    char quoted[COMPLAINTS_QUOTED];
    if (!settings_is_name(text))
        complain(storing, "%s is not a name: 1 to %d of the characters a-z A-Z 0-9 . _ -",
                 complaints_quote(text, quoted), NAME_SIZE_MOST);
    else
        store_text(storing, text);
}

static void
store_secret(const struct storing *storing, const char *path)
{
    struct error error;
    char **field = storing->field;
    if (!secrets_read(field, path, &error))
        complain(storing, "%s", error.message);
}

typedef bool units_parser(const char *text, int64_t *value, struct error *error);
typedef const char *units_formatter(int64_t value, char to[UNITS_TEXT]);

static const char *
format_count(int64_t count, char to[UNITS_TEXT])
{
    snprintf(to, UNITS_TEXT, "%lld", (long long)count);
    return to;
}

static void
store_number(const struct storing *storing, const char *text, units_parser *parse, units_formatter *format)
{
    const struct setting *setting = storing->setting;
    char quoted[COMPLAINTS_QUOTED], least[UNITS_TEXT], most[UNITS_TEXT];
    struct error error;
    int64_t value, *field = storing->field;
    CHECK(field != NULL);
    complaints_quote(text, quoted);
    if (!parse(text, &value, &error))
        complain(storing, "%s %s", quoted, error.message);
    else if (value < setting->least || value > setting->most)
        complain(storing, "%s is out of range: %s to %s", quoted, format(setting->least, least),
                 format(setting->most, most));
    else
        *field = value;
}

static size_t
find_text(const char *const *list, const char *text)
{
    size_t i = 0;
    while (list[i] != NULL && strcmp(list[i], text) != 0)
        i++;
    return i;
}

static void
store_choice(const struct storing *storing, const char *text)
{
    const char *const *choices = storing->setting->choices;
    char quoted[COMPLAINTS_QUOTED], all[200] = "";
    size_t size = 0, found = find_text(choices, text);
    unsigned *field = storing->field;
    if (choices[found] != NULL) {
        *field = (unsigned)found;
        return;
    }
    for (size_t i = 0; choices[i] != NULL; i++)
        size += (size_t)snprintf(all + size, sizeof all - size, "%s%s", i ? ", " : "", choices[i]);
    complain(storing, "%s is not one of: %s", complaints_quote(text, quoted), all);
}

static bool
is_port(const char *text)
{
    size_t size = strspn(text, "0123456789");
    return size >= 1 && size <= 5 && text[size] == '\0' && strtoul(text, NULL, 10) <= UINT16_MAX;
}

/* 127.0.0.1:9187 or [::1]:9187 */
static bool
is_listen_address(const char *text)
{
    char address[INET6_ADDRSTRLEN], binary[sizeof(struct in6_addr)];
    bool v6 = text[0] == '[';
    const char *start = text + v6, *colon = strrchr(text, ':');
    if (colon == NULL || colon - v6 < start || (v6 && colon[-1] != ']') || !is_port(colon + 1))
        return false;
    size_t size = (size_t)(colon - v6 - start);
    if (size >= sizeof address)
        return false;
    memcpy(address, start, size);
    address[size] = '\0';
    return inet_pton(v6 ? AF_INET6 : AF_INET, address, binary) == 1;
}

static void
store_listen(const struct storing *storing, const char *text)
{
    char quoted[COMPLAINTS_QUOTED];
    if (is_listen_address(text))
        store_text(storing, text);
    else
        complain(storing,
                 "%s is not a numeric address and a port, such as \"127.0.0.1:9187\" or \"[::1]:9187\"",
                 complaints_quote(text, quoted));
}

/* As the CHECK of outbox.event has it. */
static bool
is_topic(const char *text)
{
    size_t size = strlen(text);
    return size >= 1 && size <= TOPIC_SIZE_MOST && strspn(text, NAME_LETTERS) == size &&
           strcmp(text, ".") != 0 && strcmp(text, "..") != 0 && strncmp(text, "__", 2) != 0;
}

static void
store_topic(const struct storing *storing, const char *text)
{
    char quoted[COMPLAINTS_QUOTED];
    if (!is_topic(text))
        complain(storing, "%s is no legal name of a topic, nor null", complaints_quote(text, quoted));
    else if (topic_is_reserved(text))
        complain(storing, "%s is a name kept for the positions of relays: no event may go there",
                 complaints_quote(text, quoted));
    else
        store_text(storing, text);
}

static void
store_from_text(const struct storing *storing, const char *text)
{
    switch (storing->setting->type) {
    case SETTING_NAME:
        store_name(storing, text);
        return;
    case SETTING_TEXT:
        store_text(storing, text);
        return;
    case SETTING_SECRET:
        store_secret(storing, text);
        return;
    case SETTING_DURATION:
        store_number(storing, text, units_parse_duration, units_format_duration);
        return;
    case SETTING_SIZE:
        store_number(storing, text, units_parse_size, units_format_size);
        return;
    case SETTING_COUNT:
        store_number(storing, text, units_parse_count, format_count);
        return;
    case SETTING_CHOICE:
        store_choice(storing, text);
        return;
    case SETTING_LISTEN:
        store_listen(storing, text);
        return;
    case SETTING_TOPIC:
        store_topic(storing, text);
        return;
    case SETTING_SECTION:
    case SETTING_PATTERNS:
    case SETTING_PROPERTIES:
        break;
    }
    CHECK(false); /* not read from one text */
}

static bool
takes_null(enum setting_type type)
{
    return type == SETTING_LISTEN || type == SETTING_TOPIC;
}

void
values_store(struct settings *settings, const struct setting *setting, const struct tree_node *node,
             struct complaints *complaints)
{
    struct storing storing = {.field = field_of(settings, setting),
                              .setting = setting,
                              .complaints = complaints,
                              .line = node->line};
    if (node->kind == TREE_REFUSED || (node->kind == TREE_NULL && takes_null(setting->type)))
        return;
    if (setting->type == SETTING_PATTERNS)
        collections_read_patterns(&settings->topics, &settings->topics_count, node, complaints);
    else if (setting->type == SETTING_PROPERTIES)
        collections_read_properties(&settings->kafka, &settings->kafka_count, node, complaints);
    else if (node->kind == TREE_NULL || (node->kind == TREE_TEXT && node->text[0] == '\0'))
        complain(&storing, "has no value");
    else if (node->kind != TREE_TEXT)
        complain(&storing, "must be one value, not a %s", node->kind == TREE_LIST ? "list" : "map");
    else if (setting->type == SETTING_COUNT && node->quoted)
        complain(&storing, "must be a number, not text in quotes");
    else
        store_from_text(&storing, node->text);
}

void
values_store_default(struct settings *settings, const struct setting *setting)
{
    struct complaints complaints = {.file = "default"};
    if (setting->fallback == NULL)
        return;
    char *text = must_strdup(setting->fallback);
    struct tree_node item = {.kind = strcmp(text, "null") == 0 ? TREE_NULL : TREE_TEXT, .text = text};
    struct tree_node list = {.kind = TREE_LIST, .first = &item, .last = &item};
    values_store(settings, setting, setting->type == SETTING_PATTERNS ? &list : &item, &complaints);
    CHECK(complaints.mistakes == 0);
    free(text);
}
