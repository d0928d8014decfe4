/* certificates.c: calls `openssl req` for keys and `openssl ca`, which can date back and revoke, for certificates
 * (certificates.h). Knows nothing of the servers that use them. */
#include "support/certificates.h"

#include "base/error.h"
#include "support/scratch.h"

#include <signal.h>
#include <stdlib.h>

#define COMMAND_MS 10000

struct authority {
    char *directory, *config, *key, *certificate, *log;
    unsigned count;
};

static const char config_format[] = "[ca]\n"
                                    "default_ca = own\n"
                                    "[own]\n"
                                    "database = %s/index\n"
                                    "new_certs_dir = %s\n"
                                    "certificate = %s\n"
                                    "private_key = %s\n"
                                    "rand_serial = yes\n"
                                    "default_md = sha256\n"
                                    "default_days = 2\n"
                                    "default_crl_days = 2\n"
                                    "copy_extensions = copy\n"
                                    "policy = any\n"
                                    "[any]\n"
                                    "commonName = supplied\n";

/* `openssl` with these words, NULL-terminated. */
static void
run_openssl(const struct authority *authority, const char *const *words)
{
    const char *argv[32] = {"openssl"};
    size_t count = 1;
    for (; *words != NULL; words++)
        argv[count++] = *words;
    CHECK(count < sizeof argv / sizeof *argv);
    const struct process_options options = {
        .argv = argv, .output_path = authority->log, .death_signal = SIGKILL};
    int exit_code = process_run(&options, COMMAND_MS);
    if (exit_code != 0)
        test_fail("openssl %s: exit code %d:\n%s", argv[1], exit_code, scratch_read_file(authority->log));
}

struct authority *
authority_new(void)
{
    struct authority *authority = must_calloc(1, sizeof *authority);
    const char *directory = authority->directory = scratch_directory("authority");
    authority->config = must_format("%s/config", directory);
    authority->key = must_format("%s/own.key", directory);
    authority->certificate = must_format("%s/own.crt", directory);
    authority->log = must_format("%s/log", directory);
    char *text = must_format(config_format, directory, directory, authority->certificate, authority->key);
    char *index = must_format("%s/index", directory);
    scratch_write_file(authority->config, text);
    scratch_write_file(index, "");
    run_openssl(authority,
                (const char *[]){"req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
                                 "-nodes", "-keyout", authority->key, "-out", authority->certificate, "-days",
                                 "2", "-subj", "/CN=authority", NULL});
    free(index), free(text);
    return authority;
}

void
authority_free(struct authority *authority)
{
    if (authority == NULL)
        return;
    free(authority->directory), free(authority->config), free(authority->key);
    free(authority->certificate), free(authority->log);
    free(authority);
}

const char *
authority_certificate(const struct authority *authority)
{
    return authority->certificate;
}

char *
authority_issue(struct authority *authority, const char *names, bool expired)
{
    char *path = must_format("%s/server%u", authority->directory, ++authority->count);
    char *key = must_format("%s.key", path), *request = must_format("%s.csr", path);
    char *certificate = must_format("%s.crt", path), *both = must_format("%s.pem", path);
    char *extension = must_format("subjectAltName=%s", names);
    char *subject = must_format("/CN=server%u", authority->count);
    run_openssl(authority, (const char *[]){"req", "-newkey", "ec", "-pkeyopt",
                                            "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key, "-out",
                                            request, "-subj", subject, "-addext", extension, NULL});
    run_openssl(authority, (const char *[]){"ca", "-batch", "-notext", "-config", authority->config, "-in",
                                            request, "-out", certificate, expired ? "-startdate" : NULL,
                                            "20200101000000Z", "-enddate", "20210101000000Z", NULL});
    char *key_text = scratch_read_file(key), *certificate_text = scratch_read_file(certificate);
    char *text = must_format("%s%s", key_text, certificate_text);
    scratch_write_file(both, text);
    free(text), free(certificate_text), free(key_text), free(subject), free(extension);
    free(both), free(certificate), free(request), free(key);
    return path;
}

void
authority_revoke(struct authority *authority, const char *certificate)
{
    char *path = must_format("%s.crt", certificate);
    run_openssl(authority, (const char *[]){"ca", "-config", authority->config, "-revoke", path, NULL});
    free(path);
}

char *
authority_list_revoked(struct authority *authority)
{
    char *path = must_format("%s/revoked.crl", authority->directory);
    run_openssl(authority,
                (const char *[]){"ca", "-config", authority->config, "-gencrl", "-out", path, NULL});
    return path;
}
