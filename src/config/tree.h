/* tree.h: a YAML text as a tree of texts, lists and maps with the line of each. Only the plain part of YAML
 * that a person reads without a manual: no aliases, anchors, tags, merge keys, several documents or duplicate
 * keys; bounded in depth and width. Knows nothing of settings. */
#ifndef OUTBOXD_CONFIG_TREE_H
#define OUTBOXD_CONFIG_TREE_H

#include "config/complaints.h"

#define TREE_DEPTH_MOST 16
#define TREE_CHILDREN_MOST 500
#define TREE_PATH 200

enum tree_kind {
    TREE_TEXT,
    TREE_NULL, /* a plain null, ~ or nothing at all */
    TREE_LIST,
    TREE_MAP,
    TREE_REFUSED, /* complained about already: to be passed over in silence */
};

struct tree_node {
    enum tree_kind kind;
    int line;                       /* of the key in a map, else of the value; 1 is the first */
    char *key;                      /* in a map; NULL in a list and at the root */
    char *text;                     /* TREE_TEXT */
    bool quoted;                    /* TREE_TEXT: "10" and not 10 */
    const struct tree_node *parent; /* NULL at the root */
    struct tree_node *first, *last; /* children in the order of the file */
    struct tree_node *next;         /* the next child of the parent */
};

/* Reads `text` (UTF-8, with or without a byte order mark). An empty text is an empty map. All that is wrong
 * goes to `complaints`. Returns the tree, to be freed with tree_free, or NULL when the text could not be read
 * to its end. */
struct tree_node *tree_read(const char *text, size_t size, struct complaints *complaints);

/* Wipes all texts (a configuration may hold secrets) and frees. NULL is allowed. */
void tree_free(struct tree_node *root);

/* The dotted path of a node, "poll.idle", made fit for printing and cut to size. Returns `path`, or NULL for
 * the root. */
const char *tree_path(const struct tree_node *node, char path[TREE_PATH]);

#endif
