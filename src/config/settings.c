/* settings.c: reads the configuration file into struct settings: walks the file along the table
 * (settings_table.c), fills in the defaults, compares values with one another, judges who may read the file.
 * Called by main and by `outboxd check`. */
#include "config/settings.h"

#include "config/collections.h"
#include "config/conninfo.h"
#include "config/file.h"
#include "config/secrets.h"
#include "config/settings_table.h"
#include "config/suggest.h"
#include "config/transport.h"
#include "config/tree.h"
#include "config/values.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define FILE_SIZE_MOST ((size_t)1 << 20)

struct loading {
    struct settings *settings;
    struct complaints complaints;
    int *lines; /* by position in SETTINGS: where it was given, 0: nowhere */
};

static const struct setting *
find_setting(const char *key, const struct setting *section)
{
    for (size_t i = 0; i < SETTINGS_COUNT; i++)
        if (setting_is_in(&SETTINGS[i], section) && strcmp(setting_key(&SETTINGS[i]), key) == 0)
            return &SETTINGS[i];
    return NULL;
}

static void
complain_of_unknown(struct loading *loading, const struct tree_node *node, const struct setting *section)
{
    char path[TREE_PATH];
    const char *name = tree_path(node, path);
    const struct setting *meant = suggest_setting(node->key, section);
    if (meant == NULL && section == NULL && strchr(node->key, '.') != NULL)
        complaints_add(&loading->complaints, node->line, name,
                       "unknown key; properties of librdkafka stand under \"kafka:\"");
    else if (meant == NULL)
        complaints_add(&loading->complaints, node->line, name, "unknown key");
    else if (setting_is_in(meant, section))
        complaints_add(&loading->complaints, node->line, name, "unknown key; did you mean %s?", meant->path);
    else if (setting_key(meant) == meant->path)
        complaints_add(&loading->complaints, node->line, name, "unknown key; did you mean %s at the top?",
                       meant->path);
    else
        complaints_add(&loading->complaints, node->line, name,
                       "unknown key; did you mean \"%s\" under \"%.*s:\"?", setting_key(meant),
                       (int)strcspn(meant->path, "."), meant->path);
}

static void load_map(struct loading *loading, const struct tree_node *map, const struct setting *section);

static void
load_section(struct loading *loading, const struct tree_node *node, const struct setting *section)
{
    if (node->kind == TREE_MAP) {
        load_map(loading, node, section);
        return;
    }
    if (node->kind != TREE_REFUSED && !(node->kind == TREE_NULL && section->nullable))
        complaints_add(&loading->complaints, node->line, section->path, "must be a map%s",
                       section->nullable ? " or null" : "");
    for (size_t i = 0; i < SETTINGS_COUNT; i++) /* nothing below is missing, nothing takes its default */
        if (setting_is_in(&SETTINGS[i], section))
            loading->lines[i] = node->line;
}

static void
load_entry(struct loading *loading, const struct tree_node *node, const struct setting *section)
{
    if (node->key == NULL)
        return;
    const struct setting *setting = find_setting(node->key, section);
    if (setting == NULL) {
        complain_of_unknown(loading, node, section);
        return;
    }
    loading->lines[setting - SETTINGS] = node->line;
    if (setting->type == SETTING_SECTION)
        load_section(loading, node, setting);
    else
        values_store(loading->settings, setting, node, &loading->complaints);
}

static void
load_map(struct loading *loading, const struct tree_node *map, const struct setting *section)
{
    for (const struct tree_node *node = map->first; node != NULL; node = node->next)
        load_entry(loading, node, section);
}

/* Where a missing setting should have been. */
static int
line_of_section(const struct loading *loading, const struct setting *setting)
{
    for (size_t i = 0; i < SETTINGS_COUNT; i++)
        if (SETTINGS[i].type == SETTING_SECTION && setting_is_in(setting, &SETTINGS[i]) &&
            loading->lines[i] > 0)
            return loading->lines[i];
    return 1;
}

static void
complete(struct loading *loading)
{
    for (size_t i = 0; i < SETTINGS_COUNT; i++) {
        if (loading->lines[i] > 0)
            continue;
        if (SETTINGS[i].required)
            complaints_add(&loading->complaints, line_of_section(loading, &SETTINGS[i]), SETTINGS[i].path,
                           "is required");
        else
            values_store_default(loading->settings, &SETTINGS[i]);
    }
}

static int
line_of(const struct loading *loading, const char *path)
{
    size_t i = 0;
    while (strcmp(SETTINGS[i].path, path) != 0)
        CHECK(++i < SETTINGS_COUNT);
    return loading->lines[i];
}

/* `small` may not be above `large`. When only one of them is written, the default of the other follows it; a value
 * that was refused is 0. */
