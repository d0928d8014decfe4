/* suggest.h: what a misspelt key was probably meant to be. Within this room only. */
#ifndef OUTBOXD_CONFIG_SUGGEST_H
#define OUTBOXD_CONFIG_SUGGEST_H

#include "config/settings_table.h"

/* The setting whose name is nearest to `key`, found in `section` (NULL: at the top). NULL: none is near. */
const struct setting *suggest_setting(const char *key, const struct setting *section);

#endif
