/* settings_write.c: writes the table of settings for people: as config.yaml.example and as the list of the manual
 * page. Called by the tests that compare both with the files, or write these again; reads no configuration. */
#include "config/settings.h"
#include "config/settings_table.h"
#include "config/units.h"

#include <string.h>

#define EXAMPLE_WIDTH 98
#define MANUAL_WIDTH 78

/* `text` begins with a `literal`, and punctuation may follow it: as a line of mdoc. Returns what comes then. */
static const char *
write_literal(FILE *to, const char *text)
{
    size_t size = strcspn(text + 1, "`");
    const char *behind = text + 1 + size + 1;
    size_t punctuation = strcspn(behind, " ");
    fprintf(to, ".Ql %.*s%s%.*s\n", (int)size, text + 1, punctuation > 0 ? " " : "", (int)punctuation,
            behind);
    return behind + punctuation;
}

/* Writes words in lines of at most `width` columns, each behind `margin`. In `mdoc` a new sentence takes a new line, and so
 * does a literal. */
static void
write_wrapped(FILE *to, const char *text, const char *margin, size_t width, bool mdoc)
{
    size_t column = 0;
    for (const char *word = text; *word != '\0'; word += *word == ' ') {
        size_t size = strcspn(word, " ");
        bool literal = mdoc && *word == '`';
        bool starts = column == 0 || column + 1 + size > width || literal || (mdoc && word[-2] == '.');
        if (starts && column > 0)
            fputc('\n', to);
        if (literal) {
            word = write_literal(to, word);
            column = 0;
            continue;
        }
        column = (starts ? strlen(margin) : column + 1) + size;
        fprintf(to, "%s%.*s", starts ? margin : " ", (int)size, word);
        word += size;
    }
    if (column > 0)
        fputc('\n', to);
}

/* What may be given, as the end of the explanation: "Duration, 1ms to 10s." Nothing where the text says it
 * all. */
static void
describe_values(const struct setting *setting, char *to, size_t size)
{
    char least[UNITS_TEXT], most[UNITS_TEXT];
    size_t used = 0;
    to[0] = '\0';
    switch (setting->type) {
    case SETTING_DURATION:
        snprintf(to, size, " Duration, %s to %s.", units_format_duration(setting->least, least),
                 units_format_duration(setting->most, most));
        return;
    case SETTING_SIZE:
        snprintf(to, size, " Size, %s to %s.", units_format_size(setting->least, least),
                 units_format_size(setting->most, most));
        return;
    case SETTING_COUNT:
        snprintf(to, size, " Number, %lld to %lld.", (long long)setting->least, (long long)setting->most);
        return;
    case SETTING_NAME:
        snprintf(to, size, " 1 to 100 letters, digits, dots, underscores and hyphens.");
        return;
    case SETTING_CHOICE:
        used = (size_t)snprintf(to, size, " One of:");
        for (size_t i = 0; setting->choices[i] != NULL; i++)
            used += (size_t)snprintf(to + used, size - used, "%s %s", i ? "," : "", setting->choices[i]);
        snprintf(to + used, size - used, ".");
        return;
    default:
        return;
    }
}

static void
explain(const struct setting *setting, char *to, size_t size)
{
    char values[200];
    describe_values(setting, values, sizeof values);
    snprintf(to, size, "%s%s%s%s", setting->help, values, setting->required ? " Required." : "",
             setting->renewed ? " Read again on SIGHUP." : "");
}

/* ---- config.yaml.example ---- */

static bool
is_nested(const struct setting *setting)
{
    return setting_key(setting) != setting->path;
}

static void
write_example_value(FILE *to, const struct setting *setting, const char *indent)
{
    const char *key = setting_key(setting);
    if (setting->type == SETTING_SECTION) {
        fprintf(to, "%s:\n", key);
    } else if (setting->type == SETTING_PROPERTIES) {
        fprintf(to, "%s:\n", key);
        for (const char *line = setting->shown; *line != '\0';) {
            size_t size = strcspn(line, "\n");
            fprintf(to, "  %.*s\n", (int)size, line);
            line += size;
            line += *line == '\n';
        }
    } else if (setting->type == SETTING_PATTERNS) {
        fprintf(to, "%s%s: [\"%s\"]\n", indent, key, setting->fallback);
    } else if (setting->type == SETTING_LISTEN) {
        fprintf(to, "%s%s: \"%s\"\n", indent, key, setting->fallback);
    } else if (setting->fallback != NULL) {
        fprintf(to, "%s%s: %s\n", indent, key, setting->fallback);
    } else {
        fprintf(to, "%s%s%s: %s\n", indent, setting->required ? "" : "# ", key, setting->shown);
    }
}

void
settings_write_example(FILE *to)
{
    char text[1200];
    fputs("# Configuration of outboxd: every key at its default; required keys and those without a default\n"
          "# show an example. Durations: ms s m h d. Sizes: B KiB MiB GiB. See outboxd.yaml(5).\n"
          "# `outboxd check` tells everything that is wrong in one run. Made from the table of settings.\n",
          to);
    for (size_t i = 0; i < SETTINGS_COUNT; i++) {
        const struct setting *setting = &SETTINGS[i];
        const char *indent = is_nested(setting) ? "  " : "";
        if (!is_nested(setting))
            fputc('\n', to);
        explain(setting, text, sizeof text);
        write_wrapped(to, text, is_nested(setting) ? "  # " : "# ", EXAMPLE_WIDTH, false);
        write_example_value(to, setting, indent);
    }
}

/* ---- the list of outboxd.yaml(5) ---- */

void
settings_write_manual(FILE *to)
{
    char text[1200];
    for (size_t i = 0; i < SETTINGS_COUNT; i++) {
        const struct setting *setting = &SETTINGS[i];
        fprintf(to, ".It Ic %s\n", setting->path);
        explain(setting, text, sizeof text);
        write_wrapped(to, text, "", MANUAL_WIDTH, true);
        if (setting->type == SETTING_PATTERNS)
            fprintf(to, "Default:\n.Ql [\"%s\"] .\n", setting->fallback);
        else if (setting->fallback != NULL)
            fprintf(to, "Default:\n.Ql %s .\n", setting->fallback);
    }
}
