/* page.c: writes the status page. The most urgent sentence comes first and is the largest; every value from
 * outside is escaped; colour never says anything that a word does not say too. */
#include "http/page.h"

#include "base/error.h"
#include "base/utf8.h"
#include "http/status.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char style[] =
    ":root{color-scheme:light dark;--back:#f6f7f9;--card:#fff;--line:#d8dce3;--text:#1b1f27;--soft:#5b6472;"
    "--good:#17713d;--wait:#3a5f9e;--warn:#8a5a00;--bad:#b3261e}"
    "@media(prefers-color-scheme:dark){:root{--back:#101318;--card:#191d24;--line:#2d333d;--text:#d9dee7;--"
    "soft:#8f99a8;"
    "--good:#5fbf87;--wait:#86a9e6;--warn:#e0b050;--bad:#f0867e}}"
    "*{box-sizing:border-box}"
    "body{margin:0;background:var(--back);color:var(--text);font:16px/1.5 system-ui,sans-serif}"
    "main{max-width:60rem;margin:0 auto;padding:1.5rem 1rem 3rem}"
    "h1{font-size:1.9rem;line-height:1.2;margin:.2rem 0}h2{font-size:1rem;margin:2rem 0 .5rem}"
    "p{margin:.3rem 0}.soft{color:var(--soft)}code{font:.95em ui-monospace,monospace}"
    ".state{background:var(--card);border:1px solid var(--line);border-left:.5rem solid "
    "var(--mood);padding:1rem 1.2rem;"
    "border-radius:.4rem}.state h1{color:var(--mood)}.why{overflow-wrap:anywhere}"
    ".good{--mood:var(--good)}.wait{--mood:var(--wait)}.warn{--mood:var(--warn)}.bad{--mood:var(--bad)}"
    ".tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(13rem,1fr));gap:.8rem;margin-top:.8rem}"
    ".tile{background:var(--card);border:1px solid var(--line);border-radius:.4rem;padding:.7rem 1rem}"
    ".tile b{display:block;font-size:1.6rem;line-height:1.3;font-variant-numeric:tabular-nums}"
    "progress{width:100%;height:.4rem;accent-color:var(--wait)}"
    "table{width:100%;border-collapse:collapse;background:var(--card);border:1px solid var(--line)}"
    "th,td{text-align:left;padding:.3rem .8rem;border-top:1px solid "
    "var(--line);overflow-wrap:anywhere;vertical-align:top}"
    "th{font-weight:500;color:var(--soft)}td.n,th.n{text-align:right;font-variant-numeric:tabular-nums;white-"
    "space:nowrap}"
    "a{color:var(--wait)}footer{margin-top:1.5rem;color:var(--soft)}";

/* ---- values for people
 * ---------------------------------------------------------------------------------------- */

static void
write_text(FILE *out, const char *text)
{
    char *clean = utf8_clean(text);
    for (const char *at = clean; *at != '\0'; at++) {
        switch (*at) {
        case '&':
            fputs("&amp;", out);
            break;
        case '<':
            fputs("&lt;", out);
            break;
        case '>':
            fputs("&gt;", out);
            break;
        case '"':
            fputs("&quot;", out);
            break;
        case '\'':
            fputs("&#39;", out);
            break;
        default:
            fputc((unsigned char)*at < 0x20 ? ' ' : *at, out);
        }
    }
    free(clean);
}

/* 1234567 as 1,234,567 */
static void
write_count(FILE *out, uint64_t count)
{
    char digits[24];
    size_t size = (size_t)snprintf(digits, sizeof digits, "%llu", (unsigned long long)count);
    for (size_t i = 0; i < size; i++) {
        if (i > 0 && (size - i) % 3 == 0)
            fputc(',', out);
        fputc(digits[i], out);
    }
}

static void
write_signed(FILE *out, int64_t count)
{
    write_count(out, count > 0 ? (uint64_t)count : 0);
}

