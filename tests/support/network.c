/* network.c: a network namespace and a pair of veth devices (network.h). The namespace lives as long as the process that holds it,
 * which dies with the test, and the devices with it. */
#include "support/network.h"

#include "base/error.h"
#include "support/scratch.h"
#include "support/wait.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define COMMAND_MS 10000
#define INSIDE "inside"

struct network {
    pid_t holder;
    char *address, *device;
};

bool
network_possible(void)
{
    return geteuid() == 0;
}

/* `ip` or `tc` with these words, NULL-terminated; in the namespace of `pid`, or here (0). */
static int
run_tool(pid_t pid, const char *tool, const char *const *words)
{
    const char *argv[16] = {tool};
    size_t count = 1;
    for (; *words != NULL; words++)
        argv[count++] = *words;
    CHECK(count < sizeof argv / sizeof *argv);
    const struct process_options options = {.argv = argv, .network = pid, .death_signal = SIGKILL};
    return process_run(&options, COMMAND_MS);
}

static void
run_ip(pid_t pid, const char *const *words)
{
    int exit_code = run_tool(pid, "ip", words);
    if (exit_code != 0)
        test_fail("ip %s %s: exit code %d (is iproute2 installed?)", words[0], words[1], exit_code);
}

/* True when the process has a namespace of its own by now. */
static bool
has_moved(pid_t pid)
{
    char own[64] = "", its[64] = "";
    char *path = must_format("/proc/%d/ns/net", (int)pid);
    bool read =
        readlink("/proc/self/ns/net", own, sizeof own - 1) > 0 && readlink(path, its, sizeof its - 1) > 0;
    free(path);
    return read && strcmp(own, its) != 0;
}

struct network *
network_open(void)
{
    static const char *const holder[] = {"unshare", "--net", "sleep", "infinity", NULL};
    struct network *network = must_calloc(1, sizeof *network);
    int number = (int)getpid() % 16000; /* tests run side by side: each has a subnet of four addresses */
    network->holder = process_start(&(struct process_options){.argv = holder, .death_signal = SIGKILL});
    wait_for(has_moved(network->holder), COMMAND_MS);
    network->device = must_format("outboxd%d", number);
    network->address = must_format("10.77.%d.%d", number / 64, number % 64 * 4 + 1);
    char *here = must_format("%s/30", network->address), *pid = must_format("%d", (int)network->holder);
    char *there = must_format("10.77.%d.%d/30", number / 64, number % 64 * 4 + 2);
    run_ip(0, (const char *[]){"link", "add", network->device, "type", "veth", "peer", "name", INSIDE,
                               "netns", pid, NULL});
    run_ip(0, (const char *[]){"addr", "add", here, "dev", network->device, NULL});
    run_ip(0, (const char *[]){"link", "set", network->device, "up", NULL});
    run_ip(network->holder, (const char *[]){"link", "set", "lo", "up", NULL});
    run_ip(network->holder, (const char *[]){"addr", "add", there, "dev", INSIDE, NULL});
    network_heal(network);
    free(here), free(there), free(pid);
    return network;
}

void
network_close(struct network *network)
{
    if (network == NULL)
        return;
    kill(network->holder, SIGKILL);
    process_wait(network->holder, COMMAND_MS);
    free(network->address);
    free(network->device);
    free(network);
}

const char *
network_address(const struct network *network)
{
    return network->address;
}

pid_t
network_pid(const struct network *network)
{
    return network->holder;
}

/* The far end: so that our address stays ours. */
void
network_cut(struct network *network)
{
    run_ip(network->holder, (const char *[]){"link", "set", INSIDE, "down", NULL});
}

void
network_heal(struct network *network)
{
    run_ip(network->holder, (const char *[]){"link", "set", INSIDE, "up", NULL});
}

/* A token bucket: what exceeds the rate waits in the queue of a modem, 200 ms at most, and is dropped beyond. */
bool
network_slow(struct network *network, int kilobytes_per_second)
{
    char *rate = must_format("%dkbps", kilobytes_per_second); /* tc's kbps are kilobytes */
    const char *words[] = {"qdisc", "add",   "dev",  network->device, "root",  "tbf", "rate",
                           rate,    "burst", "64kb", "latency",       "200ms", NULL};
    bool slow = run_tool(0, "tc", words) == 0;
    free(rate);
    return slow;
}
