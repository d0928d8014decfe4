/* settings_table.h: the one list of all settings: what is read, what is allowed, what is written in
 * config.yaml.example and in the manual page. Within this room only. */
#ifndef OUTBOXD_CONFIG_SETTINGS_TABLE_H
#define OUTBOXD_CONFIG_SETTINGS_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum setting_type {
    SETTING_SECTION,    /* a map of the settings that follow with its path in front */
    SETTING_NAME,       /* char *: [a-zA-Z0-9._-]{1,100} */
    SETTING_TEXT,       /* char *: anything but nothing */
    SETTING_SECRET,     /* char *: the contents of the file that is named */
    SETTING_PATTERNS,   /* settings.topics: a list of shell patterns */
    SETTING_PROPERTIES, /* settings.kafka: a map */
    SETTING_DURATION,   /* int64_t microseconds */
    SETTING_SIZE,       /* int64_t bytes */
    SETTING_COUNT,      /* int64_t */
    SETTING_CHOICE,     /* an enum: the position in `choices` */
    SETTING_LISTEN,     /* char *: address:port, or null */
    SETTING_TOPIC,      /* char *: the name of a topic, or null */
};

#define SETTING_CHOICES_MOST 4

struct setting {
    const char *path; /* "poll.idle"; one dot at most */
    enum setting_type type;
    bool required;
    bool nullable;        /* a section that `null` switches off */
    bool renewed;         /* SIGHUP takes over a new value (renew.c) */
    size_t offset;        /* in struct settings */
    const char *fallback; /* the default as it stands in a file; NULL: none */
    const char
        *shown; /* what the example shows where there is no default; several lines for SETTING_PROPERTIES */
    int64_t least, most;                           /* SETTING_DURATION, _SIZE, _COUNT */
    const char *choices[SETTING_CHOICES_MOST + 1]; /* ended by NULL */
    const char *help;                              /* sentences */
};

/* In the order of the example; a section stands before its settings. */
extern const struct setting SETTINGS[];
extern const size_t SETTINGS_COUNT;

/* The last part of the path: "idle". */
const char *setting_key(const struct setting *setting);

/* Whether `setting` stands directly in `section`, or at the top when that is NULL. */
bool setting_is_in(const struct setting *setting, const struct setting *section);

#endif
