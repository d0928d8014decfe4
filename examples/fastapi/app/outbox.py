"""The whole of the outbox that an application needs: copy this file."""

import json
from typing import Any

from sqlalchemy import BigInteger, Column, LargeBinary, MetaData, Table, Text, insert
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

_event = Table(
    "event",
    MetaData(schema="outbox"),  # of its own, so that create_all() and migrations leave it alone
    Column("id", BigInteger),
    Column("topic", Text),
    Column("key", LargeBinary),
    Column("payload", LargeBinary),
    Column("headers", JSONB(none_as_null=True)),
)


def emit(session: Session, topic: str, key: str | None, payload: Any, headers: dict | None = None) -> int:
    """Inserts one event into the session's transaction; it is published if and only if that commits. Returns its id.

    The payload becomes JSON, but for bytes, which stay what they are, and None, which is a tombstone."""
    session.flush()  # first the rows, and with them their locks: then the events of a key stand in the order of its changes
    if payload is not None and not isinstance(payload, bytes):
        payload = json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode()
    key_bytes = None if key is None else key.encode()
    event = insert(_event).values(topic=topic, key=key_bytes, payload=payload, headers=headers)
    return session.execute(event.returning(_event.c.id)).scalar_one()


async def emit_async(
    session: AsyncSession, topic: str, key: str | None, payload: Any, headers: dict | None = None
) -> int:
    """The same in an AsyncSession."""
    return await session.run_sync(emit, topic, key, payload, headers)
