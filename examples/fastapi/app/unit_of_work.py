"""The unit of work: one session, one transaction, owned by the use case that opened it. It commits at the end of its block
and rolls back when the block raises, whatever that is: a refusal, a fault, a cancelled request.

`optional` is the border between what must succeed and what may fail: a savepoint, whose failure undoes what was done
within it, the events included, and nothing else."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker
from sqlalchemy.orm import Session, sessionmaker

from .errors import domain_errors
from .outbox import emit, emit_async
from .repositories import Accounts, Redemptions, Users


class UnitOfWork:
    def __init__(self, session: Session) -> None:
        self.session = session
        self.accounts, self.users, self.redemptions = Accounts(session), Users(session), Redemptions(session)

    def flush(self) -> None:
        self.session.flush()

    def emit(self, topic: str, key: str, payload: Any, headers: dict | None = None) -> None:
        emit(self.session, topic, key, payload, headers)

    @contextmanager
    def optional(self) -> Iterator[None]:
        with domain_errors(), self.session.begin_nested():
            yield


class AsyncUnitOfWork:
    def __init__(self, session: AsyncSession) -> None:
        self.session = session
        self.accounts, self.users, self.redemptions = Accounts(session), Users(session), Redemptions(session)

    async def flush(self) -> None:
        await self.session.flush()

    async def emit(self, topic: str, key: str, payload: Any, headers: dict | None = None) -> None:
        await emit_async(self.session, topic, key, payload, headers)

    @asynccontextmanager
    async def optional(self) -> AsyncIterator[None]:
        with domain_errors():
            async with self.session.begin_nested():
                yield


@contextmanager
def unit_of_work(sessions: sessionmaker[Session]) -> Iterator[UnitOfWork]:
    with domain_errors(), sessions() as session, session.begin():
        yield UnitOfWork(session)


@asynccontextmanager
async def async_unit_of_work(sessions: async_sessionmaker[AsyncSession]) -> AsyncIterator[AsyncUnitOfWork]:
    with domain_errors():
        async with sessions() as session, session.begin():
            yield AsyncUnitOfWork(session)
