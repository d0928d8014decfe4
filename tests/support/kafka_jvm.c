/* kafka_jvm.c: Java for kafka.c: the jars, the storage that a broker begins with, and its JVM, which is to be there soon: most
 * of a start is work that the start before has done. */
#include "support/kafka_broker.h"
#include "support/scratch.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TOOL_MS 90000 /* a JVM on a busy machine */
/* any 16 bytes in base64 */
#define CLUSTER_ID "b3V0Ym94ZC10ZXN0cy0wMQ"
#define DIRECTORY_ID_FORMAT "b3V0Ym94ZC1kaXJzLSA%dMQ"
#define ARGUMENTS_MOST 16

char *
broker_jars(const char *version)
{
    const char *cache = getenv("OUTBOXD_CACHE"), *home = getenv("HOME");
    char *path;
    if (cache != NULL)
        path = must_format("%s/kafka-%s", cache, version);
    else if (getenv("XDG_CACHE_HOME") != NULL)
        path = must_format("%s/outboxd/kafka-%s", getenv("XDG_CACHE_HOME"), version);
    else
        path = must_format("%s/.cache/outboxd/kafka-%s", home ? home : "", version);
    if (access(path, R_OK) != 0)
        test_fail("%s: no Kafka there; fetch it with packaging/kafka-jars.sh %s", path, version);
    return path;
}

void
broker_run_tool(const struct broker *broker, const char *class, const char *const *arguments)
{
    char *log = must_format("%s/tool.log", broker->directory), *classpath = must_format("%s/*", broker->jars);
    const char *argv[8 + ARGUMENTS_MOST] = {"java",
                                            "-XX:+UnlockDiagnosticVMOptions",
                                            "-XX:-BytecodeVerificationRemote",
                                            "-Xmx128m",
                                            "-XX:+UseSerialGC",
                                            "-XX:TieredStopAtLevel=1",
                                            "-cp"};
    size_t count = 7;
    argv[count++] = classpath;
    argv[count++] = class;
    for (; *arguments != NULL; arguments++) {
        CHECK(count < sizeof argv / sizeof *argv - 1);
        argv[count++] = *arguments;
    }
    int exit_code = process_run(
        &(struct process_options){.argv = argv, .output_path = log, .death_signal = SIGKILL}, TOOL_MS);
    if (exit_code != 0)
        test_fail("%s: exit code %d:\n%s", class, exit_code, scratch_read_file(log));
    free(classpath);
    free(log);
}

static void
format(const struct broker *broker, const struct broker_options *options)
{
    broker_run_tool(broker, "kafka.tools.StorageTool",
                    (const char *const[]){"format", "--cluster-id",
                                          options->cluster_id ? options->cluster_id : CLUSTER_ID, "--config",
                                          broker->properties, options->scram ? "--add-scram" : NULL,
                                          options->scram, NULL});
}

static void
must_link(const char *from, const char *to)
{
    if (link(from, to) != 0)
        test_fail("%s: %s", to, strerror(errno));
}

/* What the tool makes is a file that tells nodes apart, and one that depends on the version alone, unless a user is in it. So
 * whoever comes first runs the tool, which takes a second. */
void
broker_format(const struct broker *broker, const struct broker_options *options)
{
    if (options->scram != NULL) {
        format(broker, options);
        return;
    }
    char *data = must_format("%s/data", broker->directory),
         *own = must_format("%s/bootstrap.checkpoint", data);
    char *first = must_format("%s/%s.checkpoint", scratch_root(), strrchr(broker->jars, '/') + 1);
    char *lock_path = must_format("%s.lock", first);
    int lock = scratch_lock(lock_path);
    if (access(first, F_OK) != 0) {
        format(broker, options);
        must_link(own, first);
    } else {
        char *meta = must_format("%s/meta.properties", data);
        char *text =
            must_format("version=1\ncluster.id=%s\nnode.id=%d\ndirectory.id=" DIRECTORY_ID_FORMAT "\n",
                        options->cluster_id ? options->cluster_id : CLUSTER_ID, broker->node, broker->node);
        if (mkdir(data, 0755) != 0)
            test_fail("%s: %s", data, strerror(errno));
        scratch_write_file(meta, text);
        must_link(first, own);
        free(text), free(meta);
    }
    close(lock);
    free(lock_path), free(first), free(own), free(data);
}

/* ---- the archive of classes ---- */

static char *
archive_path(const struct broker *broker)
{
    return must_format("%s.jsa", broker->jars);
}

static char *
archive_new_path(const struct broker *broker)
{
    return must_format("%s.%d.jsa", broker->jars, (int)getpid());
}

bool
broker_archive_works(const struct broker *broker)
{
    char *path = archive_path(broker), *option = must_format("-XX:SharedArchiveFile=%s", path);
    char *classpath = must_format("%s/*", broker->jars);
    const char *argv[] = {"java", "-Xshare:on", "-XX:+UseSerialGC", option,
                          "-cp",  classpath,    "-version",         NULL};
    bool works = access(path, R_OK) == 0 && process_run(&(struct process_options){.argv = argv,
                                                                                  .output_path = "/dev/null",
                                                                                  .death_signal = SIGKILL},
                                                        TOOL_MS) == 0;
    free(classpath), free(option), free(path);
    return works;
}

void
broker_archive_keep(const struct broker *broker)
{
    char *path = archive_path(broker), *new = archive_new_path(broker);
    rename(new, path); /* where it cannot be written, starts go on to be slow */
    free(new), free(path);
}

/* ---- the broker ---- */

/* A start costs 5 s of processor time with the full compiler, 2.5 s like this, 1.5 s with an archive; a benchmark that makes the
 * broker work for minutes asks for the full one: OUTBOXD_TEST_JVM=-XX:TieredStopAtLevel=4. */
static const char *
jvm_tiering(void)
{
    const char *option = getenv("OUTBOXD_TEST_JVM");
    return option ? option : "-XX:TieredStopAtLevel=1";
}

void
broker_launch(struct broker *broker, bool archiving)
{
    CHECK(broker->own && broker->pid == 0);
    char *path = archiving ? archive_new_path(broker) : archive_path(broker);
    char *archive = must_format("-XX:%s=%s", archiving ? "ArchiveClassesAtExit" : "SharedArchiveFile", path);
    char *classpath = must_format("%s/*", broker->jars);
    const char *argv[] = {"java",
                          "-Xms64m",
                          "-Xmx512m",
                          "-XX:+UseSerialGC",
                          jvm_tiering(),
                          "-XX:+UnlockDiagnosticVMOptions",
                          "-XX:-BytecodeVerificationRemote",
                          "-Xshare:auto",
                          archive,
                          "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
                          "-Dorg.slf4j.simpleLogger.log.org.apache.kafka.common.network.Selector=info",
                          "-cp",
                          classpath,
                          "kafka.Kafka",
                          broker->properties,
                          NULL};
    struct process_options options = {.argv = argv, .output_path = broker->log, .death_signal = SIGKILL};
    broker->pid = process_start(&options);
    free(classpath), free(archive), free(path);
}
