"""Many at once, clients that hang up, and a server that is killed: still all or nothing."""

import asyncio
import json
import socket
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest


def request_of(door: str, email: str) -> bytes:
    body = json.dumps({"account": "Katherine", "email": email}).encode()
    head = f"POST {door} HTTP/1.1\r\nhost: shop\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


def users_of(database, email: str) -> int:
    return database.value("select count(*) from app_user where email = %s", email)


def assert_each_user_has_one_event(database) -> None:
    """And each account its user, and each redemption its event."""
    accounts = database.rows("select id from account")
    assert sorted(accounts) == sorted(database.rows("select account_id from app_user"))
    users = database.rows("select id::text from app_user")
    redeemed = database.rows("select code from redemption")
    for topic, keys in (("shop.user.signed_up", users), ("shop.voucher.redeemed", redeemed)):
        events = database.rows("select convert_from(key, 'UTF8') from outbox.event where topic = %s", topic)
        assert sorted(events) == sorted(keys), f"what is in {topic} is not what was committed"


async def sign_up_at_once(url: str, door: str, people: list[dict]) -> list[httpx.Response]:
    limits = httpx.Limits(max_connections=len(people))
    async with httpx.AsyncClient(base_url=url, timeout=60, limits=limits) as client:
        return await asyncio.gather(*(client.post(door, json=person) for person in people))


@pytest.mark.parametrize("door", ["/signup", "/async/signup"])
def test_of_fifty_at_once_for_half_as_many_addresses_one_each_gets_in(shop, database, door):
    for number in range(5):
        database.add_voucher(f"RUSH-{number}{door}", 1)
    people = [
        {"account": f"rush {pair}", "email": f"rush{pair}{door.replace('/', '.')}@example.com", "voucher": f"RUSH-{pair % 5}{door}"}
        for pair in range(25)
        for _ in range(2)
    ]
    answers = asyncio.run(sign_up_at_once(shop.url, door, people))
    assert sorted(answer.status_code for answer in answers) == [201] * 25 + [409] * 25
    told = sorted(answer.json()["voucher"] for answer in answers if answer.status_code == 201)
    assert told == ["redeemed"] * 5 + ["this voucher was redeemed before"] * 20
    assert_each_user_has_one_event(database)


@pytest.mark.parametrize("door", ["/signup", "/async/signup"])
def test_an_event_is_emitted_behind_the_lock_of_its_row(client, database, rival, door):
    """Otherwise two events of one key could stand the other way round than the changes that they tell of."""
    code = f"RIVALS{door}"
    database.add_voucher(code, 1)
    rival.execute("insert into redemption select %s, min(id) from account", (code,))
    person = {"account": "Emmy", "email": f"emmy{door.replace('/', '.')}@example.com", "voucher": code}
    with ThreadPoolExecutor() as pool:
        answer = pool.submit(client.post, door, json=person)
        database.wait_until_blocked()
        drawn = database.value("select last_value from outbox.event_id_seq")
        rival.rollback()
        assert answer.result().json()["voucher"] == "redeemed"
    assert database.value("select id from outbox.event where key = convert_to(%s, 'UTF8')", code) > drawn


def test_a_client_that_hangs_up_while_it_waits_leaves_nothing_behind(client, shop, database, nobody_signs_up):
    before = database.contents()
    with socket.create_connection(shop.address) as connection:
        connection.sendall(request_of("/async/signup", "gone@example.com"))
        database.wait_until_blocked()
    client.get("/openapi.json")  # the server reads in order: when it answers this, it has heard of the hang-up
    nobody_signs_up()
    database.wait_until_at_rest()
    assert database.contents() == before


def test_a_client_that_hangs_up_is_signed_up_whole_or_not_at_all(client, shop, database, nobody_signs_up):
    """A sync endpoint hears of it only when it answers: after the COMMIT."""
    with socket.create_connection(shop.address) as connection:
        connection.sendall(request_of("/signup", "gone.sync@example.com"))
        database.wait_until_blocked()
    nobody_signs_up()
    database.wait_until_at_rest()
    assert users_of(database, "gone.sync@example.com") == 1
    assert_each_user_has_one_event(database)


def test_half_a_request_is_none(client, shop, database):
    before = database.contents()
    with socket.create_connection(shop.address) as connection:
        connection.sendall(request_of("/signup", "half@example.com")[:-5])
        client.get("/openapi.json")
    client.get("/openapi.json")
    database.wait_until_at_rest()
    assert database.contents() == before


@pytest.mark.parametrize("door", ["/signup", "/async/signup"])
def test_a_server_that_is_killed_in_the_midst_of_it_leaves_nothing(doomed_shop, database, nobody_signs_up, door):
    before = database.contents()
    with socket.create_connection(doomed_shop.address) as connection:
        connection.sendall(request_of(door, f"killed{door.replace('/', '.')}@example.com"))
        database.wait_until_blocked()
        doomed_shop.kill()
    nobody_signs_up()
    database.wait_until_at_rest()
    assert database.contents() == before


def test_in_the_end_everything_that_was_committed_has_its_event(database):
    database.wait_until_at_rest()
    assert_each_user_has_one_event(database)
