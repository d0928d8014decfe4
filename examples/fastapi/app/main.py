"""The doors of the shop: the same sign-up through a Session (POST /signup) and an AsyncSession (POST /async/signup).

The unit of work is a block within the endpoint, not a dependency with `yield`: what such a dependency does at its end comes
after the answer was sent, so a client would hear 201 before the COMMIT, and never hear that it failed."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import FastAPI, Header, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy import create_engine
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import sessionmaker

from .errors import DomainError
from .sign_up import SignedUp, SignUp, sign_up, sign_up_async
from .unit_of_work import async_unit_of_work, unit_of_work

DATABASE_URL = os.environ.get("DATABASE_URL")
if not DATABASE_URL:
    raise SystemExit("set DATABASE_URL, as in postgresql+psycopg://shop_app@127.0.0.1/fastapi")

# hide_parameters: people's data has no place in a log
engine = create_engine(DATABASE_URL, hide_parameters=True)
async_engine = create_async_engine(DATABASE_URL, hide_parameters=True)
sessions = sessionmaker(engine, expire_on_commit=False)
async_sessions = async_sessionmaker(async_engine, expire_on_commit=False)


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    yield
    engine.dispose()
    await async_engine.dispose()


app = FastAPI(title="shop", lifespan=lifespan)


@app.exception_handler(DomainError)
def refused(_: Request, error: DomainError) -> JSONResponse:
    return JSONResponse({"detail": str(error)}, status_code=409)


@app.exception_handler(RequestValidationError)
def makes_no_sense(_: Request, error: RequestValidationError) -> JSONResponse:
    """FastAPI's own answer quotes what was wrong, and falls over a half of a surrogate pair, which is no UTF-8."""
    detail = [{"loc": wrong["loc"], "msg": wrong["msg"]} for wrong in error.errors()]
    return JSONResponse({"detail": detail}, status_code=422)


def event_headers(request_id: str | None) -> dict:
    return {"content-type": "application/json"} | ({"request-id": request_id} if request_id else {})


RequestId = Annotated[str | None, Header(alias="x-request-id", max_length=100)]


@app.post("/signup", status_code=201)
def post_signup(request: SignUp, request_id: RequestId = None) -> SignedUp:
    with unit_of_work(sessions) as unit:
        return sign_up(unit, request, event_headers(request_id))


@app.post("/async/signup", status_code=201)
async def post_signup_async(request: SignUp, http: Request, request_id: RequestId = None) -> SignedUp:
    async with async_unit_of_work(async_sessions) as unit:
        done = await sign_up_async(unit, request, event_headers(request_id))
        if await http.is_disconnected():
            raise HTTPException(499, "nobody waits for the answer any more")
        return done
