"""A real server of the shop on a port of its own, and an administrator's look at its database.

DATABASE_URL is the application's, ADMIN_DATABASE_URL that of somebody who may look at everything and lock it."""

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psycopg
import pytest

HERE = Path(__file__).resolve().parent.parent

for name in ("DATABASE_URL", "ADMIN_DATABASE_URL"):
    if not os.environ.get(name):
        pytest.exit(f"set {name}: these tests want a real Postgres with the outbox and schema.sql in it", returncode=64)


class Shop:
    """uvicorn as a child that takes over a listening socket: connections wait in it until the server is up."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=200)
        self.address = self.listener.getsockname()
        self.url = "http://{}:{}".format(*self.address)
        descriptor = str(self.listener.fileno())
        # where Linux can do it, the server does not outlive its tests, however these end
        tied = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []
        self.process = subprocess.Popen(
            [*tied, sys.executable, "-m", "uvicorn", "app.main:app", "--fd", descriptor, "--log-level", "warning"],
            cwd=HERE,
            pass_fds=[self.listener.fileno()],
        )

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(timeout=30)

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        self.listener.close()
        return self.process.wait(timeout=30)


@pytest.fixture(scope="session")
def shop() -> Iterator[Shop]:
    shop = Shop()
    yield shop
    assert shop.stop() in (0, -signal.SIGTERM), "it ends cleanly when it is told to"


@pytest.fixture
def doomed_shop() -> Iterator[Shop]:
    """One that a test may kill."""
    shop = Shop()
    yield shop
    shop.kill()
    shop.listener.close()


@pytest.fixture(scope="session")
def client(shop: Shop) -> Iterator[httpx.Client]:
    # a connection for each request: uvicorn closes one after a 500, perhaps while the next request is on its way
    limits = httpx.Limits(max_keepalive_connections=0)
    with httpx.Client(base_url=shop.url, timeout=60, limits=limits) as client:
        yield client


class Database:
    def __init__(self) -> None:
        self.connection = psycopg.connect(os.environ["ADMIN_DATABASE_URL"], autocommit=True)

    def rows(self, sql: str, *parameters: object) -> list[tuple]:
        return self.connection.execute(sql, parameters).fetchall()

    def value(self, sql: str, *parameters: object) -> object:
        return self.rows(sql, *parameters)[0][0]

    def contents(self) -> dict[str, int]:
        """How much there is of everything that a sign-up writes."""
        tables = ("account", "app_user", "redemption", "outbox.event")
        return {table: self.value(f"select count(*) from {table}") for table in tables}

    def add_voucher(self, code: str, amount: int) -> None:
        self.connection.execute("insert into voucher (code, amount) values (%s, %s)", (code, amount))

    def wait_until(self, sql: str, *parameters: object) -> None:
        """Until the query says true; Postgres does the waiting, a hundredth of a second at a time, for a minute."""
        for _ in range(6000):
            if self.value(sql, *parameters):
                return
            self.connection.execute("select pg_sleep(0.01)")
        pytest.fail(f"never came true: {sql}")

    def wait_until_at_rest(self) -> None:
        """Until the application has no transaction open."""
        self.wait_until(
            "select count(*) = 0 from pg_stat_activity where datname = current_database()"
            " and usename = %s and state <> 'idle'",
            self.application(),
        )

    def wait_until_blocked(self, number: int = 1) -> None:
        self.wait_until(
            "select count(*) = %s from pg_stat_activity where datname = current_database()"
            " and usename = %s and wait_event_type = 'Lock'",
            number,
            self.application(),
        )

    def end_the_blocked(self, function: str) -> None:
        """pg_cancel_backend or pg_terminate_backend, of whoever of the application waits for a lock."""
        self.value(
            f"select {function}(pid) from pg_stat_activity where datname = current_database()"
            " and usename = %s and wait_event_type = 'Lock'",
            self.application(),
        )

    @staticmethod
    def application() -> str:
        from sqlalchemy import make_url

        return make_url(os.environ["DATABASE_URL"]).username


@pytest.fixture(scope="session")
def database() -> Iterator[Database]:
    database = Database()
    yield database
    database.connection.close()


@pytest.fixture
def rival() -> Iterator[psycopg.Connection]:
    """Somebody else with a transaction open, which ends with the test at the latest."""
    with psycopg.connect(os.environ["ADMIN_DATABASE_URL"]) as connection:
        yield connection
        connection.rollback()


@pytest.fixture
def nobody_signs_up(rival: psycopg.Connection) -> Callable[[], None]:
    """Holds every sign-up up between its account and its user, until the function that it gives is called."""
    rival.execute("lock table app_user in share mode")
    return rival.rollback
