"""contract_api.py PORT DIRECTORY: the other company's API, as examples/contract needs it, well-behaved or not. For tests.

DIRECTORY/state.json says what there is and what goes wrong; a new file (renamed into place) is read at the next request:

    {"contracts": {"C-1": {"version": 1, "customer": .., "currency": .., "total": .., "items": [{..}], "page_size": 2,
                           "header": {..}, "page": {..}}},       what the answers say instead, field by field
                           also "etag": a text to send as the header ETag, byte by byte (Latin-1)
     "faults": [{"path": "/contracts/C-1", "do": "status", "status": 429, "times": 2, ..}]}

A fault is for requests whose path with its query matches the shell pattern; the first that has turns left (`times`, default: for
ever) is taken. What it can do:

    status     `status`, with `retry_after` (a text) or `retry_date` (seconds from now, sent as a date), or `location`
    raw        200 with the bytes `body`
    huge       200 with `bytes` bytes, without saying so before
    truncate   a Content-Length of more than comes
    slow       the right answer, byte by byte, over `ms` milliseconds
    hang       nothing, until the client leaves
    reset      the connection is reset
    hold       the right answer as of now, sent when the file DIRECTORY/release exists
    change     the right answer; then contract `id` becomes what `contract` says, field by field

DIRECTORY/requests gets a line for each request, "MS PATH IF-NONE-MATCH", when it is known what comes of it, and DIRECTORY/answers
one, "MS PATH STATUS", before the client has its answer.
"""

import fnmatch
import http.server
import json
import os
import socket
import struct
import sys
import threading
import time
from email.utils import formatdate
from urllib.parse import parse_qs, urlsplit

DIRECTORY = sys.argv[2]
LOCK = threading.Lock()
HOLD_S = 60
STATE = {"seen": None, "contracts": {}, "faults": []}


def note(name, *words):
    with LOCK, open(os.path.join(DIRECTORY, name), "a", encoding="utf-8") as file:
        file.write(" ".join([str(int(time.monotonic() * 1000)), *words]) + "\n")


def read_state():
    with LOCK:
        path = os.path.join(DIRECTORY, "state.json")
        status = os.stat(path)
        seen = (status.st_ino, status.st_mtime_ns)
        if seen != STATE["seen"]:
            with open(path, encoding="utf-8") as file:
                STATE.update(json.load(file))
            STATE["seen"] = seen


def take_fault(path):
    with LOCK:
        for fault in STATE.get("faults", []):
            if fnmatch.fnmatchcase(path, fault["path"]) and fault.get("times", 1) > 0:
                if "times" in fault:
                    fault["times"] -= 1
                return fault
    return {"do": "nothing"}


def header_of(name, contract):
    header = {field: contract[field] for field in ("version", "customer", "currency", "total")}
    header.update({"id": name, "item_count": len(contract["items"]), "status": "a field that nobody asked for"})
    header.update(contract.get("header", {}))
    return header


def page_of(name, contract, number):
    size = contract.get("page_size", 2)
    items = contract["items"][(number - 1) * size : number * size]
    more = number * size < len(contract["items"])
    page = {
        "version": contract["version"],
        "items": [{"contract_id": name, **item} for item in items],
        "next_page": number + 1 if more else None,
    }
    page.update(contract.get("page", {}))
    return page


class Api(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def right_answer(self):
        """(status, etag, bytes)"""
        url = urlsplit(self.path)
        parts = url.path.strip("/").split("/")
        with LOCK:
            contract = STATE["contracts"].get(parts[1]) if len(parts) > 1 else None
            if contract is None:
                return 404, None, b'{"error": "no such contract"}'
            etag = contract.get("etag", '"%s-v%d"' % (parts[1], contract["version"]))
            if len(parts) > 2:
                number = int(parse_qs(url.query)["page"][0])
                return 200, None, json.dumps(page_of(parts[1], contract, number)).encode()
            if self.headers.get("If-None-Match") == etag:
                return 304, etag, b""
            return 200, etag, json.dumps(header_of(parts[1], contract)).encode()

    def send(self, status, headers, body):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if status != 304:
            self.send_header("Content-Length", str(len(body)))
        note("answers", self.path, str(status))
        self.end_headers()
        self.wfile.write(body)

    def send_right(self, answer):
        status, etag, body = answer
        self.send(status, {"ETag": etag} if etag else {}, body)

    def begin_endless(self, length):
        """The head of an answer of which the rest is up to the caller; the connection is not used again."""
        self.close_connection = True
        self.send_response(200)
        if length is not None:
            self.send_header("Content-Length", str(length))
        self.send_header("Connection", "close")
        self.end_headers()

    def do_GET(self):
        read_state()
        fault = take_fault(self.path)
        answer = self.right_answer()  # as of now, whatever state.json says when it has been seen that somebody asked
        note("requests", self.path, self.headers.get("If-None-Match", "-"))
        getattr(self, "do_" + fault["do"])(fault, answer)

    def do_nothing(self, _, answer):
        self.send_right(answer)

    def do_status(self, fault, _):
        headers = {}
        if "retry_after" in fault:
            headers["Retry-After"] = fault["retry_after"]
        if "retry_date" in fault:
            headers["Retry-After"] = formatdate(time.time() + fault["retry_date"], usegmt=True)
        if "location" in fault:
            headers["Location"] = fault["location"]
        self.send(fault["status"], headers, b'{"error": "as the test wants it"}')

    def do_raw(self, fault, _):
        self.send(200, {}, fault["body"].encode("latin-1"))

    def do_huge(self, fault, _):
        self.begin_endless(None)
        for _ in range(0, fault["bytes"], 65536):
            self.wfile.write(b" " * 65536)

    def do_truncate(self, _, answer):
        self.begin_endless(len(answer[2]) + 1)
        self.wfile.write(answer[2])

    def do_slow(self, fault, answer):
        self.begin_endless(len(answer[2]))
        for byte in answer[2]:
            self.wfile.write(bytes([byte]))
            time.sleep(fault["ms"] / 1000 / len(answer[2]))

    def do_hang(self, *_):
        self.close_connection = True
        self.connection.settimeout(HOLD_S)
        self.connection.recv(1)

    def do_reset(self, *_):
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    def do_hold(self, _, answer):
        end = time.monotonic() + HOLD_S
        while not os.path.exists(os.path.join(DIRECTORY, "release")) and time.monotonic() < end:
            time.sleep(0.01)
        self.send_right(answer)

    def do_change(self, fault, answer):
        with LOCK:
            STATE["contracts"][fault["id"]].update(fault["contract"])
        self.send_right(answer)


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_):
        pass  # a client that has left


server = Server(("127.0.0.1", int(sys.argv[1])), Api)
note("ready")
server.serve_forever()
