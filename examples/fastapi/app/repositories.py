"""Repositories: they put rows into the session that they are given, and never commit, roll back or flush. Since they only
say what is to be written, and the session's flush writes it, one set of them serves Session and AsyncSession."""

from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from .models import Account, Redemption, User, Voucher


@dataclass
class Accounts:
    session: Session | AsyncSession

    def add(self, name: str) -> Account:
        account = Account(name=name)
        self.session.add(account)
        return account

    def credit(self, account: Account, voucher_code: str) -> None:
        amount = select(Voucher.amount).where(Voucher.code == voucher_code).scalar_subquery()
        account.credit = Account.credit + amount  # computed by Postgres: nobody else's credit is overwritten


@dataclass
class Users:
    session: Session | AsyncSession

    def add(self, account: Account, email: str) -> User:
        user = User(account=account, email=email)
        self.session.add(user)
        return user


@dataclass
class Redemptions:
    session: Session | AsyncSession

    def add(self, account_id: int, voucher_code: str) -> None:
        self.session.add(Redemption(account_id=account_id, code=voucher_code))