static void
write_bytes(FILE *out, double bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    size_t unit = 0;
    for (; bytes >= 1024 && unit < sizeof units / sizeof *units - 1; unit++)
        bytes /= 1024;
    fprintf(out, unit == 0 || bytes >= 100 ? "%.0f %s" : "%.1f %s", bytes, units[unit]);
}

static void
write_duration(FILE *out, double seconds)
{
    long long whole = (long long)seconds;
    if (seconds < 0.001)
        fputs("0 s", out);
    else if (seconds < 1)
        fprintf(out, "%.0f ms", seconds * 1000);
    else if (seconds < 60)
        fprintf(out, "%.1f s", seconds);
    else if (whole < 3600)
        fprintf(out, "%lld min %lld s", whole / 60, whole % 60);
    else if (whole < 86400)
        fprintf(out, "%lld h %lld min", whole / 3600, whole / 60 % 60);
    else
        fprintf(out, "%lld d %lld h", whole / 86400, whole / 3600 % 24);
}

static void
write_moment(FILE *out, int64_t wall_us)
{
    struct tm utc;
    char text[40];
    time_t seconds = (time_t)(wall_us / 1000000);
    gmtime_r(&seconds, &utc);
    strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S UTC", &utc);
    fputs(text, out);
}

/* ---- the verdict
 * ---------------------------------------------------------------------------------------------- */

struct verdict {
    const char *mood; /* good, wait, warn, bad: a class of the style sheet */
    const char *title;
    const char *why;
};

/* Events are published: all, or all but some. */
static struct verdict
judge_leader(const struct snapshot *snapshot)
{
    bool dead = snapshot->dead_letters > 0, paused = snapshot->paused_topics > 0;
    if (dead && paused)
        return (struct verdict){"warn", "Leading",
                                "Events are published, but for dead letters, what waits behind them, and "
                                "those of paused topics."};
    if (dead)
        return (struct verdict){"warn", "Leading",
                                "Events are published, but for dead letters and what waits behind them."};
    if (paused)
        return (struct verdict){"warn", "Leading", "Events are published, but for those of paused topics."};
    return (struct verdict){"good", "Leading", "Events are published. Nothing is stuck."};
}

static struct verdict
judge(const struct snapshot *snapshot, int64_t now_us)
{
    if (snapshot->state[0] == '\0')
        return (struct verdict){"wait", "Starting", "Nothing is known yet."};
    if (!status_is_live(snapshot, now_us))
        return (struct verdict){"bad", "Hanging",
                                "The relay's loop does not turn. What follows is the last that it said. "
                                "A restart is safe at any time: nothing is lost."};
    if (snapshot->trouble[0] != '\0')
        return (struct verdict){snapshot->ready ? "warn" : "bad", "Stuck", snapshot->trouble};
    if (!snapshot->ready)
        return (struct verdict){"bad", "Not ready", snapshot->reason};
    if (snapshot->paused)
        return (struct verdict){
            "warn", "Paused by hand",
            "Nothing is published until `outboxd resume`. Events go on being committed, and wait."};
    if (snapshot->leader)
        return judge_leader(snapshot);
    if (strcmp(snapshot->state, "standby") == 0)
        return (struct verdict){
            "wait", "Standing by",
            "Another process leads this relay. This one takes over when that one falls silent."};
    return (struct verdict){"wait", snapshot->state, snapshot->reason};
}

static void
write_verdict(FILE *out, const struct snapshot *snapshot, int64_t now_us)
{
    struct verdict verdict = judge(snapshot, now_us);
    fprintf(out, "<section class=\"state %s\"><p class=\"soft\">relay <b>", verdict.mood);
    write_text(out, snapshot->relay);
    fputs("</b> of source <b>", out);
    write_text(out, snapshot->source);
    fputs("</b> &middot; state <b>", out);
    write_text(out, snapshot->state[0] != '\0' ? snapshot->state : "start");
    fputs("</b></p><h1>", out);
    write_text(out, verdict.title);
    fputs("</h1><p class=\"why\">", out);
    write_text(out, verdict.why);
    fputs("</p>", out);
    if (snapshot->reason[0] != '\0' && strstr(snapshot->reason, verdict.why) == NULL) {
        fputs("<p class=\"why\">", out);
        write_text(out, snapshot->reason);
        fputs("</p>", out);
    }
    fputs("</section>", out);
}

