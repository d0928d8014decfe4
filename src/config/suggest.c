/* suggest.c: finds the setting that a misspelt key was probably meant to be. Called by settings for its
 * messages. */
#include "config/suggest.h"

#include <string.h>

/* No key of ours is longer; longer ones resemble none. */
#define KEY_SIZE_MOST 32
#define DISTANCE_MOST 2

static size_t
least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Levenshtein's distance: how many letters to insert, drop or change; one row of the matrix at a time. */
static size_t
distance(const char *a, const char *b)
{
    size_t row[KEY_SIZE_MOST + 1], size = strlen(b);
    for (size_t j = 0; j <= size; j++)
        row[j] = j;
    for (size_t i = 0; a[i] != '\0'; i++) {
        size_t diagonal = row[0];
        row[0] = i + 1;
        for (size_t j = 0; j < size; j++) {
            size_t changed = diagonal + (a[i] != b[j]);
            diagonal = row[j + 1];
            row[j + 1] = least(changed, 1 + least(row[j], diagonal));
        }
    }
    return row[size];
}

/* A right name in the wrong place is nearer than a wrong name in the right one. */
static size_t
distance_to(const struct setting *setting, const char *key, const struct setting *section)
{
    const char *name = setting_key(setting);
    if (strcmp(key, name) == 0 || strcmp(key, setting->path) == 0)
        return 0;
    if (!setting_is_in(setting, section) || strlen(name) > KEY_SIZE_MOST)
        return SIZE_MAX;
    return distance(key, name);
}

const struct setting *
suggest_setting(const char *key, const struct setting *section)
{
    const struct setting *nearest = NULL;
    size_t nearest_distance = least(DISTANCE_MOST, strlen(key) / 2) + 1;
    for (size_t i = 0; i < SETTINGS_COUNT && strlen(key) <= KEY_SIZE_MOST; i++) {
        size_t far = SETTINGS[i].type == SETTING_LATER ? SIZE_MAX : distance_to(&SETTINGS[i], key, section);
        if (far < nearest_distance) {
            nearest_distance = far;
            nearest = &SETTINGS[i];
        }
    }
    return nearest;
}
