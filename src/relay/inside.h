/* inside.h: what the files of this room do for one another, on one state (state.h). For them only.
 *   relay.c    state machine, turn                   link.c     the way to Postgres: connect, look, take the lead
 *   leading.c  what the leader asks of Postgres      answers.c  ticks and pages from what it answers
 *   sending.c  the producer: send, reports, trouble  observe.c  the snapshot
 *   soundness.c  may we lead here, by what the journal says
 *   exact.c    exactly once: who knows how far we are
 *   committing.c  exactly once: what a transaction holds
 *   outage.c   Kafka as a whole is away, or refuses everything
 *   telling.c  what the registry is told
 *   loading.c  what was passed over before, when a lead begins
 *   aside.c    dead letters, and what waits behind them   pauses.c   paused topics
 *   passing.c  what is passed over of these               attempts.c which are tried, in turns
 *   rounds.c   they catch up                              side.c     work beside the stream
 *   requests.c retries, discards, copies, replays         look.c     which of them are begun
 *   refusals.c what Kafka refuses of them              backlog.c  what waits while all of it is paused */
#ifndef OUTBOXD_RELAY_INSIDE_H
#define OUTBOXD_RELAY_INSIDE_H

#include "relay/state.h"

/* relay.c: the one place where the state changes; `why` is logged. */
void relay_change(struct relay *relay, enum relay_state to, const char *why);
/* Stops for good with this error (it is copied). */
void relay_fail(struct relay *relay, const struct error *error);
/* Nothing is wrong with what was done, but Kafka cannot be used as it is configured: the lead is given back, as by relay_stop(), and the next
 * process need not wait for the lease to end. */
void relay_give_up(struct relay *relay, const struct error *error);
/* Marks the request that was just asked. */
void relay_asked(struct relay *relay, enum request request);

/* link.c */
int64_t link_turn(struct relay *relay); /* connects when it is time; returns its deadline */
void link_answer(struct relay *relay);  /* INSPECT .. TAKE */
void link_ask(struct relay *relay);     /* on the way to the lead */
void link_lost(struct relay *relay, const struct error *why);
void link_healed(struct relay *relay); /* Postgres does what it is asked for again */
void link_failed(struct relay *relay,
                 const struct error *error); /* a request failed: what its kind asks for */

/* soundness.c */
bool soundness_of_row(struct relay *relay); /* the newest row, as last looked at */
/* What is wrong with the events behind it. */
bool soundness_of_events(struct relay *relay, bool set_back, bool numbers_back);
bool soundness_of_refusal(struct relay *relay); /* the lead was asked for, and not given */
/* A standby was promoted that lacks events which we have sent. */
bool soundness_behind_us(const struct relay *relay);

/* leading.c */
void leading_begin(struct relay *relay, bool kept); /* the lead was taken */
void leading_ask(struct relay *relay);
/* For a statement that appends a row; remembers what it says, for answers_appended(). */
struct journal_row_next leading_next_row(struct relay *relay);
int64_t leading_deadline(const struct relay *relay);
void leading_settle(struct relay *relay); /* moves the confirmed edge over what was acknowledged */
/* Until when something may be sent, as long as no other request is confirmed; 0: nothing may. */
int64_t leading_lease_until_us(const struct relay *relay);
bool leading_holds_lease(const struct relay *relay);
/* The tick that is being read has more, and there is room for it. */
bool leading_reads_on(const struct relay *relay);
/* The answer has brought a page with so many bytes. */
void leading_took_page(struct relay *relay, enum pace_kind kind, int64_t bytes);
/* The connection is lost, with what was asked. */
void leading_lost_page(struct relay *relay);
int64_t leading_retention_us(const struct relay *relay); /* between two looks at the ring */
void leading_drop(struct relay *relay);                  /* forgets ticks and pages; nothing may be out */

/* A quarter of `memory` at most, and what is read in a small part of the lease. */
int64_t leading_page_limit(const struct relay *relay);
bool leading_has_room(const struct relay *relay); /* for another page */

