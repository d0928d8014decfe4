/* tree.c: turns libyaml's events into a tree, refusing what has no place in a configuration. Called by
 * settings only. Recursion is bounded by TREE_DEPTH_MOST, memory by the size of the text, which the caller
 * bounds. */
#include "config/tree.h"

#include <stdlib.h>
#include <string.h>
#include <yaml.h>

struct reading {
    yaml_parser_t parser;
    const char *text;
    size_t size;
    int last_line;
    struct complaints *complaints;
};

static bool read_value(struct reading *reading, yaml_event_t *event, struct tree_node *node, int depth);

/* libyaml ends a last line that has no line break itself: its marks may stand on one that is not there. */
static int
line_of(const struct reading *reading, const yaml_mark_t *mark)
{
    return (int)mark->line < reading->last_line ? (int)mark->line + 1 : reading->last_line;
}

/* As YAML 1.1 has it: LF, CR, CR LF, and Unicode's NEL, LS and PS. */
static bool
ends_line(const char *at, size_t size)
{
    return *at == '\n' || (*at == '\r' && (size < 2 || at[1] != '\n')) ||
           (size >= 2 && memcmp(at, "\xc2\x85", 2) == 0) ||
           (size >= 3 && (memcmp(at, "\xe2\x80\xa8", 3) == 0 || memcmp(at, "\xe2\x80\xa9", 3) == 0));
}

/* libyaml's reader tells where a bad byte stands, not on which line. */
static int
line_of_offset(const struct reading *reading, size_t offset)
{
    int line = 1;
    for (size_t i = 0; i < offset && i < reading->size; i++)
        line += ends_line(reading->text + i, reading->size - i);
    return line;
}

static void
complain_of_syntax(struct reading *reading)
{
    const yaml_parser_t *parser = &reading->parser;
    const char *problem = parser->problem ? parser->problem : "out of memory";
    if (parser->error == YAML_READER_ERROR)
        complaints_add(reading->complaints, line_of_offset(reading, parser->problem_offset), NULL,
                       "not UTF-8 text: %s", problem);
    else
        complaints_add(reading->complaints, line_of(reading, &parser->problem_mark), NULL, "not YAML: %s%s%s",
                       problem, parser->context ? " " : "", parser->context ? parser->context : "");
}

static bool
next_event(struct reading *reading, yaml_event_t *event)
{
    if (yaml_parser_parse(&reading->parser, event))
        return true;
    complain_of_syntax(reading);
    return false;
}

/* A scalar may be a password: libyaml would free it as it is. */
static void
drop_event(yaml_event_t *event)
{
    if (event->type == YAML_SCALAR_EVENT)
        explicit_bzero(event->data.scalar.value, event->data.scalar.length);
    yaml_event_delete(event);
}

static void complain_at(struct reading *reading, const struct tree_node *node, const char *format, ...)
    PRINTF_LIKE(3, 4);

static void
complain_at(struct reading *reading, const struct tree_node *node, const char *format, ...)
{
    char path[TREE_PATH], reason[200];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(reason, sizeof reason, format, arguments);
    va_end(arguments);
    complaints_add(reading->complaints, node->line, tree_path(node, path), "%s", reason);
}

static bool
refuse_decoration(struct reading *reading, struct tree_node *node, const yaml_char_t *anchor,
                  const yaml_char_t *tag)
{
    if (anchor != NULL)
        complain_at(reading, node, "anchors (&name) are not allowed");
    if (tag != NULL)
        complain_at(reading, node, "tags (!name) are not allowed");
    return anchor != NULL || tag != NULL;
}

static bool
is_null(const char *text)
{
    static const char *const NULLS[] = {"", "~", "null", "Null", "NULL"};
    for (size_t i = 0; i < sizeof NULLS / sizeof *NULLS; i++)
        if (strcmp(text, NULLS[i]) == 0)
            return true;
    return false;
}

static void
read_text(struct reading *reading, const yaml_event_t *event, struct tree_node *node)
{
    const char *value = (const char *)event->data.scalar.value;
    size_t size = event->data.scalar.length;
    node->quoted = event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
    node->kind = TREE_REFUSED;
    if (refuse_decoration(reading, node, event->data.scalar.anchor, event->data.scalar.tag))
        return;
    if (memchr(value, '\0', size) != NULL) {
        complain_at(reading, node, "holds a NUL byte");
        return;
    }
    node->kind = !node->quoted && is_null(value) ? TREE_NULL : TREE_TEXT;
    if (node->kind == TREE_TEXT)
        node->text = must_strdup(value);
}

