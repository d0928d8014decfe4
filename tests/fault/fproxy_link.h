/* fproxy_link.h: one connection through the proxy: two sockets and, between them, a stream each way.
 *
 *   client --read--> up.in --frames--> up.out --write--> server
 *   client <-write-- down.out <-frames-- down.in <--read-- server
 *
 * Both buffers are bounded; where one is full, the socket before it is not read. A frame is passed on while it comes in: only one
 * that is to be sent again, or later, is kept whole. */
#ifndef OUTBOXD_TESTS_FAULT_FPROXY_LINK_H
#define OUTBOXD_TESTS_FAULT_FPROXY_LINK_H

#include "fault/fproxy_rules.h"

#include <netinet/in.h>
#include <poll.h>

#define LINK_EXCHANGES 256 /* requests under way; librdkafka has five, a pipeline of libpq some more */
#define LINK_MARKS 64      /* reads that the latency still keeps back */
#define LINK_KIND 48       /* bytes of a request's name in the log */

struct buffer {
    char *data;
    size_t start, size, capacity;
};

struct listener {
    enum protocol protocol;
    int number; /* 1, 2 .. of its protocol */
    int fd;
    struct sockaddr_in from, to;
};

/* A frame that is sent when its time has come, between two others. */
struct parked {
    struct parked *next;
    char *data;
    size_t size, capacity, sent;
    int64_t due_us;
    int rule; /* whose release ends the wait; 0: nobody's */
    char kind[LINK_KIND];
};

/* A request whose answer is to come. */
struct exchange {
    int32_t correlation;
    bool unasked; /* the client has not asked for this one: its answer is swallowed */
    struct verdict verdict;
    char kind[LINK_KIND];
};

struct stream {
    struct buffer in, out;
    bool ended; /* nothing more comes from its source */
    bool dead;  /* its destination takes nothing more: everything is swallowed */
    bool shut;  /* its destination has been told the end */
    uint64_t carried;
    /* the frame that is being passed on */
    size_t left;
    bool swallow;
    size_t cut_left;     /* bytes until the connection is cut; SIZE_MAX: never */
    bool cut;            /* which has been reached */
    size_t corrupt_left; /* bytes before the one that is changed; SIZE_MAX: none is */
    bool shut_after;     /* its destination is to be told the end behind it */
    bool shut_wanted;    /* that frame is through */
    struct parked *keep; /* where its copy goes; NULL: none is wanted */
    struct parked *parked;
    /* standing still */
    int64_t wait_us; /* until then; CLOCK_NEVER: until its rule is released */
    int held_by;     /* that rule; 0: it is only a delay */
    char held_kind[LINK_KIND];
    int64_t rate, rate_us; /* bytes a second (0: any), and since when they are counted */
    double tokens;
    /* latency: the first `ripe` bytes of `in` may go, the others when their mark says so */
    size_t ripe;
    struct mark {
        int64_t due_us;
        size_t size;
    } marks[LINK_MARKS];
    int first_mark, mark_count;
};

/* What fproxy_postgres.c knows of a conversation. */
struct postgres_talk {
    enum { TALK_START, TALK_MESSAGES, TALK_OPAQUE } phase;
    bool asked_encryption; /* the next byte of the server says whether */
    bool in_unit;          /* between Parse or Bind and its Sync */
    bool answering;        /* the first message of an answer has come */
    uint64_t counted;
    struct exchange *unit; /* the one that the client is asking; the last in line */
};

struct link {
    struct link *next;
    struct proxy *proxy;
    const struct listener *listener;
    int number;
    int client, server;
    bool connecting, reset, over;
    struct stream up, down;
    struct exchange exchanges[LINK_EXCHANGES];
    int first_exchange, exchange_count;
    struct postgres_talk talk;
};

struct proxy {
    struct rules rules;
    struct link *links;
    int link_count, link_numbers;
    int64_t latency_us[2]; /* of every byte of a protocol, each way */
    FILE *log;
};

/* ---- fproxy_link.c: sockets ---- */

/* Takes a connection of the listener and begins the one to its server. */
void link_accept(struct proxy *proxy, const struct listener *listener);

/* What to poll for on its sockets; a descriptor of -1 is left alone. */
void link_poll(const struct link *link, struct pollfd sockets[2]);

/* Reads, moves and writes what is possible; returns when to come again without a socket being ready. Sets `over`. */
int64_t link_turn(struct link *link, const struct pollfd sockets[2]);
void link_free(struct link *link);

/* The log's line: one for each fault. */
void link_log(const struct link *link, const char *kind, const char *action, uint64_t n, int rule);

/* ---- fproxy_stream.c: bytes ---- */

void stream_open(struct stream *stream);
void stream_close(struct stream *stream);
size_t stream_room(const struct stream *stream); /* for bytes of its source */
void stream_put(struct stream *stream, const char *data, size_t size, int64_t latency_us, int64_t now_us);
/* Frames of `in` into `out`, as far as they may go. */
void stream_move(struct link *link, struct stream *stream, int64_t now_us);
bool stream_empty(const struct stream *stream);
int64_t stream_deadline_us(const struct stream *stream, int64_t now_us);
/* Lets go what the rule holds (0: any rule); how many frames that was. */
int stream_release(struct stream *stream, int rule);

void buffer_take(struct buffer *buffer, size_t size);

/* ---- fproxy_carry.c: faults ---- */

/* Is there room for a request and its duplicate? Else it has to wait for an answer. */
bool exchange_room(const struct link *link);
/* Puts it at the end of the line, where it stays until it is pulled. */
struct exchange *exchange_push(struct link *link, const struct exchange *exchange);
/* The last one in line will not be answered. */
void exchange_forget(struct link *link);
/* The first one in line of this correlation, removed; false: there is none. */
bool exchange_pull(struct link *link, int32_t correlation, struct exchange *exchange);

/* A frame of `size` bytes, or the part of an exchange's side between `first` and `last`, meets its verdict. */
void carry_frame(struct link *link, struct stream *stream, const struct exchange *exchange, size_t size,
                 bool first, bool last);

/* ---- the protocols: they look at the bytes in front and take a frame (stream.left > 0), or want more of it ---- */

void kafka_request(struct link *link, const char *data, size_t size);
void kafka_response(struct link *link, const char *data, size_t size);
void postgres_request(struct link *link, const char *data, size_t size);
void postgres_response(struct link *link, const char *data, size_t size);

#endif
