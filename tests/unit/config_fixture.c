/* config_fixture.c: see its header. */
#include "unit/config_fixture.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char directory[] = "/tmp/outboxd-config-XXXXXX";

void
config_fixture_enter(void)
{
    static const char *const VARIABLES[] = {"PGHOST", "PGHOSTADDR", "PGSSLMODE", "PGSERVICE"};
    for (size_t i = 0; i < sizeof VARIABLES / sizeof *VARIABLES; i++)
        unsetenv(VARIABLES[i]);
    cr_assert_not_null(mkdtemp(directory));
    cr_assert_eq(chdir(directory), 0);
}

static int
remove_one(const char *path, const struct stat *status, int kind, struct FTW *place)
{
    (void)status, (void)kind, (void)place;
    return remove(path);
}

void
config_fixture_leave(void)
{
    cr_expect_eq(chdir("/"), 0);
    cr_expect_eq(nftw(directory, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
}

void
config_fixture_write(const char *path, const char *bytes, size_t size, mode_t mode)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    cr_assert_geq(fd, 0);
    cr_assert_eq(write(fd, bytes, size), (ssize_t)size);
    cr_assert_eq(fchmod(fd, mode), 0);
    close(fd);
}

void
config_fixture_load(struct config_loaded *loaded)
{
    memset(loaded, 0, sizeof *loaded);
    FILE *errors = fmemopen(loaded->printed, sizeof loaded->printed, "w");
    cr_assert_not_null(errors);
    bool accepted = settings_load(&loaded->settings, "c.yaml", errors, &loaded->error);
    fclose(errors);
    cr_assert_not_null(loaded->settings, "also what is refused can be looked at");
    if (accepted)
        return;
    cr_assert_eq(loaded->error.kind, ERROR_CONFIG);
    settings_free(loaded->settings);
    loaded->settings = NULL;
}

static bool
holds_mistake(const char *lines)
{
    for (; *lines != '\0'; lines += strcspn(lines, "\n") + 1) {
        const char *warning = strstr(lines, "warning: ");
        if (warning == NULL || warning > lines + strcspn(lines, "\n"))
            return true;
    }
    return false;
}

void
config_fixture_expect(const char *text, const char *lines)
{
    struct config_loaded loaded;
    config_fixture_write("c.yaml", text, strlen(text), 0600);
    config_fixture_load(&loaded);
    cr_expect_str_eq(loaded.printed, lines, "from:\n%s\nexpected:\n%s\ngot:\n%s", text, lines,
                     loaded.printed);
    cr_expect_eq(loaded.settings == NULL, holds_mistake(lines), "from:\n%s\ngot:\n%s", text, loaded.printed);
    settings_free(loaded.settings);
}

struct settings *
config_fixture_accept(const char *text)
{
    struct config_loaded loaded;
    config_fixture_write("c.yaml", text, strlen(text), 0600);
    config_fixture_load(&loaded);
    cr_assert_str_empty(loaded.printed);
    cr_assert_not_null(loaded.settings);
    return loaded.settings;
}