static struct tree_node *
add_child(struct tree_node *parent, int line)
{
    struct tree_node *child = must_calloc(1, sizeof *child);
    *child = (struct tree_node){.kind = TREE_REFUSED, .line = line, .parent = parent};
    if (parent->last != NULL)
        parent->last->next = child;
    else
        parent->first = child;
    parent->last = child;
    return child;
}

static bool
read_list(struct reading *reading, struct tree_node *list, int depth)
{
    yaml_event_t event;
    for (int count = 0; next_event(reading, &event); count++) {
        if (event.type == YAML_SEQUENCE_END_EVENT) {
            drop_event(&event);
            return true;
        }
        if (count == TREE_CHILDREN_MOST) {
            complain_at(reading, list, "has more than %d entries", TREE_CHILDREN_MOST);
            drop_event(&event);
            return false;
        }
        if (!read_value(reading, &event, add_child(list, line_of(reading, &event.start_mark)), depth + 1))
            return false;
    }
    return false;
}

/* The first child of that key before `child` itself. */
static const struct tree_node *
find_twin(const struct tree_node *map, const struct tree_node *child)
{
    for (const struct tree_node *other = map->first; other != child; other = other->next)
        if (other->key != NULL && strcmp(other->key, child->key) == 0)
            return other;
    return NULL;
}

/* Takes the event of a key; the child is left without a key when it is not one. */
static void
read_key(struct reading *reading, const yaml_event_t *event, struct tree_node *child)
{
    const char *key = (const char *)event->data.scalar.value;
    bool plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    if (refuse_decoration(reading, child, event->data.scalar.anchor, event->data.scalar.tag))
        return;
    if (memchr(key, '\0', event->data.scalar.length) != NULL) {
        complain_at(reading, child, "a key holds a NUL byte");
        return;
    }
    if (plain && strcmp(key, "<<") == 0) {
        complain_at(reading, child, "merge keys (<<) are not allowed");
        return;
    }
    child->key = must_strdup(key);
    const struct tree_node *twin = find_twin(child->parent, child);
    if (twin == NULL)
        return;
    complain_at(reading, child, "given twice, first on line %d", twin->line);
    free(child->key);
    child->key = NULL;
}

/* One key and its value. A child without a key has been complained about: its value is passed over. */
static bool
read_entry(struct reading *reading, yaml_event_t *event, struct tree_node *map, int depth)
{
    yaml_event_t value;
    struct tree_node *child = add_child(map, line_of(reading, &event->start_mark));
    if (event->type == YAML_SCALAR_EVENT) {
        read_key(reading, event, child);
        drop_event(event);
    } else {
        complain_at(reading, child, "a key must be a word");
        if (!read_value(reading, event, add_child(child, child->line), depth + 1))
            return false;
    }
    if (!next_event(reading, &value))
        return false;
    if (!read_value(reading, &value, child, depth + 1))
        return false;
    if (child->key == NULL)
        child->kind = TREE_REFUSED;
    return true;
}

static bool
read_map(struct reading *reading, struct tree_node *map, int depth)
{
    yaml_event_t event;
    for (int count = 0; next_event(reading, &event); count++) {
        if (event.type == YAML_MAPPING_END_EVENT) {
            drop_event(&event);
            return true;
        }
        if (count == TREE_CHILDREN_MOST) {
            complain_at(reading, map, "has more than %d keys", TREE_CHILDREN_MOST);
            drop_event(&event);
            return false;
        }
        if (!read_entry(reading, &event, map, depth))
            return false;
    }
    return false;
}

/* Fills `node` from `event` and those that belong to it, and drops them. False: the rest cannot be read. */
static bool
read_value(struct reading *reading, yaml_event_t *event, struct tree_node *node, int depth)
{
    bool readable = true, refused = false;
    yaml_event_type_t type = event->type;
    if (type == YAML_SCALAR_EVENT) {
        read_text(reading, event, node);
    } else if (type == YAML_ALIAS_EVENT) {
        complain_at(reading, node, "aliases (*name) are not allowed");
    } else if (type == YAML_SEQUENCE_START_EVENT) {
        refused = refuse_decoration(reading, node, event->data.sequence_start.anchor,
                                    event->data.sequence_start.tag);
        node->kind = TREE_LIST;
    } else {
        CHECK(type == YAML_MAPPING_START_EVENT);
        refused =
            refuse_decoration(reading, node, event->data.mapping_start.anchor, event->data.mapping_start.tag);
        node->kind = TREE_MAP;
    }
    drop_event(event);
    if (type != YAML_SEQUENCE_START_EVENT && type != YAML_MAPPING_START_EVENT)
        return true;
    if (depth > TREE_DEPTH_MOST) {
        complain_at(reading, node, "nested deeper than %d levels", TREE_DEPTH_MOST);
        return false;
    }
    readable =
        type == YAML_SEQUENCE_START_EVENT ? read_list(reading, node, depth) : read_map(reading, node, depth);
    if (refused)
        node->kind = TREE_REFUSED;
    return readable;
}

