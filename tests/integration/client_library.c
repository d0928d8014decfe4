/* client_library.c: liboutbox as a package: what is installed is enough to build a program in C and in C++, by pkg-config, shared
 * and static; exceptions may pass through it; the examples of the manual pages are such programs; nothing but outbox_* is exported. */
#include "schema_fixture.h"

#include "support/scratch.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The build directory, from the binary that is tested: build/outboxd. */
static char *
build_directory(void)
{
    char *path = must_strdup(getenv("OUTBOXD_BIN"));
    char *slash = strrchr(path, '/');
    cr_assert_not_null(slash, "OUTBOXD_BIN is the path of build/outboxd");
    *slash = '\0';
    return path;
}

/* Runs a shell script in `directory`; what it prints is in output.txt there. */
static void
must_shell(const char *directory, const char *script)
{
    const char *argv[] = {"sh", "-euc", script, NULL};
    char *output = must_format("%s/output.txt", directory);
    struct process_options options = {.argv = argv, .output_path = output, .directory = directory};
    scratch_write_file(output, "");
    int exit_code = process_run(&options, 120000);
    char *said = scratch_read_file(output);
    cr_assert_eq(exit_code, 0, "%s\n%s", script, said);
    free(said);
    free(output);
}

/* What `make install-lib` puts below a directory of its own; the caller frees its name. */
static char *
install_library(void)
{
    char *directory = scratch_directory("install"), *build = build_directory();
    char *here = realpath(".", NULL);
    char *script = must_format("make -s -C '%s' install-lib O='%s' PREFIX='%s/usr'", here, build, directory);
    must_shell(directory, script);
    free(script);
    free(here);
    free(build);
    return directory;
}

static const char *
sanitized(void)
{
#ifdef __SANITIZE_ADDRESS__
    return "-fsanitize=address,undefined";
#else
    return "";
#endif
}

#define PKG_CONFIG "PKG_CONFIG_PATH=$PWD/usr/lib/pkgconfig"

/* What the caller makes has the same size for ever: what is added comes out of `reserved`. */
static const char program[] = "#include <outbox.h>\n"
                              "#include <stdio.h>\n"
                              "#ifndef __cplusplus\n"
                              "#define static_assert _Static_assert\n"
                              "#endif\n"
                              "#if UINTPTR_MAX == UINT64_MAX\n"
                              "static_assert(sizeof(struct outbox_error) == 856, \"error\");\n"
                              "static_assert(sizeof(struct outbox_options) == 104, \"options\");\n"
                              "static_assert(sizeof(struct outbox_event) == 88, \"event\");\n"
                              "#endif\n"
                              "static bool\n"
                              "work(struct outbox_unit *unit, void *context, struct outbox_error *error)\n"
                              "{\n"
                              "    return unit == NULL && context == NULL && error == NULL;\n"
                              "}\n"
                              "int main(void)\n"
                              "{\n"
                              "    struct outbox_error error;\n"
                              "    PGconn *db = PQconnectdb(\"host=127.0.0.1 port=1\");\n"
                              "    bool done = outbox_run(db, NULL, work, NULL, &error);\n"
                              "    puts(outbox_version());\n"
                              "    PQfinish(db);\n"
                              "    return done || error.kind != OUTBOX_ERROR_CONNECTION;\n"
                              "}\n";

Test(client_library, an_installed_library_is_enough_to_build_a_program)
{
    char *directory = install_library();
    char *source = must_format("%s/program.c", directory);
    scratch_write_file(source, program);
    char *script = must_format(
        "flags=\"$(" PKG_CONFIG " pkg-config --cflags --libs outbox)\"\n"
        "cc %s -std=c17 -Wall -Wextra -Wpedantic -Werror program.c -o shared $flags\n"
        "c++ %s -x c++ -std=c++17 -Wall -Wextra -Wpedantic -Werror program.c -o cplusplus -x none $flags\n"
        "LD_LIBRARY_PATH=$PWD/usr/lib ./shared\n"
        "LD_LIBRARY_PATH=$PWD/usr/lib ./cplusplus\n"
        "readelf -d shared | grep -F 'liboutbox.so.0'\n"
        "cc %s program.c -o static $(" PKG_CONFIG " pkg-config --cflags outbox) usr/lib/liboutbox.a"
        " $(pkg-config --libs libpq jansson)\n"
        "./static\n"
        "if readelf -d static | grep -F liboutbox; then exit 1; fi\n"
        "test \"$(" PKG_CONFIG " pkg-config --modversion outbox)\" = \"$(./static)\"\n",
        sanitized(), sanitized(), sanitized());
    must_shell(directory, script);
    free(script);
    free(source);
    free(directory);
}

/* An object of the program's own that is compiled as the library is: what the compiler adds to both for exceptions bears one
 * name. */
