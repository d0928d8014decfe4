/* relay_scram.c: see relay_scram.h. */
#include "relay_scram.h"

#include "support/certificates.h"
#include "support/scratch.h"

#include <stdlib.h>
#include <sys/stat.h>

struct scram
scram_begin(struct postgres *postgres, const char *version)
{
    struct scram scram = {.authority = authority_new()};
    char *directory = scratch_directory("secret");
    scram.password_file = must_format("%s/kafka", directory);
    scram.certificate = authority_issue(scram.authority, "IP:127.0.0.1", false);
    scram.door =
        (struct broker_door){.name = "SECURE", .protocol = "SASL_SSL", .certificate = scram.certificate};
    scram.setup = setup_begin_on(postgres, broker_start_secure(&scram.door, 1, version));
    scram.topic = setup_topic(&scram.setup, "orders", 1, NULL);
    free(directory);
    return scram;
}

void
scram_write_secret(const char *path, const char *secret)
{
    scratch_write_file(path, secret);
    cr_assert_eq(chmod(path, 0600), 0);
}

void
scram_start(struct scram *scram, const char *const more[3])
{
    char *servers = must_format("kafka/bootstrap.servers=\"127.0.0.1:%d\"", scram->door.port);
    char *trusted = must_format("kafka/ssl.ca.location=%s", authority_certificate(scram->authority));
    char *password = must_format("kafka/sasl.password_file=%s", scram->password_file);
    setup_start(&scram->setup,
                (const char *[]){servers, trusted, password, "kafka/security.protocol=sasl_ssl",
                                 "kafka/sasl.mechanisms=SCRAM-SHA-256", "kafka/sasl.username=" BROKER_USER,
                                 more[0], more[1], more[2], NULL});
    free(password), free(trusted), free(servers);
}

void
scram_end(struct scram *scram)
{
    free(scram->password_file), free(scram->certificate);
    authority_free(scram->authority);
    setup_end(&scram->setup);
}