/* ---- figures
 * -------------------------------------------------------------------------------------------------- */

static void
write_tiles(FILE *out, const struct snapshot *snapshot)
{
    fputs("<section class=\"tiles\"><div class=\"tile\">Lag<b>", out);
    write_duration(out, snapshot->lag_seconds);
    fputs("</b><span class=\"soft\">", out);
    write_signed(out, snapshot->lag_events);
    fputs(" events not confirmed</span></div><div class=\"tile\">In flight<b>", out);
    write_signed(out, snapshot->in_flight_events);
    fputs("</b><span class=\"soft\">events, ", out);
    write_bytes(out, (double)snapshot->in_flight_bytes);
    fputs(" of ", out);
    write_bytes(out, (double)snapshot->memory_bytes);
    fprintf(out, "</span><progress max=\"%lld\" value=\"%lld\"></progress></div></section>",
            (long long)(snapshot->memory_bytes > 0 ? snapshot->memory_bytes : 1),
            (long long)snapshot->in_flight_bytes);
}

/* What waits for a person or for better times; nothing when nothing does. */
static void
write_waiting(FILE *out, const struct snapshot *snapshot)
{
    if (snapshot->dead_letters == 0 && snapshot->paused_topics == 0)
        return;
    fputs("<section class=\"tiles\">", out);
    if (snapshot->dead_letters > 0) {
        fputs("<div class=\"tile\">Dead letters<b>", out);
        write_signed(out, snapshot->dead_letters);
        fputs("</b><span class=\"soft\">", out);
        write_signed(out, snapshot->held_events);
        fputs(" events held behind them: <code>outboxd dead</code></span></div>", out);
    }
    if (snapshot->paused_topics > 0) {
        fputs("<div class=\"tile why\">Paused topics<b>", out);
        write_signed(out, snapshot->paused_topics);
        fputs("</b><span class=\"soft\">", out);
        if (snapshot->paused_topic[0] != '\0') {
            fputs("first <code>", out);
            write_text(out, snapshot->paused_topic);
            fputs("</code>, for ", out);
            write_duration(out, snapshot->paused_topic_seconds);
            fputs(": ", out);
            write_text(out, snapshot->paused_why);
            fputs(". All: ", out);
        }
        fputs("<code>outboxd status</code></span></div>", out);
    }
    fputs("</section>", out);
}

static void
write_topics(FILE *out, const struct snapshot *snapshot)
{
    if (snapshot->topic_count == 0)
        return;
    fputs("<h2>Topics since the start</h2><table><tr><th>Topic<th class=\"n\">Published<th class=\"n\">Bytes"
          "<th class=\"n\">Passed over</tr>",
          out);
    for (size_t i = 0; i < snapshot->topic_count && i < HTTP_PAGE_TOPICS_MAX; i++) {
        const struct snapshot_topic *topic = &snapshot->topics[i];
        fputs("<tr><td>", out);
        write_text(out, topic->name);
        fputs("<td class=\"n\">", out);
        write_count(out, topic->published);
        fputs("<td class=\"n\">", out);
        write_bytes(out, (double)topic->published_bytes);
        fputs("<td class=\"n\">", out);
        write_count(out, topic->passed_over);
        fputs("</tr>", out);
    }
    fputs("</table>", out);
    if (snapshot->topic_count > HTTP_PAGE_TOPICS_MAX)
        fprintf(out, "<p class=\"soft\">and %zu more: <a href=\"/status.json\">/status.json</a></p>",
                snapshot->topic_count - HTTP_PAGE_TOPICS_MAX);
}

