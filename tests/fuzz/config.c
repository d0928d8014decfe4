/* config.c: configuration files. The same file gives the same settings and the same complaints; each complaint is one printable line and
 * names a line that exists; what is accepted, written as a file of its own, is accepted again and means the same. */
#include "config/settings.h"

#include "base/error.h"
#include "base/utf8.h"
#include "fuzz/fuzz.h"
#include "http/listen.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* A file in memory, for files on a disk would take most of the time. */
static int memory = -1;
static char path[40];

static void
open_memory(void)
{
    static const char *const VARIABLES[] = {"PGHOST", "PGHOSTADDR", "PGSSLMODE", "PGSERVICE"};
    for (size_t i = 0; i < sizeof VARIABLES / sizeof *VARIABLES; i++)
        unsetenv(VARIABLES[i]);
    memory = memfd_create("config", MFD_CLOEXEC);
    CHECK(memory >= 0);
    snprintf(path, sizeof path, "/proc/self/fd/%d", memory);
}

struct loaded {
    struct settings *settings;
    bool accepted;
    char *printed;
};

static void
load(struct loaded *loaded, const void *bytes, size_t size, mode_t mode)
{
    struct error error = {0};
    size_t printed_size;
    CHECK(ftruncate(memory, 0) == 0 && pwrite(memory, bytes, size, 0) == (ssize_t)size &&
          fchmod(memory, mode) == 0);
    FILE *errors = open_memstream(&loaded->printed, &printed_size);
    CHECK(errors != NULL);
    loaded->accepted = settings_load(&loaded->settings, path, errors, &error);
    CHECK(fclose(errors) == 0 && loaded->settings != NULL);
    CHECK(loaded->accepted || (error.kind == ERROR_CONFIG && printed_size > 0));
}

static void
unload(struct loaded *loaded)
{
    settings_free(loaded->settings);
    free(loaded->printed);
}

/* ---- complaints ---- */

/* Line breaks of YAML: CR LF, CR, LF, and NEL, LS and PS of Unicode; and the line behind the last of them. */
static long
count_lines(const uint8_t *bytes, size_t size)
{
    long lines = 1;
    for (size_t i = 0; i < size; i++)
        lines += bytes[i] == '\n' || bytes[i] == '\r' ||
                 (i > 0 && bytes[i] == 0x85 && bytes[i - 1] == 0xc2) ||
                 (i > 1 && (bytes[i] & 0xfe) == 0xa8 && bytes[i - 1] == 0x80 && bytes[i - 2] == 0xe2);
    return lines;
}

static void
check_complaints(const char *printed, long lines)
{
    size_t prefix = strlen(path);
    for (const char *at = printed; *at != '\0';) {
        size_t size = strcspn(at, "\n");
        char *end;
        CHECK(size > prefix && strncmp(at, path, prefix) == 0 && at[prefix] == ':' && at[size] == '\n');
        long line = strtol(at + prefix + 1, &end, 10); /* none: the file as a whole */
        CHECK(end == at + prefix + 1 || (line >= 1 && line <= lines && *end == ':'));
        for (size_t i = 0; i < size; i++)
            CHECK(at[i] >= 0x20 && at[i] < 0x7f);
        at += size + 1;
    }
}

/* ---- what was accepted, written again ---- */

static bool writable; /* false: a value that came from another file is no text */

static void
write_text(FILE *to, const char *text)
{
    uint32_t code;
    size_t length, size = strlen(text);
    fputc('"', to);
    for (size_t i = 0; i < size; i += length) {
        length = utf8_next(text + i, size - i, &code);
        writable = writable && length > 0;
        length = length > 0 ? length : 1;
        if (code >= 0x20 && code < 0x7f && code != '"' && code != '\\')
            fputc((int)code, to);
        else
            fprintf(to, "\\U%08x", (unsigned)code);
    }
    fputc('"', to);
}

static void
write_item(FILE *to, const char *before, const char *text)
{
    fputs(before, to);
    write_text(to, text);
}