static const char beside[] = "static void end(int *used) { *used = 0; }\n"
                             "void begin(void (*call)(void));\n"
                             "void begin(void (*call)(void))\n"
                             "{\n"
                             "    __attribute__((cleanup(end))) int used = 1;\n"
                             "    call();\n"
                             "}\n";

Test(client_library, exceptions_of_cplusplus_pass_through_it)
{
    struct outbox outbox = outbox_open();
    char *directory = install_library(), *here = realpath(".", NULL);
    char *source = must_format("%s/beside.c", directory);
    scratch_write_file(source, beside);
    const char *conninfo = postgres_conninfo(outbox.server, outbox.database, POSTGRES_WRITER);
    char *script = must_format(
        "c++ %s -std=c++17 -g -Wall -Wextra -Wpedantic -Werror -c '%s/tests/support/programs/unwind.cpp'"
        " $(" PKG_CONFIG " pkg-config --cflags outbox)\n"
        "cc %s -fexceptions -c beside.c\n"
        "c++ %s unwind.o -o shared $(" PKG_CONFIG " pkg-config --libs outbox)\n"
        "c++ %s unwind.o beside.o -o static usr/lib/liboutbox.a $(pkg-config --libs libpq jansson)\n"
        "LD_LIBRARY_PATH=$PWD/usr/lib ./shared '%s'\n",
        sanitized(), here, sanitized(), sanitized(), sanitized(), conninfo);
    must_shell(directory, script);
    postgres_exec(outbox.admin, "truncate outbox.event");
    free(script);
    script = must_format("./static '%s'\n", conninfo);
    must_shell(directory, script);
    free(script);
    free(source);
    free(here);
    free(directory);
    outbox_close(&outbox);
}

Test(client_library, only_the_names_of_the_header_are_exported)
{
    char *directory = install_library();
    must_shell(
        directory,
        "nm -D --defined-only usr/lib/liboutbox.so | awk '$2 == \"T\" { sub(/@.*/, \"\", $3); print $3 }' | "
        "sort > exported\n"
        "nm -g --defined-only usr/lib/liboutbox.a | awk '$2 == \"T\" { print $3 }' | sort > archived\n"
        "grep -ozE 'OUTBOX_API[^;]*;' usr/include/outbox.h | tr '\\0\\n' '\\n ' |"
        " grep -oE 'outbox_[a-z_]+\\(' | tr -d '(' | sort -u > declared\n"
        "test -s declared\n"
        "diff declared exported\n"
        "diff declared archived\n"
        "readelf -d usr/lib/liboutbox.so | grep SONAME | grep -F '[liboutbox.so.0]'\n"
        /* the daemon's libraries are none of the application's business */
        "if readelf -d usr/lib/liboutbox.so | grep NEEDED | grep -vE "
        "'libpq|libjansson|libc\\.|libgcc_s|asan|ubsan'; "
        "then exit 1; fi\n");
    free(directory);
}

Test(client_library, every_function_has_a_manual_page)
{
    char *directory = install_library();
    must_shell(
        directory,
        "nm -D --defined-only usr/lib/liboutbox.so | awk '$2 == \"T\" { sub(/@.*/, \"\", $3); print $3 }' |\n"
        "while read -r name; do\n"
        "    page=usr/share/man/man3/$name.3\n"
        "    test -s $page || { echo \"no page of $name\"; exit 1; }\n"
        "    target=$(sed -n 's,^\\.so man3/,usr/share/man/man3/,p' $page)\n"
        "    grep -q \"^\\.Fn $name \" ${target:-$page} || { echo \"$name is not described\"; exit 1; }\n"
        "done\n");
    free(directory);
}

/* The text between .Bd -literal and .Ed behind EXAMPLES, as man(1) would show it: \e is a backslash. */
Test(client_library, the_examples_of_the_manual_pages_compile)
{
    char *directory = install_library();
    must_shell(
        directory,
        "for page in usr/share/man/man3/*.3; do\n"
        "    grep -q '^\\.Sh EXAMPLES' $page || continue\n"
        "    name=$(basename $page .3)\n"
        "    sed -n '/^\\.Sh EXAMPLES/,$p' $page | sed -n '/^\\.Bd -literal/,/^\\.Ed/p' | grep -v '^\\.' |\n"
        "        sed 's/\\\\e/\\\\/g' > $name.c\n"
        "    test $(wc -l < $name.c) -gt 10\n"
        "    cc -std=gnu17 -Wall -Wextra -Werror -c $name.c -Iusr/include $(pkg-config --cflags libpq)\n"
        "    echo $name >> compiled\n"
        "done\n"
        "test $(wc -l < compiled) -ge 5\n");
    free(directory);
}
