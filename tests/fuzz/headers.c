/* headers.c: the column `headers`. What is taken is a list of headers that, written as an object again, is the same list. */
#include "event/headers.h"

#include "fuzz/fuzz.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

struct list {
    json_t *pairs;    /* [name, value] */
    size_t left;      /* how many are taken before one is refused */
    size_t delivered; /* calls */
};

static bool
visit(void *context, const char *name, size_t name_size, const char *value, size_t value_size)
{
    struct list *list = context;
    CHECK(strlen(name) == name_size && fuzz_is_utf8(name, name_size));
    CHECK(value != NULL || value_size == 0);
    CHECK(value == NULL || (fuzz_is_utf8(value, value_size) && memchr(value, '\0', value_size) == NULL));
    list->delivered++;
    if (list->left == 0)
        return false;
    list->left--;
    json_t *pair = json_pack("[s#, o]", name, (int)name_size,
                             value != NULL ? json_stringn(value, value_size) : json_null());
    CHECK(pair != NULL && json_array_append_new(list->pairs, pair) == 0);
    return true;
}

/* The object of which these are the headers: several values of one name stand in an array. */
static json_t *
rebuild(const json_t *pairs)
{
    json_t *object = json_object(), *pair;
    size_t i;
    json_array_foreach((json_t *)(uintptr_t)pairs, i, pair)
    {
        const char *name = json_string_value(json_array_get(pair, 0));
        json_t *value = json_array_get(pair, 1), *known = json_object_get(object, name);
        if (json_is_null(value)) {
            json_object_set(object, name, value);
            continue;
        }
        if (known == NULL)
            json_object_set_new(object, name, known = json_array());
        CHECK(json_array_append(known, value) == 0);
    }
    return object;
}

static bool
walk(const char *json, size_t size, struct list *list)
{
    struct error error = {0};
    list->pairs = json_array();
    bool taken = headers_each(json, size, visit, list, &error);
    CHECK(taken || (error.kind == ERROR_UNUSABLE && error.message[0] != '\0'));
    return taken;
}

int
fuzz_headers(const uint8_t *bytes, size_t size)
{
    struct list first = {.left = SIZE_MAX}, again = {.left = SIZE_MAX}, stopped = {0};
    char *json = must_alloc(size > 0 ? size : 1); /* the column's text does not end in NUL */
    if (size > 0)
        memcpy(json, bytes, size);
    if (walk(json, size, &first)) {
        json_t *object = rebuild(first.pairs);
        char *text = json_dumps(object, 0);
        CHECK(text != NULL && walk(text, strlen(text), &again));
        CHECK(json_equal(first.pairs, again.pairs));
        CHECK(walk(json, size, &stopped) == (first.delivered == 0));
        CHECK(stopped.delivered == (first.delivered > 0));
        free(text);
        json_decref(object);
    }
    json_decref(first.pairs);
    json_decref(again.pairs);
    json_decref(stopped.pairs);
    free(json);
    return 0;
}
