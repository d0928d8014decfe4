/* settings_table.c: all settings. A new key is one entry here and one field in struct settings; then write
 * the example and the manual page again (tests/unit/config_documents.c says how). */
#include "config/settings_table.h"

#include "config/settings.h"

#include <string.h>

#define MS INT64_C(1000)
#define SECOND (1000 * MS)
#define HOUR (3600 * SECOND)
#define DAY (24 * HOUR)
#define KIB INT64_C(1024)
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)
#define AT(field) offsetof(struct settings, field)

const struct setting SETTINGS[] = {
    {.path = "source",
     .type = SETTING_NAME,
     .required = true,
     .offset = AT(source),
     .shown = "shop",
     .help = "The name of this outbox, in the header `source` of every message. Event ids are unique within "
             "it, so no "
             "two outboxes that write to one Kafka cluster may share it. It is registered with the relay; "
             "another one later is refused."},
    {.path = "relay",
     .type = SETTING_NAME,
     .offset = AT(relay),
     .fallback = "main",
     .help = "The name of this relay. Processes with the same name on one database form one leader and its "
             "standbys."},

    {.path = "postgres",
     .type = SETTING_SECTION,
     .help = "The database with the outbox. Connect directly, not through a pooler; applications may pool."},
    {.path = "postgres.conninfo",
     .type = SETTING_TEXT,
     .required = true,
     .offset = AT(postgres_conninfo),
     .shown = "\"host=db dbname=shop user=outboxd sslmode=verify-full\"",
     .help = "How libpq connects: keywords and values, or a URI. The environment (PGPASSFILE, PGSERVICEFILE) "
             "and the "
             "service file work as in libpq; PGPASSWORD is wiped from the environment. Of several hosts "
             "the primary is used; each has connect_timeout "
             "seconds to "
             "answer, 5 when it is not given (15 when there is one host). An application_name in here is "
             "kept; `outboxd status` does not list the process then. Off this machine, anything weaker "
             "than sslmode=verify-full is "
             "warned "
             "about. A password in here is refused when everybody may read this file."},
    {.path = "postgres.password_file",
     .type = SETTING_SECRET,
     .renewed = true,
     .offset = AT(postgres_password),
     .shown = "/run/credentials/outboxd.service/postgres-password",
     .help = "The absolute path of a file that holds the password and nothing else. It must be a regular "
             "file, not a "
             "symbolic link, belong to root or to the user who runs outboxd, and be closed to others (mode "
             "0400, 0440, 0600 or 0640)."},

    {.path = "kafka",
     .type = SETTING_PROPERTIES,
     .required = true,
     .shown = "bootstrap.servers: \"localhost:9092\"\n"
              "# security.protocol: sasl_ssl\n"
              "# sasl.mechanisms: SCRAM-SHA-512\n"
              "# sasl.username: outboxd\n"
              "# sasl.password_file: /run/credentials/outboxd.service/kafka-password",
     .help = "The properties of librdkafka by their own names, passed through and checked by librdkafka; "
             "bootstrap.servers is required. Properties that would break a promise are refused. Any property "
             "may be "
             "given as <name>_file: the value is then read from that file, under the rules of "
             "postgres.password_file, "
             "and read again on SIGHUP. Off this machine, a security.protocol without TLS is warned about."},

    {.path = "delivery",
     .type = SETTING_CHOICE,
     .offset = AT(delivery),
     .fallback = "at-least-once",
     .choices = {"at-least-once", "exactly-once"}, /* the order of enum delivery */
     .help = "at-least-once: no event is lost; after a crash, a takeover or a lost connection some are sent "
             "again, "
             "with the same header `id`. exactly-once: consumers that read committed see each event once; it "
             "needs "
             "brokers from 3.7 on and the topic outboxd-position-<source>-<relay>, which `outboxd check "
             "--create` "
             "makes."},
    {.path = "topics",
     .type = SETTING_PATTERNS,
     .fallback = "*",
     .help = "Shell patterns: the topics that this relay publishes. Events of other topics are passed over "
             "and counted; they are not published later, not even when their topic is added."},

    {.path = "poll", .type = SETTING_SECTION, .help = "How often Postgres is asked for new events."},
    {.path = "poll.idle",
     .type = SETTING_DURATION,
     .offset = AT(poll_idle_us),
     .fallback = "10ms",
     .least = 1 * MS,
     .most = 10 * SECOND,
     .help = "While nothing comes."},
    {.path = "poll.busy",
     .type = SETTING_DURATION,
     .offset = AT(poll_busy_us),
     .fallback = "1ms",
     .least = 1 * MS,
     .most = 10 * SECOND,
     .help =
         "While events come. From 800 a second on they are asked for less often, at 2,000 every two times "
         "poll.idle, so that the applications keep the processor. Not above poll.idle."},

    {.path = "batch",
     .type = SETTING_SECTION,
     .help = "How much one page, the unit of reading, holds at most."},
    {.path = "batch.events",
     .type = SETTING_COUNT,
     .offset = AT(batch_events),
     .fallback = "10000",
     .least = 1,
     .most = 100000,
     .help = "Events in one page."},
    {.path = "batch.bytes",
     .type = SETTING_SIZE,
     .offset = AT(batch_bytes),
     .fallback = "8MiB",
     .least = 64 * KIB,
     .most = 1 * GIB,
     .help = "Bytes in one page; one event alone is always admitted. Not above memory."},

    {.path = "transaction",
     .type = SETTING_SECTION,
     .help = "With delivery: exactly-once, how much one transaction of Kafka holds at most. With few events "
             "it ends as soon "
             "as they are acknowledged."},
    {.path = "transaction.events",
     .type = SETTING_COUNT,
     .offset = AT(transaction_events),
     .fallback = "50000",
     .least = 1,
     .most = 1000000,
     .help = "Events in one transaction."},
    {.path = "transaction.time",
     .type = SETTING_DURATION,
     .offset = AT(transaction_time_us),
     .fallback = "1s",
     .least = 10 * MS,
     .most = 10 * SECOND,
     .help = "How long a transaction takes events. Consumers see nothing of it before its end."},

    {.path = "memory",
     .type = SETTING_SIZE,
     .offset = AT(memory_bytes),
     .fallback = "64MiB",
     .least = 1 * MIB,
     .most = 64 * GIB,
     .help = "The bound for events in flight: read from Postgres and not yet confirmed."},
    {.path = "retention",
     .type = SETTING_DURATION,
     .offset = AT(retention_us),
     .fallback = "24h",
     .least = 1 * SECOND,
     .most = 365 * DAY,
     .help = "How long confirmed events stay in the outbox. The slots of the installed schema set a bound of "
             "their own, "
             "which `outboxd check` and the start of `outboxd run` compare: 30h with 12 slots of 3h."},

    {.path = "dead_letter",
     .type = SETTING_SECTION,
     .help = "What happens when Kafka refuses an event for its own sake."},
    {.path = "dead_letter.policy",
     .type = SETTING_CHOICE,
     .offset = AT(dead_letter_policy),
     .fallback = "hold-key",
     .choices = {"hold-key", "skip", "stop"}, /* the order of enum dead_letter_policy */
     .help =
         "hold-key: it becomes a dead letter, kept whole in the database, and later events of its topic and "
         "key wait behind it, so that their order stays; everything else flows. skip: later events of its "
         "key "
         "are published without it. stop: publishing stops in front of it and goes on when Kafka takes it. "
         "`outboxd dead` lists, retries and discards dead letters."},
    {.path = "dead_letter.topic",
     .type = SETTING_TOPIC,
     .offset = AT(dead_letter_topic),
     .fallback = "null",
     .help =
         "A topic that gets a copy of each dead letter, with the reason in the headers outbox-dead-topic, "
         "outbox-dead-error and outbox-dead-message. null: none does. `outboxd check` looks at it as at the "
         "topics of events, and with --create makes it when it is missing. The database keeps each dead "
         "letter in any case."},

    {.path = "lease",
     .type = SETTING_DURATION,
     .offset = AT(lease_us),
     .fallback = "3s",
     .least = 1 * SECOND,
     .most = 1 * HOUR,
     .help = "How long a standby waits for a sign of life from the leader before it takes over. The leader "
             "gives one "
             "every quarter of it. Too short costs duplicates, never order or events."},

    {.path = "http",
     .type = SETTING_SECTION,
     .nullable = true,
     .help = "Metrics, health and the status page. `http: null` switches them off."},
    {.path = "http.listen",
     .type = SETTING_LISTEN,
     .offset = AT(http_listen),
     .fallback = "127.0.0.1:9187",
     .help = "A numeric address and a port, such as \"127.0.0.1:9187\", \"[::1]:9187\" or \"0.0.0.0:9187\"; "
             "port 0 takes "
             "a free one and logs it. null switches HTTP off. Whoever reaches it can read it: it asks for no "
             "password."},

    {.path = "log", .type = SETTING_SECTION, .help = "What is written to standard error."},
    {.path = "log.level",
     .type = SETTING_CHOICE,
     .renewed = true,
     .offset = AT(log_level),
     .fallback = "info",
     .choices = {"error", "warning", "info", "debug"}, /* the order of enum log_level */
     .help = "The least important lines that are written. No level shows payloads, keys or secrets."},
    {.path = "log.format",
     .type = SETTING_CHOICE,
     .offset = AT(log_format),
     .fallback = "text",
     .choices = {"text", "json"}, /* the order of enum log_format */
     .help = "Lines for people, or one JSON object a line."},
};

