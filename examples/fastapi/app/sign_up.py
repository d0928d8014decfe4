"""The use case, for both kinds of session: account, user and event are one thing; the voucher may fail by itself.

A savepoint that is rolled back expires the objects that were changed within it, and an expired attribute is read from the
database again, which an AsyncSession cannot do on the quiet. That is why the ids are taken before the optional step."""

import logging

from pydantic import BaseModel, Field
from sqlalchemy.exc import DBAPIError

from .errors import VoucherRefused
from .models import Account
from .unit_of_work import AsyncUnitOfWork, UnitOfWork

SIGNED_UP = "shop.user.signed_up"  # its key is the user's id
REDEEMED = "shop.voucher.redeemed"  # its key is the voucher's code

log = logging.getLogger(__name__)


class SignUp(BaseModel):
    account: str = Field(pattern=r"^[^\x00]+$", max_length=100)  # a text in Postgres holds every character but NUL
    email: str = Field(pattern=r"^[^@\s\x00]+@[^@\s\x00]+$", max_length=254)
    voucher: str | None = Field(None, max_length=64)


class SignedUp(BaseModel):
    user_id: int
    account_id: int
    voucher: str | None = None  # "redeemed", or why not


def sign_up(unit: UnitOfWork, request: SignUp, headers: dict) -> SignedUp:
    account = unit.accounts.add(request.account)
    user = unit.users.add(account, request.email)
    unit.flush()
    done = SignedUp(user_id=user.id, account_id=account.id)
    unit.emit(SIGNED_UP, str(done.user_id), {"user_id": done.user_id, "account_id": done.account_id}, headers)
    if request.voucher is not None:
        done.voucher = redeem(unit, account, request.voucher, headers)
    return done


def redeem(unit: UnitOfWork, account: Account, code: str, headers: dict) -> str:
    try:
        with unit.optional():
            unit.redemptions.add(account.id, code)
            unit.emit(REDEEMED, code, {"code": code, "account_id": account.id}, headers)
            unit.accounts.credit(account, code)
    except (VoucherRefused, DBAPIError) as error:
        return why_not(error)
    return "redeemed"


def why_not(error: VoucherRefused | DBAPIError) -> str:
    """What may fail may fail for any reason: a missing grant, a timeout. Only a lost connection takes the sign-up with it."""
    if isinstance(error, VoucherRefused):
        return str(error)
    if error.connection_invalidated:
        raise error
    # neither parameters nor the detail, which may quote a row: people's data has no place in a log
    log.warning("a voucher was not redeemed: %s: %s", type(error.orig).__name__, error.orig.diag.message_primary)
    return "this voucher cannot be redeemed at the moment"


async def sign_up_async(unit: AsyncUnitOfWork, request: SignUp, headers: dict) -> SignedUp:
    account = unit.accounts.add(request.account)
    user = unit.users.add(account, request.email)
    await unit.flush()
    done = SignedUp(user_id=user.id, account_id=account.id)
    await unit.emit(SIGNED_UP, str(done.user_id), {"user_id": done.user_id, "account_id": done.account_id}, headers)
    if request.voucher is not None:
        done.voucher = await redeem_async(unit, account, request.voucher, headers)
    return done


async def redeem_async(unit: AsyncUnitOfWork, account: Account, code: str, headers: dict) -> str:
    try:
        async with unit.optional():
            unit.redemptions.add(account.id, code)
            await unit.emit(REDEEMED, code, {"code": code, "account_id": account.id}, headers)
            unit.accounts.credit(account, code)
    except (VoucherRefused, DBAPIError) as error:
        return why_not(error)
    return "redeemed"