static void
write_errors(FILE *out, const struct snapshot *snapshot)
{
    static const char *const names[SNAPSHOT_ERROR_COUNT] = {
        [SNAPSHOT_ERROR_EVENT] = "the event's own",         [SNAPSHOT_ERROR_TOPIC] = "the topic's",
        [SNAPSHOT_ERROR_BROKER] = "broker and network",     [SNAPSHOT_ERROR_POSTGRES] = "Postgres",
        [SNAPSHOT_ERROR_FENCED] = "fenced (led elsewhere)",
    };
    for (size_t i = 0; i < SNAPSHOT_ERROR_COUNT; i++) {
        fprintf(out, "<tr><th>Errors: %s<td>", names[i]);
        write_count(out, snapshot->errors[i]);
        fputs("</tr>", out);
    }
}

static void
write_row_count(FILE *out, const char *name, uint64_t count)
{
    fprintf(out, "<tr><th>%s<td>", name);
    write_count(out, count);
    fputs("</tr>", out);
}

/* Of the others' epoch and ticks a process knows what was, or nothing. */
static bool
leads(const struct snapshot *snapshot)
{
    return strcmp(snapshot->state, "leading") == 0 || strcmp(snapshot->state, "draining") == 0;
}

static void
write_details(FILE *out, const struct snapshot *snapshot)
{
    fputs("<h2>Details</h2><table><tr><th>Started<td>", out);
    write_moment(out, snapshot->started_at_us);
    fputs("</tr><tr><th>Holder<td><code>", out);
    write_text(out, snapshot->holder);
    fputs("</code></tr>", out);
    if (leads(snapshot))
        fprintf(out, "<tr><th>Epoch<td>%lld</tr><tr><th>Tick<td>%lld, confirmed up to %lld</tr>",
                (long long)snapshot->epoch, (long long)snapshot->tick_seq,
                (long long)snapshot->confirmed_seq);
    write_row_count(out, "Takeovers", snapshot->takeovers);
    write_row_count(out, "Connections to Postgres", snapshot->postgres_connects);
    write_row_count(out, "Kafka producers", snapshot->producer_instances);
    fprintf(out, "<tr><th>Brokers connected<td>%d</tr><tr><th>Round trip, 99 %%<td>",
            snapshot->kafka_brokers_up);
    write_duration(out, snapshot->kafka_rtt_p99_seconds);
    fputs("</tr>", out);
    write_errors(out, snapshot);
    write_row_count(out, "Log lines dropped", snapshot->log_dropped);
    fputs("</table>", out);
}

char *
http_page_write(const struct snapshot *snapshot, int64_t now_us, size_t *size)
{
    char *text = NULL;
    FILE *out = open_memstream(&text, size);
    CHECK(out != NULL);
    fprintf(
        out,
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta http-equiv=\"refresh\" "
        "content=\"5\">"
        "<meta name=\"viewport\" content=\"width=device-width\"><link rel=\"icon\" href=\"data:,\"><title>");
    write_text(out, judge(snapshot, now_us).title);
    fputs(" - outboxd ", out);
    write_text(out, snapshot->relay);
    fprintf(out, "</title><style>%s</style></head><body><main>", style);
    write_verdict(out, snapshot, now_us);
    write_tiles(out, snapshot);
    write_waiting(out, snapshot);
    write_topics(out, snapshot);
    write_details(out, snapshot);
    fputs("<footer>outboxd " OUTBOXD_VERSION " &middot; refreshes itself every 5 s &middot; "
          "<a href=\"/metrics\">metrics</a> &middot; <a href=\"/status.json\">status.json</a> &middot; "
          "<a href=\"/health/ready\">health/ready</a></footer></main></body></html>\n",
          out);
    CHECK(fclose(out) == 0);
    return text;
}
