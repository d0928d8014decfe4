/* renew.c: compares two configurations along the table of settings. Called by the command run when it is told to read the
 * file again; reads no file. */
#include "config/renew.h"

#include "config/settings_table.h"

#include <stdlib.h>
#include <string.h>

struct renewing {
    struct settings *now, *fresh;
    struct renewal *renewal;
    FILE *restart;
    size_t named;
};

static void
name(struct renewing *renewing, const char *prefix, const char *key)
{
    fprintf(renewing->restart, "%s%s%s", renewing->named++ > 0 ? ", " : "", prefix, key);
}

static bool
same_text(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static void
swap(char **a, char **b)
{
    char *kept = *a;
    *a = *b;
    *b = kept;
}

static bool
same_patterns(const struct settings *a, const struct settings *b)
{
    bool same = a->topics_count == b->topics_count;
    for (size_t i = 0; same && i < a->topics_count; i++)
        same = strcmp(a->topics[i], b->topics[i]) == 0;
    return same;
}

/* Of one setting but the properties, which are compared one by one. */
static bool
same_value(const struct renewing *renewing, const struct setting *setting)
{
    const char *now = (const char *)renewing->now + setting->offset,
               *fresh = (const char *)renewing->fresh + setting->offset;
    switch (setting->type) {
    case SETTING_NAME:
    case SETTING_TEXT:
    case SETTING_SECRET:
    case SETTING_LISTEN:
    case SETTING_TOPIC:
        return same_text(*(char *const *)(const void *)now, *(char *const *)(const void *)fresh);
    case SETTING_DURATION:
    case SETTING_SIZE:
    case SETTING_COUNT:
        return memcmp(now, fresh, sizeof(int64_t)) == 0;
    case SETTING_CHOICE:
        return memcmp(now, fresh, sizeof(unsigned)) == 0;
    case SETTING_PATTERNS:
        return same_patterns(renewing->now, renewing->fresh);
    case SETTING_SECTION:
    case SETTING_PROPERTIES:
        break;
    }
    return true;
}

/* ---- properties ---- */

static struct property *
find(const struct settings *settings, const char *wanted)
{
    for (size_t i = 0; i < settings->kafka_count; i++)
        if (strcmp(settings->kafka[i].name, wanted) == 0)
            return &settings->kafka[i];
    return NULL;
}

static void
renew_property(struct renewing *renewing, struct property *now, struct property *fresh)
{
    if (strcmp(now->value, fresh->value) == 0)
        return;
    if (!now->secret || !fresh->secret) {
        name(renewing, "kafka.", now->name);
        return;
    }
    swap(&now->value, &fresh->value);
    if (strcmp(now->name, "sasl.username") == 0 || strcmp(now->name, "sasl.password") == 0)
        renewing->renewal->kafka_credentials = true;
    else
        renewing->renewal->kafka_secrets = true;
}

static void
renew_properties(struct renewing *renewing)
{
    for (size_t i = 0; i < renewing->now->kafka_count; i++) {
        struct property *now = &renewing->now->kafka[i], *fresh = find(renewing->fresh, now->name);
        if (fresh != NULL)
            renew_property(renewing, now, fresh);
        else
            name(renewing, "kafka.", now->name);
    }
    for (size_t i = 0; i < renewing->fresh->kafka_count; i++)
        if (find(renewing->now, renewing->fresh->kafka[i].name) == NULL)
            name(renewing, "kafka.", renewing->fresh->kafka[i].name);
}

void
settings_renew(struct settings *settings, struct settings *fresh, struct renewal *renewal)
{
    size_t size;
    struct renewing renewing = {.now = settings, .fresh = fresh, .renewal = renewal};
    *renewal = (struct renewal){.log_level = settings->log_level != fresh->log_level,
                                .postgres_password =
                                    !same_text(settings->postgres_password, fresh->postgres_password)};
    renewing.restart = open_memstream(&renewal->restart, &size);
    CHECK(renewing.restart != NULL);
    for (size_t i = 0; i < SETTINGS_COUNT; i++) {
        if (SETTINGS[i].type == SETTING_PROPERTIES)
            renew_properties(&renewing);
        else if (!SETTINGS[i].renewed && !same_value(&renewing, &SETTINGS[i]))
            name(&renewing, "", SETTINGS[i].path);
    }
    CHECK(fclose(renewing.restart) == 0);
    settings->log_level = fresh->log_level;
    swap(&settings->postgres_password, &fresh->postgres_password);
    settings_free(fresh);
}
