/* collections.c: reads the list of topics and the map of librdkafka properties. Called by values; knows no
 * property but bootstrap.servers: names and values are checked by librdkafka, in the room `kafka`. */
#include "config/collections.h"

#include "config/secrets.h"

#include <stdlib.h>
#include <string.h>

#define PATTERN_SIZE_MOST 249 /* as a topic's name */
/* what a topic's name is made of, and what a shell pattern adds to it ([:alpha:] has colons) */
#define PATTERN_LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-*?[]!^:\\"
#define FILE_SUFFIX "_file"
#define SERVERS "bootstrap.servers"

static size_t
count_children(const struct tree_node *node)
{
    size_t count = 0;
    for (const struct tree_node *child = node->first; child != NULL; child = child->next)
        count++;
    return count;
}

bool
settings_is_pattern(const char *text)
{
    size_t size = strlen(text);
    return size >= 1 && size <= PATTERN_SIZE_MOST && strspn(text, PATTERN_LETTERS) == size;
}

void
collections_read_patterns(char ***patterns, size_t *count, const struct tree_node *node,
                          struct complaints *complaints)
{
    char path[TREE_PATH], quoted[COMPLAINTS_QUOTED];
    const char *name = tree_path(node, path);
    if (node->kind != TREE_LIST || node->first == NULL) {
        complaints_add(complaints, node->line, name,
                       "must be a list of at least one pattern, such as [\"*\"]");
        return;
    }
    *patterns = must_calloc(count_children(node), sizeof **patterns);
    for (const struct tree_node *item = node->first; item != NULL; item = item->next) {
        if (item->kind == TREE_TEXT && settings_is_pattern(item->text))
            (*patterns)[(*count)++] = must_strdup(item->text);
        else if (item->kind == TREE_TEXT)
            complaints_add(complaints, item->line, name, "%s matches no legal topic name",
                           complaints_quote(item->text, quoted));
        else if (item->kind != TREE_REFUSED)
            complaints_add(complaints, item->line, name, "each entry must be a pattern, such as \"*\"");
    }
}

static struct property *
find_property(struct property *properties, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(properties[i].name, name) == 0)
            return &properties[i];
    return NULL;
}

/* How much of the key is the property's name; all of it unless the value stands in a file. */
static size_t
name_size(const char *key)
{
    size_t size = strlen(key), suffix = strlen(FILE_SUFFIX);
    return size > suffix && strcmp(key + size - suffix, FILE_SUFFIX) == 0 ? size - suffix : size;
}

/* False after a complaint. */
static bool
read_property(struct property *property, const struct tree_node *node, struct complaints *complaints)
{
    char path[TREE_PATH];
    const char *name = tree_path(node, path);
    size_t size = name_size(node->key);
    struct error error;
    if (node->kind == TREE_NULL) {
        complaints_add(complaints, node->line, name, "has no value");
        return false;
    }
    if (node->kind != TREE_TEXT) {
        complaints_add(complaints, node->line, name, "must be one value, not a %s",
                       node->kind == TREE_LIST ? "list" : "map");
        return false;
    }
    *property = (struct property){.line = node->line};
    if (node->key[size] == '\0') {
        property->value = must_strdup(node->text);
    } else if (!secrets_read(&property->value, node->text, &error)) {
        complaints_add(complaints, node->line, name, "%s", error.message);
        return false;
    }
    property->name = must_format("%.*s", (int)size, node->key);
    property->secret = node->key[size] != '\0' || secrets_is_secret_property(property->name);
    return true;
}

static void
free_property(struct property *property)
{
    if (property->secret)
        secrets_wipe(property->value);
    else
        free(property->value);
    free(property->name);
}

void
collections_read_properties(struct property **properties, size_t *count, const struct tree_node *node,
                            struct complaints *complaints)
{
    char path[TREE_PATH];
    bool has_servers = false;
    if (node->kind != TREE_MAP) {
        complaints_add(complaints, node->line, tree_path(node, path),
                       "must be a map of librdkafka properties");
        return;
    }
    *properties = must_calloc(count_children(node), sizeof **properties);
    for (const struct tree_node *child = node->first; child != NULL; child = child->next) {
        struct property property;
        if (child->key == NULL)
            continue;
        /* one that is given and wrong is not missing as well */
        has_servers = has_servers || strncmp(child->key, SERVERS, strlen(SERVERS)) == 0;
        if (child->kind == TREE_REFUSED || !read_property(&property, child, complaints))
            continue;
        const struct property *twin = find_property(*properties, *count, property.name);
        if (twin != NULL) {
            complaints_add(complaints, child->line, tree_path(child, path),
                           "given twice, as value and as file; first on line %d", twin->line);
            free_property(&property);
            continue;
        }
        (*properties)[(*count)++] = property;
    }
    if (!has_servers)
        complaints_add(complaints, node->line, "kafka." SERVERS, "is required");
}

bool
collections_shows_secret(const struct tree_node *property)
{
    return property->kind == TREE_TEXT && property->key[name_size(property->key)] == '\0' &&
           secrets_is_secret_property(property->key);
}

void
collections_free_patterns(char **patterns, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(patterns[i]);
    free(patterns);
}

void
collections_free_properties(struct property *properties, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free_property(&properties[i]);
    free(properties);
}
