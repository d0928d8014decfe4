/* values.h: one value of the file into one field of struct settings, by its entry in the table. Within this
 * room only. */
#ifndef OUTBOXD_CONFIG_VALUES_H
#define OUTBOXD_CONFIG_VALUES_H

#include "config/settings.h"
#include "config/settings_table.h"
#include "config/tree.h"

/* Stores the value of `node`, or complains and leaves the field zeroed. Not for SETTING_SECTION. */
void values_store(struct settings *settings, const struct setting *setting, const struct tree_node *node,
                  struct complaints *complaints);

/* Stores the default, when there is one. */
void values_store_default(struct settings *settings, const struct setting *setting);

#endif