const size_t SETTINGS_COUNT = sizeof SETTINGS / sizeof *SETTINGS;

_Static_assert(LOG_LEVEL_ERROR == 0 && LOG_LEVEL_WARNING == 1 && LOG_LEVEL_INFO == 2 && LOG_LEVEL_DEBUG == 3,
               "the choices of log.level");
_Static_assert(DEAD_LETTER_HOLD_KEY == 0 && DEAD_LETTER_SKIP == 1 && DEAD_LETTER_STOP == 2,
               "the choices of dead_letter.policy");
_Static_assert(DELIVERY_AT_LEAST_ONCE == 0 && DELIVERY_EXACTLY_ONCE == 1, "the choices of delivery");
_Static_assert(LOG_FORMAT_TEXT == 0 && LOG_FORMAT_JSON == 1, "the choices of log.format");

const char *
setting_key(const struct setting *setting)
{
    const char *dot = strchr(setting->path, '.');
    return dot ? dot + 1 : setting->path;
}

bool
setting_is_in(const struct setting *setting, const struct setting *section)
{
    const char *dot = strchr(setting->path, '.');
    if (section == NULL || dot == NULL)
        return section == NULL && dot == NULL;
    size_t size = strlen(section->path);
    return (size_t)(dot - setting->path) == size && memcmp(setting->path, section->path, size) == 0;
}