static void
compare(struct loading *loading, const char *small, int64_t *small_value, const char *large,
        int64_t *large_value)
{
    int small_line = line_of(loading, small), large_line = line_of(loading, large);
    if (*small_value == 0 || *large_value == 0 || *small_value <= *large_value)
        return;
    if (small_line == 0)
        *small_value = *large_value;
    else if (large_line == 0)
        *large_value = *small_value;
    else
        complaints_add(&loading->complaints, small_line, small, "is above %s", large);
}

static void
judge_conninfo(struct loading *loading, bool world_readable)
{
    const struct settings *settings = loading->settings;
    int line = line_of(loading, "postgres.conninfo");
    if (settings->postgres_conninfo == NULL)
        return;
    struct conninfo conninfo = conninfo_parse(settings->postgres_conninfo);
    if (conninfo.malformed)
        complaints_add(&loading->complaints, line, "postgres.conninfo",
                       "is neither a list of keyword=value nor a URI, such as postgresql://..");
    if (conninfo.has_password && world_readable)
        complaints_add(&loading->complaints, line, "postgres.conninfo",
                       "holds a password in a file that everybody may read: chmod it to 0640, or use "
                       "postgres.password_file");
    if (conninfo.has_password && settings->postgres_password != NULL)
        complaints_add(&loading->complaints, line, "postgres.conninfo",
                       "holds a password, and so does postgres.password_file");
    conninfo_free(&conninfo);
    transport_judge_postgres(settings->postgres_conninfo, line, &loading->complaints);
}

static void
judge_properties(struct loading *loading, const struct tree_node *root, bool world_readable)
{
    const struct settings *settings = loading->settings;
    char path[TREE_PATH];
    transport_judge_kafka(settings->kafka, settings->kafka_count, &loading->complaints);
    for (const struct tree_node *map = root->first; map != NULL && world_readable; map = map->next) {
        if (map->key == NULL || strcmp(map->key, "kafka") != 0 || map->kind != TREE_MAP)
            continue;
        for (const struct tree_node *node = map->first; node != NULL; node = node->next)
            if (collections_shows_secret(node))
                complaints_add(
                    &loading->complaints, node->line, tree_path(node, path),
                    "is a secret in a file that everybody may read: chmod it to 0640, or use %s_file",
                    node->key);
    }
}

static void
load_tree(struct loading *loading, const struct tree_node *root, bool world_readable)
{
    struct settings *settings = loading->settings;
    if (root->kind != TREE_MAP) {
        if (root->kind != TREE_REFUSED)
            complaints_add(&loading->complaints, root->line, NULL, "must be a map of settings");
        return;
    }
    load_map(loading, root, NULL);
    complete(loading);
    compare(loading, "poll.busy", &settings->poll_busy_us, "poll.idle", &settings->poll_idle_us);
    compare(loading, "batch.bytes", &settings->batch_bytes, "memory", &settings->memory_bytes);
    judge_conninfo(loading, world_readable);
    judge_properties(loading, root, world_readable);
}

static void
load_file(struct loading *loading, const char *path)
{
    struct file file;
    struct error error;
    if (!file_load(&file, path, FILE_LINKS_FOLLOWED, FILE_SIZE_MOST, &error)) {
        complaints_add(&loading->complaints, 0, NULL, "%s", error.message);
        return;
    }
    if (file.mode & S_IWOTH)
        complaints_warn(&loading->complaints, 0, NULL, "everybody may write to this file");
    struct tree_node *root = tree_read(file.bytes, file.size, &loading->complaints);
    if (root != NULL)
        load_tree(loading, root, (file.mode & S_IROTH) != 0);
    tree_free(root);
    file_wipe(&file);
}

bool
settings_load(struct settings **settings, const char *path, FILE *errors, struct error *error)
{
    struct loading loading = {.settings = must_calloc(1, sizeof *loading.settings),
                              .complaints = {.file = path},
                              .lines = must_calloc(SETTINGS_COUNT, sizeof *loading.lines)};
    loading.settings->file = must_strdup(path);
    load_file(&loading, path);
    complaints_print(&loading.complaints, errors);
    size_t mistakes = loading.complaints.mistakes;
    complaints_free(&loading.complaints);
    free(loading.lines);
    *settings = loading.settings;
    if (mistakes == 0)
        return true;
    return error_set(error, ERROR_CONFIG, "%s: %zu mistake%s in the configuration", path, mistakes,
                     mistakes == 1 ? "" : "s");
}

void
settings_free(struct settings *settings)
{
    if (settings == NULL)
        return;
    secrets_wipe(settings->postgres_conninfo);
    secrets_wipe(settings->postgres_password);
    collections_free_properties(settings->kafka, settings->kafka_count);
    collections_free_patterns(settings->topics, settings->topics_count);
    free(settings->file);
    free(settings->source);
    free(settings->relay);
    free(settings->http_listen);
    free(settings->dead_letter_topic);
    free(settings);
}
