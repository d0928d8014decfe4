/* config_tree.c: what of YAML is refused, with the line that is named. Guards: "aliases, tags, duplicate keys
 * are errors". */
#include "unit/config_fixture.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

TestSuite(config_tree, .init = config_fixture_enter, .fini = config_fixture_leave);

Test(config_tree, refuses_anchors_and_aliases)
{
    config_fixture_expect(CONFIG_LEAST "lease: &a 3s\nretention: *a\n",
                          "c.yaml:5: lease: anchors (&name) are not allowed\n"
                          "c.yaml:6: retention: aliases (*name) are not allowed\n");
    config_fixture_expect(CONFIG_LEAST "poll: &a {idle: 5ms}\ntopics: &b ['*']\n",
                          "c.yaml:5: poll: anchors (&name) are not allowed\n"
                          "c.yaml:6: topics: anchors (&name) are not allowed\n");
}

Test(config_tree, refuses_an_alias_bomb_at_its_first_anchor)
{
    config_fixture_expect("a: &a [x, x]\nb: &b [*a, *a]\n" CONFIG_LEAST,
                          "c.yaml:1: a: anchors (&name) are not allowed\n"
                          "c.yaml:1: a: unknown key\n"
                          "c.yaml:2: b: anchors (&name) are not allowed\n"
                          "c.yaml:2: b: aliases (*name) are not allowed\n"
                          "c.yaml:2: b: aliases (*name) are not allowed\n"
                          "c.yaml:2: b: unknown key\n");
}

Test(config_tree, refuses_tags)
{
    config_fixture_expect(CONFIG_LEAST "lease: !!str 3s\npoll: !x {idle: 5ms}\ntopics: !!set [a]\n",
                          "c.yaml:5: lease: tags (!name) are not allowed\n"
                          "c.yaml:6: poll: tags (!name) are not allowed\n"
                          "c.yaml:7: topics: tags (!name) are not allowed\n");
    config_fixture_expect("%TAG !e! tag:example.org,2000:\n---\n" CONFIG_LEAST,
                          "c.yaml:1: tag directives (%TAG) are not allowed\n");
}

Test(config_tree, refuses_merge_keys)
{
    config_fixture_expect(CONFIG_LEAST "poll:\n  <<: {idle: 5ms}\n",
                          "c.yaml:6: poll: merge keys (<<) are not allowed\n");
}

Test(config_tree, refuses_duplicate_keys_at_every_level_and_names_both_lines)
{
    config_fixture_expect(CONFIG_LEAST "lease: 3s\nlease: 4s\npoll:\n  idle: 5ms\n  busy: 1ms\n  idle: 5ms\n",
                          "c.yaml:6: lease: given twice, first on line 5\n"
                          "c.yaml:10: poll.idle: given twice, first on line 8\n");
    config_fixture_expect(CONFIG_LEAST "  linger.ms: 5\n  'linger.ms': 6\n",
                          "c.yaml:6: kafka.linger.ms: given twice, first on line 5\n");
}

Test(config_tree, refuses_a_second_document)
{
    config_fixture_expect(CONFIG_LEAST "---\nlease: 3s\n",
                          "c.yaml:5: a second document (---) is not allowed\n");
}

Test(config_tree, refuses_keys_that_are_no_words)
{
    config_fixture_expect(CONFIG_LEAST "[a, b]: 3\n", "c.yaml:5: a key must be a word\n");
    config_fixture_expect(CONFIG_LEAST "? {a: b}\n: 3\n", "c.yaml:5: a key must be a word\n");
}

Test(config_tree, names_the_line_of_a_syntax_error)
{
    config_fixture_expect(
        CONFIG_LEAST "poll: {idle: 5ms\nlease: 3s\n",
        "c.yaml:6: not YAML: did not find expected ',' or '}' while parsing a flow mapping\n");
    config_fixture_expect(
        CONFIG_LEAST "poll:\n\tidle: 5ms\n",
        "c.yaml:6: not YAML: found character that cannot start any token while scanning for the "
        "next token\n");
}

Test(config_tree, names_the_last_line_also_when_it_does_not_end)
{
    config_fixture_expect(
        CONFIG_LEAST "topics: [",
        "c.yaml:5: not YAML: did not find expected node content while parsing a flow node\n");
}

