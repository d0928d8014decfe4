/* relay_tls.c: TLS on the way to Kafka (row 81): events go to the broker that its certificate names and to nobody else, and
 * whoever asks is told what is wrong with the certificate. A broker that wants one of ours gets it. */
#include "relay_setup.h"

#include "support/certificates.h"
#include "support/kafka_secure.h"
#include "support/scratch.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

TestSuite(relay_tls, .timeout = 120);

#define HERE "DNS:localhost,IP:127.0.0.1"
#define CHECK_MS 10000 /* less than the 15 s for which `check` waits for a broker that says nothing */

enum { GOOD, EXPIRED, ELSEWHERE, REVOKED, DOORS };

struct scene {
    struct authority *ours, *theirs;
    char *certificates[DOORS];
    struct broker_door doors[DOORS];
    char *revoked; /* the list of them */
    struct setup setup;
    const char *topic;
};

static struct scene
begin(void)
{
    struct scene scene = {.ours = authority_new(), .theirs = authority_new()};
    static const char *const names[] = {"GOOD", "EXPIRED", "ELSEWHERE", "REVOKED"};
    for (int i = 0; i < DOORS; i++) {
        const char *certified = i == ELSEWHERE ? "DNS:elsewhere" : HERE;
        scene.certificates[i] = authority_issue(scene.ours, certified, i == EXPIRED);
        scene.doors[i] =
            (struct broker_door){.name = names[i], .protocol = "SSL", .certificate = scene.certificates[i]};
    }
    authority_revoke(scene.ours, scene.certificates[REVOKED]);
    scene.revoked = authority_list_revoked(scene.ours);
    scene.setup = setup_begin_on(postgres_shared(), broker_start_secure(scene.doors, DOORS, NULL));
    scene.topic = setup_topic(&scene.setup, "orders", 1, NULL);
    return scene;
}

static void
end(struct scene *scene)
{
    for (int i = 0; i < DOORS; i++)
        free(scene->certificates[i]);
    free(scene->revoked);
    authority_free(scene->theirs);
    authority_free(scene->ours);
    setup_end(&scene->setup);
}

/* A way to Kafka on which nothing may go, and what is said of it. Each has a database, a relay and a `check` of its own, all
 * at once, for a `check` takes its time. */
struct way {
    const char *protocol;   /* security.protocol */
    int port;               /* of the listener */
    const char *authority;  /* who is trusted */
    const char *revoked;    /* their list of revoked certificates, or NULL */
    const char *why, *cure; /* cure NULL: no `check`, which would wait its 15 s for a broker that answers */
};

struct traveller {
    const char *database;
    struct daemon *relay;
    pid_t check;
    char *output;
};

static pid_t
start_check(const struct daemon *relay, const char *output)
{
    const char *program = getenv("OUTBOXD_BIN") ? getenv("OUTBOXD_BIN") : "build/outboxd";
    const char *argv[] = {program, "check", "--config", daemon_config_path(relay), NULL};
    return process_start(
        &(struct process_options){.argv = argv, .output_path = output, .death_signal = SIGKILL});
}

static struct daemon *
start_relay(struct setup *setup, const char *database, const struct way *way)
{
    char *servers = must_format("kafka/bootstrap.servers=\"127.0.0.1:%d\"", way->port);
    char *protocol = must_format("kafka/security.protocol=%s", way->protocol);
    char *trusted = must_format("kafka/ssl.ca.location=%s", way->authority);
    char *revoked = way->revoked ? must_format("kafka/ssl.crl.location=%s", way->revoked) : NULL;
    struct daemon *relay = daemon_start(&(struct daemon_options){
        .conninfo = postgres_conninfo(setup->postgres, database, POSTGRES_RELAY),
        .bootstrap = "",
        .overrides = (const char *const[]){servers, protocol, trusted, revoked, NULL}});
    free(revoked), free(trusted), free(protocol), free(servers);
    return relay;
}

static struct traveller
set_out(struct scene *scene, const struct way *way)
{
    struct setup *setup = &scene->setup;
    struct traveller traveller = {.database = postgres_create_outbox(setup->postgres)};
    PGconn *app = postgres_open(setup->postgres, traveller.database, POSTGRES_WRITER);
    postgres_exec(app, "select outbox.emit('%s', 'k', '1')", scene->topic);
    PQfinish(app);
    traveller.relay = start_relay(setup, traveller.database, way);
    if (way->cure == NULL)
        return traveller;
    char *directory = scratch_directory("check");
    traveller.output = must_format("%s/output", directory);
    traveller.check = start_check(traveller.relay, traveller.output);
    free(directory);
    return traveller;
}

static void
expect_refused(struct traveller *traveller, const struct way *way)
{
    wait_for(daemon_readiness_is(traveller->relay, 503, way->why), 20000);
    if (way->cure == NULL)
        return;
    int exit_code = process_wait(traveller->check, CHECK_MS);
    char *report = scratch_read_file(traveller->output);
    cr_expect_eq(exit_code, 69);
    cr_expect(strstr(report, way->why) != NULL && strstr(report, way->cure) != NULL, "\"%s\", \"%s\": %s",
              way->why, way->cure, report);
    free(report);
}

