/* headers.c: the headers column, from JSON to one call a Kafka header. Called for every event that is sent;
 * the table's CHECK has seen to the shape, so a failure here means that somebody went around it. */
#include "event/headers.h"

#include <jansson.h>
#include <string.h>

/* One call for a string or null; false when it is neither, or the visitor said stop. */
static bool
visit_value(headers_visitor *visit, void *context, const char *name, const json_t *value, struct error *error)
{
    bool go_on;
    if (json_is_string(value))
        go_on = visit(context, name, strlen(name), json_string_value(value), json_string_length(value));
    else if (json_is_null(value))
        go_on = visit(context, name, strlen(name), NULL, 0);
    else
        return error_set(error, ERROR_UNUSABLE, "header %s is not a string, an array of strings or null",
                         name);
    return go_on || error_set(error, ERROR_UNUSABLE, "header %s was refused", name);
}

static bool
visit_array(headers_visitor *visit, void *context, const char *name, const json_t *array, struct error *error)
{
    for (size_t i = 0; i < json_array_size(array); i++) {
        const json_t *value = json_array_get(array, i);
        if (!json_is_string(value))
            return error_set(error, ERROR_UNUSABLE, "header %s: element %zu of the array is not a string",
                             name, i);
        if (!visit_value(visit, context, name, value, error))
            return false;
    }
    return true;
}

static bool
visit_object(headers_visitor *visit, void *context, json_t *object, struct error *error)
{
    const char *name;
    json_t *value;
    json_object_foreach(object, name, value)
    {
        bool ok = json_is_array(value) ? visit_array(visit, context, name, value, error)
                                       : visit_value(visit, context, name, value, error);
        if (!ok)
            return false;
    }
    return true;
}

bool
headers_each(const char *json, size_t size, headers_visitor *visit, void *context, struct error *error)
{
    if (json == NULL || (size == 2 && memcmp(json, "{}", 2) == 0))
        return true;
    json_error_t why;
    json_t *object = json_loadb(json, size, 0, &why);
    if (object == NULL)
        return error_set(error, ERROR_UNUSABLE, "headers are not JSON (byte %d of %zu)", why.position, size);
    bool ok = json_is_object(object) ? visit_object(visit, context, object, error)
                                     : error_set(error, ERROR_UNUSABLE, "headers are not a JSON object");
    json_decref(object);
    return ok;
}