Test(config_tree, counts_lines_as_yaml_does)
{
    config_fixture_expect("source: a\r\nrelay: \xc2\x85\xff\r\n",
                          "c.yaml:3: not UTF-8 text: invalid leading UTF-8 octet\n");
}

Test(config_tree, reports_what_it_saw_before_a_syntax_error)
{
    config_fixture_expect(
        CONFIG_LEAST "lease: &a 3s\npoll: ]\n",
        "c.yaml:5: lease: anchors (&name) are not allowed\n"
        "c.yaml:6: not YAML: did not find expected node content while parsing a block node\n");
}

Test(config_tree, takes_a_byte_order_mark)
{
    struct settings *settings = config_fixture_accept("\xef\xbb\xbf" CONFIG_LEAST);
    cr_expect_str_eq(settings->source, "shop");
    settings_free(settings);
}

static void
expect_bytes(const char *bytes, size_t size, const char *lines)
{
    struct config_loaded loaded;
    config_fixture_write("c.yaml", bytes, size, 0600);
    config_fixture_load(&loaded);
    cr_expect_str_eq(loaded.printed, lines, "got:\n%s", loaded.printed);
    cr_expect_null(loaded.settings);
    settings_free(loaded.settings);
}

Test(config_tree, refuses_a_nul_byte_raw_or_escaped)
{
    static const char RAW[] = CONFIG_LEAST "lease: 3s\0\n";
    expect_bytes(RAW, sizeof RAW - 1, "c.yaml:5: holds a NUL byte: not UTF-8 text\n");
    config_fixture_expect(CONFIG_LEAST "lease: \"3s\\0\"\n\"po\\0ll\": {}\n",
                          "c.yaml:5: lease: holds a NUL byte\n"
                          "c.yaml:6: a key holds a NUL byte\n");
}

Test(config_tree, refuses_what_is_not_utf8)
{
    static const char UTF16[] = "\xff\xfes\0o\0u\0r\0c\0e\0";
    expect_bytes(UTF16, sizeof UTF16 - 1, "c.yaml:1: holds a NUL byte: not UTF-8 text\n");
    config_fixture_expect(CONFIG_LEAST "lease: \xc3\x28\n",
                          "c.yaml:5: not UTF-8 text: invalid trailing UTF-8 octet\n");
    config_fixture_expect(CONFIG_LEAST "lease: \x1b[31m\n",
                          "c.yaml:5: not UTF-8 text: control characters are not allowed\n");
}

Test(config_tree, refuses_nesting_deeper_than_16)
{
    char text[200000] = CONFIG_LEAST "poll: ";
    memset(text + strlen(text), '[', 100000);
    config_fixture_expect(text, "c.yaml:5: poll: nested deeper than 16 levels\n");
    config_fixture_expect(CONFIG_LEAST "poll: [[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]\n",
                          "c.yaml:5: poll: nested deeper than 16 levels\n");
    config_fixture_expect(CONFIG_LEAST "poll: [[[[[[[[[[[[[[[]]]]]]]]]]]]]]]\n",
                          "c.yaml:5: poll: must be a map\n");
}

Test(config_tree, refuses_maps_and_lists_that_are_too_wide)
{
    char text[20000];
    size_t size = (size_t)sprintf(text, CONFIG_LEAST "topics: [");
    for (int i = 0; i < 501; i++)
        size += (size_t)sprintf(text + size, "a,");
    sprintf(text + size, "]\n");
    config_fixture_expect(text, "c.yaml:5: topics: has more than 500 entries\n");
    size = (size_t)sprintf(text, CONFIG_LEAST);
    for (int i = 0; i < 500; i++)
        size += (size_t)sprintf(text + size, "  x%d: 1\n", i);
    config_fixture_expect(text, "c.yaml:3: kafka: has more than 500 keys\n");
}

Test(config_tree, cannot_be_used_to_forge_lines)
{
    config_fixture_expect(
        CONFIG_LEAST "\"a\\n\\e[31mb\": 1\nrelay: \"x\\nc.yaml:1: fine\"\n",
        "c.yaml:5: a??[31mb: unknown key\n"
        "c.yaml:6: relay: \"x\\x0ac.yaml:1: fine\" is not a name: 1 to 100 of the characters a-z "
        "A-Z 0-9 . _ -\n");
}
