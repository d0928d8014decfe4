"""The tables of schema.sql as SQLAlchemy sees them. The outbox is not among them: `outboxd migrate` owns it."""

from sqlalchemy import BigInteger, ForeignKey, Identity
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship


class Base(DeclarativeBase):
    pass


class Account(Base):
    __tablename__ = "account"

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    name: Mapped[str]
    credit: Mapped[int] = mapped_column(server_default="0")


class User(Base):
    __tablename__ = "app_user"

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey(Account.id))
    email: Mapped[str]
    account: Mapped[Account] = relationship()


class Voucher(Base):
    __tablename__ = "voucher"

    code: Mapped[str] = mapped_column(primary_key=True)
    amount: Mapped[int]


class Redemption(Base):
    __tablename__ = "redemption"

    code: Mapped[str] = mapped_column(ForeignKey(Voucher.code), primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey(Account.id))
