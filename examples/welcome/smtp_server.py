#!/usr/bin/python3
"""smtp_server.py DIRECTORY PORT: a real mail server (aiosmtpd) on the loopback for the demo and the tests, with moods.

Each mail that it accepts becomes a file of DIRECTORY/received, its envelope's recipient in the first line. DIRECTORY/mode
says how it behaves, and is read whenever it matters:
    accept                     as it should
    slow MS                    accepts, and takes so long for it
    refuse CODE STAGE [TO]     answers CODE at the greeting, to mail, rcpt or data; with TO: only for this recipient
    hang                       never answers a recipient, until the mode changes
    hold [N]                   keeps the mail, and does not say so until the mode changes; with N: so many, then 451 to data
"""
import asyncio
import os
import sys

from aiosmtpd.smtp import SMTP

DIRECTORY, PORT = sys.argv[1], int(sys.argv[2])
RECEIVED = os.path.join(DIRECTORY, "received")


def mode():
    with open(os.path.join(DIRECTORY, "mode"), encoding="ascii") as file:
        return file.read().split()


async def while_mode_is(word):
    while mode()[0] == word:
        await asyncio.sleep(0.01)


def refusal(stage, recipient):
    words = mode()
    if words[0] == "refuse" and words[2] == stage and words[3:] in ([], [recipient]):
        return f"{words[1]} refus\xe9\x1b[2J, as the test wants".encode("latin-1")  # no UTF-8: such servers are about
    return None


def has_enough():
    words = mode()
    return words[0] == "hold" and words[1:] != [] and len(os.listdir(RECEIVED)) >= int(words[1])


def keep(envelope):
    name = f"{len(os.listdir(RECEIVED)):06}"
    # complete or not there: the test counts the names
    with open(os.path.join(DIRECTORY, "unfinished"), "wb") as file:
        file.write(envelope.rcpt_tos[0].encode() + b"\n" + envelope.content)
    os.rename(file.name, os.path.join(RECEIVED, name))


class Handler:
    async def handle_MAIL(self, server, session, envelope, address, options):
        envelope.mail_from = address
        return refusal("mail", None) or "250 OK"

    async def handle_RCPT(self, server, session, envelope, address, options):
        await while_mode_is("hang")
        envelope.rcpt_tos.append(address)
        return refusal("rcpt", address) or "250 OK"

    async def handle_DATA(self, server, session, envelope):
        refused = "451 enough" if has_enough() else refusal("data", envelope.rcpt_tos[0])
        if refused is None:
            if mode()[0] == "slow":
                await asyncio.sleep(int(mode()[1]) / 1000)
            keep(envelope)
            await while_mode_is("hold")
        return refused or "250 OK"


class Server(SMTP):
    async def push(self, status):
        greeting = isinstance(status, str) and status.startswith("220 ")
        await super().push(greeting and refusal("greeting", None) or status)


async def main():
    server = await asyncio.get_running_loop().create_server(
        lambda: Server(Handler(), hostname="localhost"), "127.0.0.1", PORT)
    await server.serve_forever()


asyncio.run(main())
