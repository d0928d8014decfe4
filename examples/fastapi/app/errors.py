"""What can be wrong with a request, in the shop's own words, and which constraint of schema.sql says so.

Two sign-ups at the same moment both see a free address: only the constraint can decide. So nothing is looked up
beforehand, and the IntegrityError is the answer."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import IntegrityError


class DomainError(Exception):
    """The request is refused; its text is for the client."""


class EmailTaken(DomainError):
    pass


class VoucherRefused(DomainError):
    pass


_REFUSALS = {
    "app_user_email_key": (EmailTaken, "this e-mail address has an account already"),
    "redemption_of_known_voucher": (VoucherRefused, "there is no such voucher"),
    "redemption_once": (VoucherRefused, "this voucher was redeemed before"),
    "account_credit_within_limit": (VoucherRefused, "this voucher is too much for the account"),
}


@contextmanager
def domain_errors() -> Iterator[None]:
    """Turns the IntegrityError of a known constraint into its domain error; every other one stays a fault of ours."""
    try:
        yield
    except IntegrityError as error:
        constraint = error.orig.diag.constraint_name
        if constraint not in _REFUSALS:
            raise
        kind, text = _REFUSALS[constraint]
        raise kind(text) from error