/* answers.c */
void answers_read(struct relay *relay); /* ROWS .. RETENTION */
/* Of a statement that appends a row of the journal (CONFIRM, ASIDE, SETTLE): *written: it is there to stay, and so is what came with it. */
bool answers_appended(struct relay *relay, bool *written, struct error *error) MUST_CHECK;

/* loading.c */
void loading_begin(struct relay *relay); /* what was passed over before is to be read */
bool loading_is_done(const struct relay *relay);
bool loading_applies(const struct relay *relay); /* the position has something that is to come first */
void loading_ask(struct relay *relay);           /* APPLY .. WAITING, one after the other */
bool loading_answer_apply(struct relay *relay, struct error *error) MUST_CHECK;
bool loading_answer_holds(struct relay *relay, struct error *error) MUST_CHECK;
bool loading_answer_ahead(struct relay *relay, struct error *error) MUST_CHECK;
/* For the metrics: how much is put aside is to be counted; it was. */
bool loading_wants_count(const struct relay *relay);
void loading_counted(struct relay *relay, int64_t dead, int64_t held);

/* aside.c */
void aside_free(struct relay *relay);
/* The event is not to be sent: it is marked, and true. */
bool aside_takes(struct relay *relay, struct event *event);
/* Refused for its own sake. False: there are too many that hold their keys. */
bool aside_bury(struct relay *relay, struct event *event, const struct outcome *why);
bool aside_is_full(const struct relay *relay); /* nothing more until it is written down */
bool aside_writes(struct relay *relay);        /* there is something to write down */
void aside_ask_write(struct relay *relay);
bool aside_answer_write(struct relay *relay, struct error *error) MUST_CHECK;
void aside_lost(struct relay *relay); /* the connection, perhaps amid a request */

/* pauses.c */
/* `sent`: by an event that was sent, and the instance of the producer is lost. */
void pauses_refused(struct relay *relay, struct topic *topic, const struct outcome *why, bool sent);
/* Brokers say that it still takes nothing. True: the database is to hear of it. */
bool pauses_looked_in_vain(struct relay *relay, struct pause *pause, const struct outcome *why);
void pauses_set_state(struct relay *relay, struct pause *pause, enum pause_state state);
struct pause *pauses_numbered(const struct relay *relay, int64_t number); /* NULL: there is none */
/* Somebody had paused it, and has resumed it: Kafka has refused nothing of it, and it catches up as soon as the relay publishes. */
bool pauses_is_resumed(const struct pause *pause);
const struct pause *pauses_first_trouble(const struct relay *relay); /* NULL: nothing that Kafka refuses */
bool pauses_want_numbers(const struct relay *relay); /* the database knows more of some than we do */
void pauses_take(struct relay *relay, const struct waiting *waiting);
void pauses_end(struct pause *pause);                         /* the stream takes its events again .. */
void pauses_forget(struct relay *relay, struct pause *pause); /* .. and the database knows */
void pauses_clear(struct relay *relay);

/* passing.c */
/* The stream comes to an event of a paused topic: the state in which it is passed over. */
enum event_state passing_meet(struct pause *pause, const struct event *event);
bool passing_writes(struct relay *relay);         /* some pauses are to be written down, and can be */
struct json_t *passing_list(struct relay *relay); /* .. for outbox.put_aside */
void passing_written(struct relay *relay, bool written);
/* Of this topic, or (NULL) of all that the database has just heard of: what was passed over is settled. */
void passing_settle(struct relay *relay, const struct pause *one);