/* A server that speaks nothing newer than TLS 1.1. */
static pid_t
start_old_server(const char *certificate, int port)
{
    char *address = must_format("127.0.0.1:%d", port), *key = must_format("%s.key", certificate),
         *own = must_format("%s.crt", certificate);
    const char *argv[] = {"openssl", "s_server", "-accept", address,           "-key",   key, "-cert",
                          own,       "-tls1_1",  "-cipher", "ALL:@SECLEVEL=0", "-quiet", NULL};
    char *log = must_format("%s.log", certificate);
    pid_t pid =
        process_start(&(struct process_options){.argv = argv, .output_path = log, .death_signal = SIGKILL});
    free(log), free(own), free(key), free(address);
    return pid;
}

/* The broker gets a certificate that is valid; the relay, which has been waiting, goes on. */
static void
renew(struct scene *scene, struct traveller *traveller)
{
    char *good = must_format("%s.pem", scene->certificates[GOOD]);
    char *bad = must_format("%s.pem", scene->certificates[EXPIRED]);
    char *text = scratch_read_file(good);
    broker_stop(scene->setup.broker);
    scratch_write_file(bad, text);
    broker_up(scene->setup.broker);
    daemon_wait_ready(traveller->relay);
    wait_for(setup_count(&scene->setup) == 1, 10000);
    free(text), free(bad), free(good);
}

Test(relay_tls, nothing_goes_to_a_broker_whose_certificate_is_wrong_and_everybody_is_told_why__P5__row_81)
{
    struct scene scene = begin();
    const char *ours = authority_certificate(scene.ours), *theirs = authority_certificate(scene.theirs);
    int plain = atoi(strchr(broker_bootstrap(scene.setup.broker), ':') + 1), old = scratch_port();
    const struct way ways[] = {
        {"ssl", scene.doors[EXPIRED].port, ours, scene.revoked, "certificate has expired",
         "renew the broker's"},
        {"ssl", scene.doors[ELSEWHERE].port, ours, scene.revoked, "certificate is for other names",
         "advertised.listeners"},
        {"ssl", scene.doors[REVOKED].port, ours, scene.revoked, "certificate is revoked",
         "a new certificate"},
        {"ssl", scene.doors[GOOD].port, theirs, NULL, "certificate is of an unknown authority",
         "kafka.ssl.ca.location"},
        {"ssl", plain, ours, NULL, "a listener without TLS?", "kafka.security.protocol"},
        {"ssl", old, ours, NULL, ":SSL routines:", NULL},
        {"plaintext", scene.doors[GOOD].port, ours, NULL, "connecting to a SSL listener?", NULL},
    };
    enum { WAYS = sizeof ways / sizeof *ways };
    struct traveller travellers[WAYS];
    pid_t old_server = start_old_server(scene.certificates[GOOD], old);
    for (size_t i = 0; i < WAYS; i++)
        travellers[i] = set_out(&scene, &ways[i]);
    for (size_t i = 0; i < WAYS; i++)
        expect_refused(&travellers[i], &ways[i]);
    cr_expect_eq(setup_count(&scene.setup), 0);
    renew(&scene, &travellers[0]);
    for (size_t i = 0; i < WAYS; i++) {
        daemon_free(travellers[i].relay);
        free(travellers[i].output);
    }
    kill(old_server, SIGKILL);
    process_wait(old_server, 5000);
    end(&scene);
}

/* The door lets in who has a certificate: each client of the relay shows it, the one that reads the position too. */
Test(relay_tls,
     exactly_once_a_relay_with_a_certificate_of_its_own_repeats_nothing_behind_kill_9__P1_P3__row_44)
{
    struct authority *ours = authority_new();
    char *server = authority_issue(ours, HERE, false), *client = authority_issue(ours, "DNS:relay", false);
    struct broker_door door = {
        .name = "MUTUAL", .protocol = "SSL", .certificate = server, .clients = authority_certificate(ours)};
    struct setup setup = setup_begin_on(postgres_shared(), broker_start_secure(&door, 1, NULL));
    const char *const *exact = setup_exact(&setup, true), *topic = setup_topic(&setup, "orders", 1, NULL);
    char *servers = must_format("kafka/bootstrap.servers=\"127.0.0.1:%d\"", door.port);
    char *trusted = must_format("kafka/ssl.ca.location=%s", authority_certificate(ours));
    char *certificate = must_format("kafka/ssl.certificate.location=%s.crt", client);
    char *key = must_format("kafka/ssl.key.location=%s.key", client);
    const char *const stranger[] = {exact[0], exact[1], servers, trusted, "kafka/security.protocol=ssl",
                                    NULL};
    setup_start(&setup, stranger);
    wait_for(broker_count_refused(setup.broker) > 0, 20000);
    setup_start(&setup,
                setup_and(setup_and(setup_and(stranger, certificate), key), SETUP_SMALL_TRANSACTIONS));
    setup_expect_all_once_over_kills(&setup, topic);
    free(key), free(certificate), free(trusted), free(servers), free(client), free(server);
    authority_free(ours);
    setup_end(&setup);
}
