/* base_findings.c: what was found, in the order it was found. */
#include "base/findings.h"

#include <criterion/criterion.h>

Test(base_findings, the_list_keeps_order_text_and_cure)
{
    struct findings findings = {0};
    findings_ok(&findings, "connected to %s", "db");
    findings_add(&findings, FINDING_WARNING, ERROR_NONE, "use verify-full", "sslmode is %s", "prefer");
    findings_add(&findings, FINDING_ERROR, ERROR_UNUSABLE, "outboxd migrate", "no schema");
    findings_add(&findings, FINDING_ERROR, ERROR_CONFIG, NULL, "another");
    cr_assert_eq(findings.count, 4);
    cr_assert_eq(findings.list[0].level, FINDING_OK);
    cr_assert_str_eq(findings.list[0].what, "connected to db");
    cr_assert_null(findings.list[0].cure);
    cr_assert_str_eq(findings.list[1].what, "sslmode is prefer");
    cr_assert_str_eq(findings.list[1].cure, "use verify-full");
    const struct finding *first = findings_first_error(&findings);
    cr_assert_eq(first, &findings.list[2]);
    cr_assert_eq(first->kind, ERROR_UNUSABLE);
    findings_free(&findings);
    cr_assert_eq(findings.count, 0);
}

Test(base_findings, warnings_are_no_errors_and_many_fit)
{
    struct findings findings = {0};
    cr_assert_null(findings_first_error(&findings));
    for (int i = 0; i < 100; i++)
        findings_add(&findings, FINDING_WARNING, ERROR_NONE, "cure", "warning %d", i);
    cr_assert_eq(findings.count, 100);
    cr_assert_str_eq(findings.list[99].what, "warning 99");
    cr_assert_null(findings_first_error(&findings));
    findings_free(&findings);
}