/* attempts.c */
void attempts_init(struct relay *relay, uint64_t seed);
struct backoff attempts_backoff(const struct relay *relay); /* of one topic */
void
attempts_turn(struct relay *relay); /* wakes those whose time has come, and has brokers asked about them */
int64_t attempts_deadline(const struct relay *relay);
/* The next one of this queue that has a question; NULL: none has now. */
struct pause *attempts_next(const struct relay *relay, enum pause_place place);
void attempts_leave(struct relay *relay, struct pause *pause);    /* its queue */
void attempts_give_way(struct relay *relay, struct pause *pause); /* it does not end after all, or has */
void attempts_rest(struct relay *relay, struct pause *pause);     /* until its retry_at_us */
void attempts_go_on(struct relay *relay, struct pause *pause);    /* it has its next turn */
void attempts_failed(struct relay *relay, struct pause *pause, bool sent);
void attempts_proved(struct relay *relay, struct pause *pause); /* a page was taken */
void attempts_asked(struct relay *relay, struct pause *pause);  /* somebody wants it to be tried now */

/* rounds.c */
bool rounds_wants(const struct relay *relay, const struct pause *pause); /* one that stands in a queue */
struct pause *rounds_out(const struct relay *relay,
                         int64_t number); /* a page of it is in the pipeline; NULL: none is */
void rounds_ask(struct relay *relay, struct pause *pause);
/* Tells the database how far it is; `why`: it was refused. */
void rounds_ask_settle(struct relay *relay, const struct pause *pause, int64_t progress,
                       const struct outcome *why);
/* Exactly once: the one whose turn it is to end has handed its page over, and the others wait for it. */
bool rounds_await_commit(const struct relay *relay);
bool rounds_answer(struct relay *relay, struct error *error) MUST_CHECK;
bool rounds_answer_late(struct relay *relay, struct error *error) MUST_CHECK;
bool rounds_answer_page(struct relay *relay, struct error *error) MUST_CHECK;
void rounds_settled(struct relay *relay, struct pause *pause, int64_t progress, int64_t number,
                    int64_t new_to);

/* look.c */
void look_ask(struct relay *relay);
bool look_answer(struct relay *relay, struct error *error) MUST_CHECK;
/* It waits for a topic that another one waits for: it may be forgotten, and begins anew when that has its way. */
bool look_spares(const struct relay *relay, const struct side *side);
/* It has ended with this outcome: the next one may begin. */
void look_forget(struct relay *relay, struct side *side, const char *outcome);

/* backlog.c */
bool backlog_asks(struct relay *relay); /* every few seconds while the relay is paused; true: it was asked */
bool backlog_answer(struct relay *relay, struct error *error) MUST_CHECK;

/* requests.c */
bool requests_of_letter(enum request_kind kind);
bool requests_wants(const struct relay *relay, const struct side *side);
void requests_ask(struct relay *relay, struct side *side);
bool requests_answer_first(struct relay *relay, struct error *error) MUST_CHECK;
bool requests_answer(struct relay *relay, struct error *error) MUST_CHECK;

/* side.c */
bool side_ask(struct relay *relay); /* a page of some work; true: something was asked */
struct side *side_find(const struct relay *relay, int64_t number); /* NULL: it is no request, or ended */
/* The stream has live events: what is beside it takes small steps. */
bool side_is_live(const struct relay *relay);
bool side_is_closing(const struct relay *relay); /* no tick may be opened */
/* Somebody wants that none is, until nothing comes any more of what he works at. False: another one has had that since the stream's last step. */
bool side_close(struct relay *relay);
int64_t side_deadline(const struct relay *relay, bool may_ask);
bool side_settles(struct relay *relay); /* there is something to tell the database */
void side_ask_settled(struct relay *relay);
void side_stop(struct relay *relay); /* what is at the head of the pipeline ends as it is */
void side_ask_settle(struct relay *relay, const struct side *side, int64_t progress, int64_t events,
                     const char *outcome);
bool side_answer_settle(struct relay *relay, struct error *error) MUST_CHECK;
/* Of side work: the event stays where it waits. */
bool side_passes(struct relay *relay, const struct event *event);
bool side_waits_for_topic(const struct relay *relay,
                          const struct side *side); /* of a dead letter's request */
