/* broker.c: what librdkafka says in words, of which we take a part: the reason of a lost connection (first line), a handshake that
 * failed, a line of its log (facility, text). Texts come from brokers too. What we show is a part of what was said, or our own. */
#include "kafka/brokerlog.h"
#include "kafka/brokers.h"
#include "kafka/handshake.h"

#include "base/error.h"
#include "base/log.h"
#include "fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>
#include <syslog.h>

/* The last byte of a text that was cut may be half a character, but each is a part of the whole. */
static void
check_reason(const char *text)
{
    char broker[64], what[128];
    brokers_split_reason(text, broker, sizeof broker, what, sizeof what);
    CHECK(strstr(text, broker) != NULL && strstr(text, what) != NULL);
    CHECK(strchr(broker, '/') == NULL && strchr(broker, ' ') == NULL);
    char said[128];
    memcpy(said, what, sizeof said);
    const char *cure = handshake_explain(broker, what, sizeof what);
    CHECK(strnlen(what, sizeof what) < sizeof what);
    CHECK(cure != NULL ? cure[0] != '\0' : strcmp(said, what) == 0);
}

static void
check_log(const char *facility, const char *text)
{
    char refusal[200];
    brokerlog_write(NULL, LOG_DEBUG, facility, text);
    if (brokerlog_refusal(refusal, sizeof refusal))
        CHECK(strcmp(facility, "GETPID") == 0 && strstr(text, refusal) != NULL && refusal[0] != '\0');
    CHECK(!brokerlog_refusal(refusal, sizeof refusal) && refusal[0] == '\0'); /* it was taken */
}

int
fuzz_broker(const uint8_t *bytes, size_t size)
{
    char *text = fuzz_text(bytes, size), *at = text;
    const char *reason = fuzz_line(&at), *facility = fuzz_line(&at), *said = fuzz_line(&at);
    log_configure(LOG_LEVEL_ERROR, LOG_FORMAT_TEXT); /* nothing of it is written */
    check_reason(reason);
    if (facility != NULL)
        check_log(facility, said != NULL ? said : "");
    free(text);
    return 0;
}
