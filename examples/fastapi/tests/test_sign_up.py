"""What a sign-up promises, seen through HTTP, for both kinds of session: all of it or nothing, its event included."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

DOORS = pytest.mark.parametrize("door", ["/signup", "/async/signup"])


def person(door: str, name: str, **more: str) -> dict:
    return {"account": name, "email": f"{name}{door.replace('/', '.')}@example.com", **more}


def events_of(database, topic: str, key: str) -> list[tuple]:
    return database.rows(
        "select convert_from(payload, 'UTF8'), headers from outbox.event"
        " where topic = %s and key = convert_to(%s, 'UTF8')",
        topic,
        key,
    )


def assert_only_the_voucher_failed(database, answer, before: dict, code: str) -> None:
    """The person is in, their event is there, and nothing of the voucher is."""
    assert answer.status_code == 201
    assert answer.json()["voucher"] == "this voucher cannot be redeemed at the moment"
    after = database.contents()
    assert after == before | {name: before[name] + 1 for name in ("account", "app_user", "outbox.event")}
    assert len(events_of(database, "shop.user.signed_up", str(answer.json()["user_id"]))) == 1


@DOORS
def test_a_sign_up_leaves_an_account_a_user_and_one_event(client, database, door):
    before = database.contents()
    answer = client.post(door, json=person(door, "Žofie"), headers={"x-request-id": "r-1"})
    assert answer.status_code == 201
    ids = answer.json()
    assert database.contents() == {
        "account": before["account"] + 1,
        "app_user": before["app_user"] + 1,
        "redemption": before["redemption"],
        "outbox.event": before["outbox.event"] + 1,
    }
    assert database.rows("select account_id from app_user where id = %s", ids["user_id"]) == [(ids["account_id"],)]
    [(payload, headers)] = events_of(database, "shop.user.signed_up", str(ids["user_id"]))
    assert json.loads(payload) == {"user_id": ids["user_id"], "account_id": ids["account_id"]}
    assert headers == {"content-type": "application/json", "request-id": "r-1"}


@DOORS
def test_a_taken_address_is_409_and_leaves_neither_row_nor_event(client, database, door):
    assert client.post(door, json=person(door, "Ada")).status_code == 201
    before = database.contents()
    again = person(door, "Ada")
    answer = client.post(door, json=again | {"email": again["email"].upper()})
    assert answer.status_code == 409
    assert answer.json() == {"detail": "this e-mail address has an account already"}
    assert database.contents() == before


@DOORS
def test_a_voucher_is_redeemed_and_tells_of_it(client, database, door):
    code = f"SPRING{door}"
    database.add_voucher(code, 10)
    ids = client.post(door, json=person(door, "Grace", voucher=code)).json()
    assert ids["voucher"] == "redeemed"
    assert database.value("select credit from account where id = %s", ids["account_id"]) == 10
    [(payload, _)] = events_of(database, "shop.voucher.redeemed", code)
    assert json.loads(payload) == {"code": code, "account_id": ids["account_id"]}


@DOORS
@pytest.mark.parametrize(
    ("code", "amount", "why"),
    [
        ("WHALE", 500, "this voucher is too much for the account"),  # refused after its event was emitted
        ("UNHEARD-OF", None, "there is no such voucher"),
    ],
)
def test_a_refused_voucher_undoes_its_own_event_and_nothing_else(client, database, door, code, amount, why):
    code = f"{code}{door}"
    if amount is not None:
        database.add_voucher(code, amount)
    before = database.contents()
    answer = client.post(door, json=person(door, f"Mary-{amount}", voucher=code))
    assert answer.status_code == 201
    assert answer.json()["voucher"] == why
    after = database.contents()
    assert after == before | {name: before[name] + 1 for name in ("account", "app_user", "outbox.event")}
    assert len(events_of(database, "shop.user.signed_up", str(answer.json()["user_id"]))) == 1
    assert events_of(database, "shop.voucher.redeemed", code) == []


@DOORS
def test_a_step_that_may_fail_may_fail_for_a_reason_that_nobody_thought_of(client, database, door):
    code = f"DENIED{door}"
    database.add_voucher(code, 10)
    before = database.contents()
    database.connection.execute(f'revoke insert on redemption from "{database.application()}"')
    try:
        answer = client.post(door, json=person(door, "Barbara", voucher=code))
    finally:
        database.connection.execute(f'grant insert on redemption to "{database.application()}"')
    assert_only_the_voucher_failed(database, answer, before, code)


@DOORS
def test_a_step_that_may_fail_may_be_cancelled(client, database, rival, door):
    code = f"LOCKED{door}"
    database.add_voucher(code, 10)
    before = database.contents()
    rival.execute("insert into redemption select %s, min(id) from account", (code,))
    with ThreadPoolExecutor() as pool:
        answer = pool.submit(client.post, door, json=person(door, "Frances", voucher=code))
        database.wait_until_blocked()
        database.end_the_blocked("pg_cancel_backend")  # what statement_timeout does
        answer = answer.result()
    rival.rollback()
    assert_only_the_voucher_failed(database, answer, before, code)


@DOORS
def test_a_connection_that_is_lost_in_the_step_that_may_fail_is_a_sign_up_that_failed(client, database, rival, door):
    code = f"LOST{door}"
    database.add_voucher(code, 10)
    before = database.contents()
    rival.execute("insert into redemption select %s, min(id) from account", (code,))
    with ThreadPoolExecutor() as pool:
        answer = pool.submit(client.post, door, json=person(door, "Jean", voucher=code))
        database.wait_until_blocked()
        database.end_the_blocked("pg_terminate_backend")
        assert answer.result().status_code == 500
    rival.rollback()
    assert database.contents() == before


@DOORS
def test_a_voucher_that_no_text_can_hold_is_not_redeemed_and_one_that_is_too_long_is_422(client, database, door):
    before = database.contents()
    answer = client.post(door, json=person(door, "Radia", voucher="N\0L"))
    assert_only_the_voucher_failed(database, answer, before, "N\0L")
    before = database.contents()
    assert client.post(door, json=person(door, "Karen", voucher="X" * 65)).status_code == 422
    assert database.contents() == before


@DOORS
@pytest.mark.parametrize("odd", ["E\0e", "\0", "Eve\ud800"])
def test_a_name_or_an_address_that_no_text_can_hold_is_422(client, database, door, odd):
    before = database.contents()
    address = person(door, "Eve")["email"]
    for wrong in ({"account": odd, "email": address}, {"account": "Eve", "email": odd + address}):
        answer = client.post(door, content=json.dumps(wrong), headers={"content-type": "application/json"})
        assert answer.status_code == 422
    assert database.contents() == before


@DOORS
def test_a_request_that_makes_no_sense_is_422(client, database, door):
    before = database.contents()
    assert client.post(door, json={"account": "Eve", "email": "nowhere"}).status_code == 422
    assert database.contents() == before


@DOORS
def test_when_the_event_is_refused_there_is_no_user_either(client, database, door):
    before = database.contents()
    database.connection.execute(
        "alter table outbox.event add constraint refuses_all check (topic <> 'shop.user.signed_up') not valid"
    )
    try:
        answer = client.post(door, json=person(door, "Hedy"))
    finally:
        database.connection.execute("alter table outbox.event drop constraint refuses_all")
    assert answer.status_code == 500, "it is our fault, not the client's: no 409"
    assert database.contents() == before