/* The root, when there is one; false when the text ends in an error or holds more than one document. */
static bool
read_document(struct reading *reading, struct tree_node *root)
{
    yaml_event_t event;
    if (!next_event(reading, &event))
        return false;
    yaml_event_type_t type = event.type;
    int line = line_of(reading, &event.start_mark);
    bool has_tags = type == YAML_DOCUMENT_START_EVENT && event.data.document_start.tag_directives.start !=
                                                             event.data.document_start.tag_directives.end;
    drop_event(&event);
    if (type == YAML_STREAM_END_EVENT)
        return true;
    if (has_tags)
        complaints_add(reading->complaints, line, NULL, "tag directives (%%TAG) are not allowed");
    if (!next_event(reading, &event))
        return false;
    root->line = line_of(reading, &event.start_mark);
    if (!read_value(reading, &event, root, 1))
        return false;
    if (!next_event(reading, &event))
        return false;
    drop_event(&event); /* the document's end */
    if (!next_event(reading, &event))
        return false;
    if (event.type != YAML_STREAM_END_EVENT)
        complaints_add(reading->complaints, line_of(reading, &event.start_mark), NULL,
                       "a second document (---) is not allowed");
    type = event.type;
    drop_event(&event);
    return type == YAML_STREAM_END_EVENT;
}

/* libyaml's working copies of the text. */
static void
wipe_parser(yaml_parser_t *parser)
{
    explicit_bzero(parser->buffer.start, (size_t)(parser->buffer.end - parser->buffer.start));
    explicit_bzero(parser->raw_buffer.start, (size_t)(parser->raw_buffer.end - parser->raw_buffer.start));
    yaml_parser_delete(parser);
}

static struct tree_node *
read_stream(struct reading *reading)
{
    yaml_event_t event;
    struct tree_node *root = must_calloc(1, sizeof *root);
    root->kind = TREE_MAP;
    root->line = 1;
    bool readable = next_event(reading, &event);
    if (readable) {
        drop_event(&event); /* the stream's start */
        readable = read_document(reading, root);
    }
    if (!readable) {
        tree_free(root);
        root = NULL;
    }
    return root;
}

struct tree_node *
tree_read(const char *text, size_t size, struct complaints *complaints)
{
    static const char BYTE_ORDER_MARK[] = "\xef\xbb\xbf";
    struct reading reading = {.text = text, .size = size, .complaints = complaints};
    const char *nul = memchr(text, '\0', size);
    if (nul != NULL) {
        complaints_add(complaints, line_of_offset(&reading, (size_t)(nul - text)), NULL,
                       "holds a NUL byte: not UTF-8 text");
        return NULL;
    }
    if (size >= 3 && memcmp(text, BYTE_ORDER_MARK, 3) == 0) {
        reading.text += 3;
        reading.size -= 3;
    }
    reading.last_line = line_of_offset(&reading, reading.size);
    CHECK(yaml_parser_initialize(&reading.parser)); /* fails only without memory */
    yaml_parser_set_encoding(&reading.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&reading.parser, (const unsigned char *)reading.text, reading.size);
    struct tree_node *root = read_stream(&reading);
    wipe_parser(&reading.parser);
    return root;
}

static void
free_node(struct tree_node *node)
{
    for (struct tree_node *child = node->first, *next; child != NULL; child = next) {
        next = child->next;
        free_node(child);
    }
    if (node->text != NULL)
        explicit_bzero(node->text, strlen(node->text));
    free(node->text);
    free(node->key);
    free(node);
}

void
tree_free(struct tree_node *root)
{
    if (root != NULL)
        free_node(root);
}

const char *
tree_path(const struct tree_node *node, char path[TREE_PATH])
{
    const struct tree_node *steps[TREE_DEPTH_MOST + 1];
    size_t count = 0, size = 0;
    for (; node != NULL && count <= TREE_DEPTH_MOST; node = node->parent)
        if (node->key != NULL)
            steps[count++] = node;
    path[0] = '\0';
    for (size_t i = count; i-- > 0;) {
        for (const char *at = steps[i]->key; *at != '\0' && size < TREE_PATH - 2; at++)
            path[size++] = *at >= 0x20 && *at < 0x7f ? *at : '?';
        if (i > 0 && size < TREE_PATH - 2)
            path[size++] = '.';
    }
    path[size] = '\0';
    return size > 0 ? path : NULL;
}
