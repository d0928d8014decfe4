/* model.h: what is drawn for a seed before anything happens: how large its world is, how it is configured, which faults it has. And
 * the names that the parts of the model share. */
#ifndef OUTBOXD_TESTS_SIMULATOR_MODEL_H
#define OUTBOXD_TESTS_SIMULATOR_MODEL_H

#include "config/settings.h"
#include "simulator/world.h"

#define MODEL_TOPICS 2
#define MODEL_COPIES MODEL_TOPICS /* one more topic, for copies of dead letters */
#define MODEL_PARTITIONS 2        /* of each topic */
#define MODEL_LANES ((MODEL_TOPICS + 1) * MODEL_PARTITIONS)
#define MODEL_KEYS 6 /* and as a key: none */
#define MODEL_PROCESSES 2
#define MODEL_PAYLOAD_MOST 12000

/* As registry.c of the model asks for the journal to be trimmed. */
#define MODEL_TRIM "trim "

struct model {
    struct settings settings;
    bool switches;         /* a process that starts may deliver in the other way */
    int keys;              /* in use */
    int events;            /* so many are inserted, about */
    int64_t chaos_us;      /* so long there are faults */
    int postgres_percent;  /* of its requests meet a fault */
    int kafka_percent;     /* likewise */
    int stretched_percent; /* of its statements leave room for others between their parts */
    int sequence_log;      /* nextval() writes its log for so many values ahead: 32 in a real server */
    int64_t blow_us;       /* between two larger faults, about */
    bool drifts;           /* the processes' clocks run at other speeds */
    int refused_percent;   /* of the events */
    bool bulk;             /* a transaction has more events than a page of one topic */
    int64_t people_us;     /* somebody asks for something so often; 0: nobody */
    bool policy_switches;  /* a process that starts may have another policy for dead letters */
};

extern struct model model;

void model_begin(void);

const char *model_topic_name(int topic);
/* -1: there is no such topic. */
int model_topic(const char *name);
const char *model_key_name(int key); /* NULL: none */
size_t model_key_size(int key);
/* `id`: of an event without a key, which may go anywhere. */
int model_lane(int topic, int key, int64_t id);

#endif