static char *
write_settings(const struct settings *settings, size_t *size)
{
    char *text = NULL;
    FILE *to = open_memstream(&text, size);
    CHECK(to != NULL);
    writable = true;
    write_item(to, "source: ", settings->source);
    write_item(to, "\nrelay: ", settings->relay);
    write_item(to, "\npostgres:\n  conninfo: ", settings->postgres_conninfo);
    fputs("\nkafka:\n", to);
    for (size_t i = 0; i < settings->kafka_count; i++) {
        /* a long key must be told by its mark */
        write_item(to, "  ? ", settings->kafka[i].name);
        write_item(to, "\n  : ", settings->kafka[i].value);
        fputc('\n', to);
    }
    fprintf(to, "delivery: %s\n",
            settings->delivery == DELIVERY_EXACTLY_ONCE ? "exactly-once" : "at-least-once");
    fprintf(to, "transaction: {events: %lld, time: %lldms}\n", (long long)settings->transaction_events,
            (long long)settings->transaction_time_us / 1000);
    fputs("topics: [", to);
    for (size_t i = 0; i < settings->topics_count; i++)
        write_item(to, i > 0 ? ", " : "", settings->topics[i]);
    fprintf(to, "]\npoll: {idle: %lldms, busy: %lldms}\n", (long long)settings->poll_idle_us / 1000,
            (long long)settings->poll_busy_us / 1000);
    fprintf(to, "batch: {events: %lld, bytes: %lldB}\nmemory: %lldB\n", (long long)settings->batch_events,
            (long long)settings->batch_bytes, (long long)settings->memory_bytes);
    fprintf(to, "retention: %lldms\nlease: %lldms\n", (long long)settings->retention_us / 1000,
            (long long)settings->lease_us / 1000);
    if (settings->http_listen != NULL)
        write_item(to, "http: {listen: ", settings->http_listen);
    else
        fputs("http: {listen: null", to);
    static const char *const levels[] = {"error", "warning", "info", "debug"};
    fprintf(to, "}\nlog: {level: %s, format: %s}\n", levels[settings->log_level],
            settings->log_format == LOG_FORMAT_JSON ? "json" : "text");
    CHECK(fclose(to) == 0);
    return text;
}

static bool
same_text(const char *a, const char *b)
{
    return (a == NULL) == (b == NULL) && (a == NULL || strcmp(a, b) == 0);
}

static void
check_same(const struct settings *a, const struct settings *b)
{
    CHECK(same_text(a->source, b->source) && same_text(a->relay, b->relay));
    CHECK(same_text(a->postgres_conninfo, b->postgres_conninfo) && same_text(a->http_listen, b->http_listen));
    CHECK(a->kafka_count == b->kafka_count && a->topics_count == b->topics_count);
    for (size_t i = 0; i < a->kafka_count; i++)
        CHECK(same_text(a->kafka[i].name, b->kafka[i].name) &&
              same_text(a->kafka[i].value, b->kafka[i].value));
    for (size_t i = 0; i < a->topics_count; i++)
        CHECK(same_text(a->topics[i], b->topics[i]));
    CHECK(a->delivery == b->delivery && a->transaction_events == b->transaction_events);
    CHECK(a->transaction_time_us == b->transaction_time_us && a->retention_us == b->retention_us);
    CHECK(a->poll_idle_us == b->poll_idle_us && a->poll_busy_us == b->poll_busy_us);
    CHECK(a->batch_events == b->batch_events && a->batch_bytes == b->batch_bytes &&
          a->memory_bytes == b->memory_bytes);
    CHECK(a->lease_us == b->lease_us && a->log_level == b->log_level && a->log_format == b->log_format);
}

/* The name of a property that ends in _file would be read as another. */
static bool
can_be_written(const struct settings *settings)
{
    for (size_t i = 0; i < settings->kafka_count; i++)
        if (strstr(settings->kafka[i].name, "_file") != NULL || strlen(settings->kafka[i].name) > 500)
            return false;
    return settings->postgres_password == NULL;
}

static void
check_written(const struct settings *settings)
{
    struct loaded again;
    struct listen_address address;
    struct error error;
    size_t size;
    CHECK(settings->http_listen == NULL || listen_parse(settings->http_listen, &address, &error));
    CHECK(settings->poll_busy_us <= settings->poll_idle_us &&
          settings->batch_bytes <= settings->memory_bytes);
    if (!can_be_written(settings))
        return;
    char *text = write_settings(settings, &size);
    if (writable) {
        load(&again, text, size, 0600);
        CHECK(again.accepted);
        check_same(settings, again.settings);
        unload(&again);
    }
    free(text);
}

int
fuzz_config(const uint8_t *bytes, size_t size)
{
    struct loaded first, again;
    if (memory < 0)
        open_memory();
    load(&first, bytes, size, 0600);
    load(&again, bytes, size, 0600);
    CHECK(first.accepted == again.accepted && strcmp(first.printed, again.printed) == 0);
    check_complaints(first.printed, count_lines(bytes, size));
    if (first.accepted) {
        check_same(first.settings, again.settings);
        check_written(first.settings);
    }
    unload(&again);
    load(&again, bytes, size, 0644); /* what everybody may read is judged more strictly */
    CHECK(first.accepted || !again.accepted);
    unload(&again);
    unload(&first);
    return 0;
}
