/* collections.h: the two settings that hold many values: the patterns of topics and the properties of
 * librdkafka. Within this room only. */
#ifndef OUTBOXD_CONFIG_COLLECTIONS_H
#define OUTBOXD_CONFIG_COLLECTIONS_H

#include "config/settings.h"
#include "config/tree.h"

/* Fills `patterns` from a list of at least one; complains of each that no legal topic could match. */
void collections_read_patterns(char ***patterns, size_t *count, const struct tree_node *node,
                               struct complaints *complaints);

/* Fills `properties` from a map; <name>_file becomes <name> with the contents of that file. Complains of what
 * is no value, of a property given in both ways, and when bootstrap.servers is missing. */
void collections_read_properties(struct property **properties, size_t *count, const struct tree_node *node,
                                 struct complaints *complaints);

/* True when a secret stands in the configuration file itself: sasl.password, but not sasl.password_file. */
bool collections_shows_secret(const struct tree_node *property);

void collections_free_patterns(char **patterns, size_t count);

/* Wipes secrets, frees. */
void collections_free_properties(struct property *properties, size_t count);

#endif
