/* options.c: see options.h. */
#include "options.h"

#include "mail.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DAY_S = 24 * 3600 };

void
options_print_help(bool to_stderr)
{
    fputs(
        "usage: welcome --conninfo CONNINFO --brokers HOST:PORT,.. --source NAME --smtp URL --from ADDRESS\n"
        "               [OPTION]...\n"
        "       welcome --resend PATTERN --conninfo CONNINFO --smtp URL --from ADDRESS [OPTION]...\n"
        "Sends a mail to everybody who signed up, until SIGTERM; or, once, those that were given up.\n"
        "One line a mail on stderr.\n"
        "  --conninfo TEXT      libpq keywords or URI; the role needs what `outboxd migrate --consumer`\n"
        "                       grants, and the grants of README.md\n"
        "  --brokers LIST       Kafka's bootstrap servers\n"
        "  --source NAME        of this database's outbox, `source` in outboxd.yaml; events of others are\n"
        "                       passed over\n"
        "  --smtp URL           your mail server: smtp://HOST:PORT or smtps://..; its login is in ~/.netrc\n"
        "  --from ADDRESS       the sender\n"
        "  --topic NAME         (user.signed_up)\n"
        "  --group NAME         the consumer group (welcome-mailer)\n"
        "  --kafka NAME=VALUE   a property of librdkafka, such as security.protocol=SSL; may be repeated\n"
        "  --timeout SECONDS    that one mail may take, 1 to 120 (30)\n"
        "  --patience SECONDS   a mail that the server refuses for the time being (4xx) is given up after\n"
        "                       that, and stands in mail_refused (3600)\n"
        "  --copies N           a mail that the server takes without saying so is handed over so often in\n"
        "                       all, 1 to 100, and then stands in mail_refused (3)\n"
        "  --remember-days N    events are known as done for so long; longer than the topic's and the\n"
        "                       outbox's retention (30)\n"
        "  --resend PATTERN     sends what was given up for a reason LIKE this: '550%', '%'\n"
        "  --help               this text\n"
        "Exit code: 0 stopped as asked, or all were sent; 1 cannot go on (start it again), or some were not\n"
        "sent; 64 wrong options; 69 Postgres cannot be reached, or a property is refused.\n",
        to_stderr ? stderr : stdout);
}

static bool
parse_number(const char *option, const char *text, long least, long most, int *number)
{
    char *end;
    errno = 0;
    long value = strtol(text, &end, 10);
    if (errno == 0 && end != text && *end == '\0' && value >= least && value <= most) {
        *number = (int)value;
        return true;
    }
    fprintf(stderr, "welcome: --%s takes a number from %ld to %ld, not \"%s\"\n", option, least, most, text);
    return false;
}

static bool
take_property(struct options *options, const char *text)
{
    if (strchr(text, '=') == NULL)
        fprintf(stderr, "welcome: --kafka takes NAME=VALUE, not \"%s\"\n", text);
    else if (options->property_count == PROPERTIES_MAX)
        fprintf(stderr, "welcome: --kafka: %d properties at most\n", PROPERTIES_MAX);
    else {
        options->properties[options->property_count++] = text;
        return true;
    }
    return false;
}

static bool
take(struct options *options, const char *name, int option, const char *value)
{
    switch (option) {
    case 't':
        return parse_number(name, value, 1, TIMEOUT_MOST_S, &options->timeout_s);
    case 'p':
        return parse_number(name, value, 0, 30 * DAY_S, &options->patience_s);
    case 'c':
        return parse_number(name, value, 1, 100, &options->copies);
    case 'r':
        return parse_number(name, value, 1, 3650, &options->remember_days);
    case 'k':
        return take_property(options, value);
    case 'h':
        return options->help = true;
    default:
        return false; /* getopt_long has said why */
    }
}

static bool
is_complete(const struct options *options)
{
    bool consumes = options->resend == NULL;
    const char *needed[][2] = {{"conninfo", options->conninfo},
                               {"brokers", consumes ? options->brokers : "none"},
                               {"source", consumes ? options->source : "none"},
                               {"smtp", options->smtp},
                               {"from", options->from}};
    bool good = true;
    for (size_t i = 0; i < sizeof needed / sizeof *needed; i++) {
        if (needed[i][1] == NULL) {
            fprintf(stderr, "welcome: --%s is missing\n", needed[i][0]);
            good = false;
        }
    }
    if (options->smtp != NULL && strncmp(options->smtp, "smtp://", 7) != 0 &&
        strncmp(options->smtp, "smtps://", 8) != 0) {
        fprintf(stderr, "welcome: --smtp takes smtp://HOST:PORT or smtps://HOST:PORT, not \"%s\"\n",
                options->smtp);
        good = false;
    }
    if (options->from != NULL && !mail_address_is_plain(options->from)) {
        fprintf(stderr, "welcome: --from takes a plain address, not \"%s\"\n", options->from);
        good = false;
    }
    return good;
}

bool
options_read(struct options *options, int argc, char **argv)
{
    static const struct option names[] = {{"conninfo", required_argument, NULL, 1},
                                          {"brokers", required_argument, NULL, 2},
                                          {"smtp", required_argument, NULL, 3},
                                          {"from", required_argument, NULL, 4},
                                          {"topic", required_argument, NULL, 5},
                                          {"group", required_argument, NULL, 6},
                                          {"source", required_argument, NULL, 7},
                                          {"resend", required_argument, NULL, 8},
                                          {"kafka", required_argument, NULL, 'k'},
                                          {"timeout", required_argument, NULL, 't'},
                                          {"patience", required_argument, NULL, 'p'},
                                          {"copies", required_argument, NULL, 'c'},
                                          {"remember-days", required_argument, NULL, 'r'},
                                          {"help", no_argument, NULL, 'h'},
                                          {NULL, 0, NULL, 0}};
    *options = (struct options){.topic = "user.signed_up",
                                .group = "welcome-mailer",
                                .timeout_s = 30,
                                .patience_s = 3600,
                                .copies = 3,
                                .remember_days = 30};
    const char **texts[] = {NULL,
                            &options->conninfo,
                            &options->brokers,
                            &options->smtp,
                            &options->from,
                            &options->topic,
                            &options->group,
                            &options->source,
                            &options->resend};
    bool good = true;
    int option, at = 0;
    while ((option = getopt_long(argc, argv, "", names, &at)) != -1) {
        if (option < (int)(sizeof texts / sizeof *texts))
            *texts[option] = optarg;
        else
            good &= take(options, names[at].name, option, optarg);
    }
    if (optind < argc) {
        fprintf(stderr, "welcome: unexpected argument \"%s\"\n", argv[optind]);
        good = false;
    }
    return options->help || (is_complete(options) && good);
}
