/* suggest.c: finds the setting that a misspelt key was probably meant to be. Called by settings for its
 * messages. */
#include "config/suggest.h"

#include "base/spelling.h"

#include <string.h>

/* A right name in the wrong place is nearer than a wrong name in the right one. */
static size_t
distance_to(const struct setting *setting, const char *key, const struct setting *section)
{
    const char *name = setting_key(setting);
    if (strcmp(key, name) == 0 || strcmp(key, setting->path) == 0)
        return 0;
    return setting_is_in(setting, section) ? spelling_distance(key, name) : SPELLING_FAR;
}

const struct setting *
suggest_setting(const char *key, const struct setting *section)
{
    const struct setting *nearest = NULL;
    size_t nearest_distance = SPELLING_FAR;
    for (size_t i = 0; i < SETTINGS_COUNT; i++) {
        size_t far = distance_to(&SETTINGS[i], key, section);
        if (far < nearest_distance) {
            nearest_distance = far;
            nearest = &SETTINGS[i];
        }
    }
    return nearest;
}
