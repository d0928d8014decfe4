/* fields.c: sets members of JSON objects. Called by http/status.c, relay/outage.c and the commands; knows nothing
 * of what they mean. */
#include "base/fields.h"

#include "base/utf8.h"

#include <math.h>
#include <stdlib.h>

void
fields_set_text(json_t *object, const char *key, const char *text)
{
    if (text == NULL) {
        json_object_set_new(object, key, json_null());
        return;
    }
    char *clean = utf8_clean(text);
    json_object_set_new(object, key, json_string(clean));
    free(clean);
}

void
fields_set_flag(json_t *object, const char *key, bool value)
{
    json_object_set_new(object, key, json_boolean(value));
}

void
fields_set_integer(json_t *object, const char *key, int64_t value)
{
    json_object_set_new(object, key, json_integer(value));
}

void
fields_set_positive(json_t *object, const char *key, int64_t value)
{
    json_object_set_new(object, key, value > 0 ? json_integer(value) : json_null());
}

void
fields_set_count(json_t *object, const char *key, uint64_t value)
{
    fields_set_integer(object, key, value > INT64_MAX ? INT64_MAX : (int64_t)value);
}

void
fields_set_number(json_t *object, const char *key, double value)
{
    json_object_set_new(object, key, isfinite(value) ? json_real(value) : json_null());
}

void
fields_set_seconds(json_t *object, const char *key, int64_t us)
{
    fields_set_number(object, key, us < 0 ? INFINITY : (double)us / 1e6);
}
