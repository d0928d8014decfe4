/* reload.c: reads the configuration again and tells everybody concerned. Called by run on SIGHUP, in the relay's thread;
 * never ends the daemon, whatever the file holds. */
#include "command/reload.h"

#include "base/log.h"
#include "config/renew.h"
#include "kafka/properties.h"

#include <stdlib.h>
#include <string.h>

/* What the checks wrote, `file:line: key: what is wrong`, a line each. */
static void
log_remarks(char *remarks, bool refused)
{
    char *rest = NULL;
    for (char *line = strtok_r(remarks, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest))
        if (refused)
            log_error("SIGHUP: configuration", LOG_STR("why", line), LOG_END);
        else
            log_warning("SIGHUP: configuration", LOG_STR("why", line), LOG_END);
}

/* Everything that the start checks. NULL when the file is refused. */
static struct settings *
load(const char *path)
{
    struct settings *fresh;
    struct error error;
    char *remarks = NULL;
    size_t size;
    FILE *to = open_memstream(&remarks, &size);
    CHECK(to != NULL);
    bool good = settings_load(&fresh, path, to, &error);
    bool good_kafka = fresh->kafka_count == 0 || properties_check(fresh, to, &error);
    CHECK(fclose(to) == 0);
    log_remarks(remarks, !good || !good_kafka);
    free(remarks);
    if (good && good_kafka)
        return fresh;
    settings_free(fresh);
    return NULL;
}

/* Said while the more talkative of both levels is on. */
static void
change_level(enum log_level from, enum log_level to, enum log_format format)
{
    static const char *const names[] = {"error", "warning", "info", "debug"};
    if (to > from)
        log_configure(to, format);
    log_info("SIGHUP: log.level changed", LOG_STR("from", names[from]), LOG_STR("to", names[to]), LOG_END);
    log_configure(to, format);
}

void
reload(struct settings *settings, struct relay *relay)
{
    struct renewal renewal;
    enum log_level before = settings->log_level;
    struct settings *fresh = load(settings->file);
    if (fresh == NULL) {
        log_error("SIGHUP: the configuration is refused, everything stays as it was",
                  LOG_STR("file", settings->file), LOG_END);
        return;
    }
    settings_renew(settings, fresh, &renewal);
    log_info("SIGHUP: configuration read again", LOG_STR("file", settings->file), LOG_END);
    if (renewal.log_level)
        change_level(before, settings->log_level, settings->log_format);
    if (renewal.postgres_password)
        log_info("SIGHUP: postgres.password_file changed: used by the next connection", LOG_END);
    if (renewal.kafka_credentials)
        log_info("SIGHUP: kafka.sasl credentials changed: used by the next connection to each broker",
                 LOG_END);
    if (renewal.kafka_secrets)
        log_info("SIGHUP: secrets of Kafka changed: used by a new producer, once nothing is in flight",
                 LOG_END);
    if (renewal.restart[0] != '\0')
        log_warning("SIGHUP: changed, but needs a restart", LOG_STR("keys", renewal.restart), LOG_END);
    free(renewal.restart);
    if (renewal.postgres_password || renewal.kafka_credentials || renewal.kafka_secrets)
        relay_renew(relay, renewal.kafka_secrets);
}