/* A page of it is in the pipeline. */
bool side_is_at_work(const struct relay *relay, int64_t number);
void side_push(struct relay *relay, struct page *page, int64_t number);
void side_clear(struct relay *relay);

/* refusals.c */
bool side_refused(struct relay *relay, struct event *event, const struct outcome *why);
/* It goes no further than this event, until its topic takes something; and it goes on. */
void side_block(struct relay *relay, struct side *side, const struct event *event, const struct outcome *why);
void side_unblock(struct relay *relay, struct side *side);
/* The requests that wait for a topic, for the database; the caller's. */
struct json_t *side_waits(const struct relay *relay);

/* telling.c */
void telling_register(struct relay *relay); /* asks REGISTER */
bool telling_is_due(const struct relay *relay);
void telling_ask(struct relay *relay); /* REGISTER_LATER or TROUBLE */
/* The answers. True to go on, also when the registry is locked; false: the request failed. */
bool telling_registered(struct relay *relay, struct error *error) MUST_CHECK;
bool telling_told(struct relay *relay, struct error *error) MUST_CHECK;

/* sending.c */
bool sending_new(struct relay *relay, struct error *error) MUST_CHECK;
int64_t sending_turn(struct relay *relay); /* reports, sends, instances; returns its deadline */
void sending_trouble_text(const struct relay *relay, char *text, size_t size);

/* An event is in Kafka to stay: for the metrics. */
void sending_count(void *relay, const struct event *event);

/* exact.c */
void exact_begin(struct relay *relay, bool kept); /* the lead was taken */
/* The position relies on the newest row of ours, and what came with it. */
void exact_rely(struct relay *relay);
/* People have asked for work: a row of ours is to stand behind that before anything of it is published, so that a copy of the database which lacks
 * the request lacks a row that the position names. It is, until the next such row. */
void exact_anchor(struct relay *relay);
bool exact_anchors(const struct relay *relay);
/* The record names side work that the database knows for sure by now. */
bool exact_tidies(const struct relay *relay);
bool exact_is_on(const struct relay *relay);      /* instances of the producer are transactional */
bool exact_is_settled(const struct relay *relay); /* nothing but events is in the way of sending */
void exact_text(const struct relay *relay, char *text, size_t size); /* what is */
bool exact_lets_read(const struct relay *relay);                     /* it is known where reading begins */
bool exact_lets_send(const struct relay *relay);
const struct record_sides *exact_sides(const struct relay *relay); /* by the position */
bool exact_is_open(const struct relay *relay);                     /* a transaction holds events */
void exact_turn(struct relay *relay);                              /* after the producer's turn */
void exact_sent(struct relay *relay);                              /* an event was handed over */
/* committing.c: commits everything before `serial`, with this position */
void exact_commit(struct relay *relay, const struct record *record, uint64_t serial);
/* `more` may be sent soon. Commits when it is time; returns its deadline. */
int64_t exact_end_transaction(struct relay *relay, bool more);
/* A partition takes nothing, and the end of the transaction is a record there, too. */
void exact_say_who_waits(const struct relay *relay, struct outcome *obstacle);
/* An event was settled without being sent, or a page has none: the position is to move on all the same. */
void exact_passed(struct relay *relay);
/* What is asked of Postgres: which ticks the journal knows (NAMES), and a row that says which of the two is the truth (CONFIRM). */
bool exact_asks_names(const struct relay *relay);
void exact_ask_names(struct relay *relay);
bool exact_answer_names(struct relay *relay, struct error *error) MUST_CHECK;
bool exact_tells(const struct relay *relay);
void exact_told(struct relay *relay);

/* outage.c */
void outage_turn(struct relay *relay);
/* "": Kafka answers, and takes events. */
void outage_text(const struct relay *relay, char *text, size_t size);
/* A transaction cannot be ended for the sake of a partition: it is known which one, and why, and that says more. */
bool outage_is_explained(const struct relay *relay);
struct json_t *
outage_tell(struct relay *relay); /* for the database, the caller's; NULL: nothing (any more) */

#endif
