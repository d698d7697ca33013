# SPDX-License-Identifier: Apache-2.0
"""A strict stand-in for what takes our line protocol: InfluxDB 1, 2, 3, telemetryd. It refuses every request that is
not just as it should be, keeps the points, counts, and can be told to fail in every way a server or a network can.

    server = Standin("influxdb2", {"org": "one", "bucket": "telemetry"}, token="t0ken")
    server.behave(Behaviour(503, retry_after=1), Behaviour(fault="cut"))  # the next two; then as it should
    … server.url …
    server.store.points, server.requests, server.connections, server.complaints
    server.close()
"""
import base64
import contextlib
import dataclasses
import email.utils
import http.client
import http.server
import re
import socket
import ssl
import struct
import threading
import time
import urllib.parse
import zlib

from dialects import DIALECTS, Line, Store

QUERY = re.compile(r"(?:[A-Za-z0-9_]+=(?:[A-Za-z0-9._~-]|%[0-9A-F]{2})*(?:&|$))+")
CONTENT_TYPE = "text/plain; charset=utf-8"
DRAIN_BYTES = 4 << 20  # that it still reads of a request it has refused, so that the answer arrives
FAULTS = (
    "hang",          # stores, and says nothing until it is stopped
    "hang_within",   # half of an answer, and then nothing
    "close",         # stores, and closes without a word
    "close_unread",  # closes before it has read the body
    "cut",           # half of an answer, and then closed
    "reset",         # half of an answer, and then reset
    "long",          # Content-Length is more than what comes
    "short",         # Content-Length is less than what comes
    "garbage",       # no HTTP
)


@dataclasses.dataclass
class Behaviour:
    """How to answer a request, where not as it should be."""
    status: int = None        # None: as it should be; a status: this, and nothing is stored
    message: str = "told so"
    retry_after: object = None  # seconds, or a text (http_date)
    body: bytes = None        # instead of what that kind of server says
    store: bool = None        # True: stored whatever is answered; False: not stored
    refuse: tuple = ()        # numbers of lines that are taken for malformed
    detail: str = "array"     # of InfluxDB 3's refusals: "array", "object", "none"
    delay: float = 0          # seconds until it answers
    fault: str = None         # of FAULTS

    def __post_init__(self):
        if self.fault not in (None, *FAULTS):
            raise ValueError(self.fault)


@dataclasses.dataclass
class Request:
    """What came. lines, plain: of a write that was read to its end."""
    method: str
    target: str
    headers: object
    connection: int
    body: bytes = b""
    plain: bytes = b""
    lines: int = 0
    status: int = None


class Refused(Exception):
    def __init__(self, status, message):
        super().__init__(message)
        self.status, self.message = status, message


def http_date(seconds):
    """That many seconds from now, as Retry-After may have it."""
    return email.utils.formatdate(time.time() + seconds, usegmt=True)


def gunzip(data, limit=1 << 30):
    """Of one gzip member or several; ValueError where the last is not whole or something follows it."""
    plain = bytearray()
    while data:
        member = zlib.decompressobj(wbits=31)
        try:
            plain += member.decompress(data, limit - len(plain))
        except zlib.error as error:
            raise ValueError(f"gzip: {error}") from error
        if not member.eof:
            raise ValueError("unexpected EOF")
        data = member.unused_data
    return bytes(plain)


class Standin:
    """places: parameters that say where to write, with the values there are, as {"db": "one"} or {"db": {"a", "b"}}.
    token, or user and password: what it wants. max_bytes, max_lines: of a body as sent, and of its lines. authority: it
    speaks TLS with a certificate of that one; client_authority: and wants a client's."""

    def __init__(self, kind, places, token=None, user=None, password=None, max_bytes=None, max_lines=None,
                 authority=None, certificate=None, client_authority=None, address="127.0.0.1", **options):
        self.dialect = DIALECTS[kind](**options)
        self.places = {name: {value} if isinstance(value, str) else set(value) for name, value in places.items()}
        self.credentials = self._credentials(token, user, password)
        self.max_bytes, self.max_lines = max_bytes, max_lines
        self.tls = self._tls(authority, certificate, client_authority) if authority else None
        self.lock = threading.RLock()
        self.store = Store()
        self.requests, self.complaints = [], []  # complaints: what a client of ours must never do
        self.connections = self.handshakes_failed = 0
        self.behaviours = []
        self.always = None  # a Behaviour, or a function of a Request that gives one or None
        self.address, self.port = address, 0
        self.server = None
        self.start()

    def _credentials(self, token, user, password):
        if token is not None:
            return {f"{scheme} {token}" for scheme in self.dialect.schemes if scheme != "Basic"}
        if user is not None:
            return {"Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}
        return None

    @staticmethod
    def _tls(authority, certificate, client_authority):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*(certificate or authority.server()))
        if client_authority:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(client_authority.file)
        return context

    @property
    def url(self):
        return f"{'https' if self.tls else 'http'}://{self.address}:{self.port}"

    def behave(self, *behaviours):
        """For the next requests, one each."""
        with self.lock:
            self.behaviours += behaviours

    def next_behaviour(self, request):
        with self.lock:
            if self.behaviours:
                return self.behaviours.pop(0)
        always = self.always(request) if callable(self.always) else self.always
        return always or Behaviour()

    def wait_for(self, condition, seconds=30):
        """Until it is so: the server's side of a connection takes note a little later than the client's."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                raise TimeoutError(f"not so after {seconds} s; {len(self.requests)} requests")
            time.sleep(0.02)

    def wait_for_requests(self, number, seconds=30):
        """Until that many have come."""
        self.wait_for(lambda: len(self.requests) >= number, seconds)

    # ---- its life -------------------------------------------------------------------------------------

    def start(self):
        """Also again, on the same port and with the points it had."""
        self.server = _Server(self, self.port)
        self.port = self.server.server_address[1]
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()

    def stop(self):
        """Nobody listens any more, and connections are closed."""
        if self.server is None:
            return
        self.server.stopping.set()
        self.server.shutdown()
        self.server.server_close()
        self.server.close_connections()
        self.thread.join()
        self.server = None

    close = stop

    # ---- what a write must be -------------------------------------------------------------------------

    def check_head(self, request):
        dialect = self.dialect
        path, _, query = request.target.partition("?")
        if path != dialect.path:
            raise Refused(404, f"404 page not found: {path}")
        if request.method != "POST":
            raise Refused(405, f"method {request.method}")
        self._check_headers(request.headers)
        if self.credentials is not None and request.headers.get("Authorization") not in self.credentials:
            raise Refused(401, "unauthorized access")
        if self.credentials is None and "Authorization" in request.headers:
            raise Refused(400, "Authorization where none is wanted")
        self._check_query(query)

    @staticmethod
    def _check_headers(headers):
        for name in set(map(str.lower, headers.keys())):
            if len(headers.get_all(name)) > 1:
                raise Refused(400, f"{name} twice")
        if "Transfer-Encoding" in headers or not re.fullmatch("[0-9]+", headers.get("Content-Length", "")):
            raise Refused(411, "Content-Length wanted")
        if "Expect" in headers:
            raise Refused(417, "Expect")
        if headers.get("Content-Type") != CONTENT_TYPE:
            raise Refused(415, f"Content-Type {headers.get('Content-Type')}")
        if headers.get("Content-Encoding", "gzip") != "gzip":
            raise Refused(415, f"Content-Encoding {headers['Content-Encoding']}")
        if not re.fullmatch(r"one-telemetry/[0-9.]+", headers.get("User-Agent", "")):
            raise Refused(400, f"User-Agent {headers.get('User-Agent')}")

    def _check_query(self, query):
        if not QUERY.fullmatch(query) or query.endswith("&"):
            raise Refused(400, f"no query: {query}")
        pairs = urllib.parse.parse_qsl(query, keep_blank_values=True, strict_parsing=True)
        values = dict(pairs)
        wanted = {"precision", *self.dialect.fixed, *self.places}
        if len(values) != len(pairs) or set(values) != wanted:
            raise Refused(400, f"parameters {sorted(values)} instead of {sorted(wanted)}")
        if values["precision"] not in self.dialect.precision:
            raise Refused(400, f"precision {values['precision']}")
        for name, value in self.dialect.fixed.items():
            if values[name] != value:
                raise Refused(400, f"{name} {values[name]}")
        for name, there in self.places.items():
            if values[name] not in there:
                raise Refused(*self.dialect.no_place(name, values[name]))

    def read_lines(self, request, behaviour):
        try:
            request.plain = gunzip(request.body) if request.headers.get("Content-Encoding") else request.body
            text = request.plain.decode("utf-8")
        except ValueError as error:
            raise Refused(400, str(error)) from error
        if not text.endswith("\n"):
            raise Refused(400, "the last line is not ended" if text else "an empty body")
        texts = text[:-1].split("\n")
        request.lines = len(texts)
        if self.max_lines is not None and len(texts) > self.max_lines:
            raise Refused(413, f"{len(texts)} lines")
        return [Line(number, line, "told so" if number in behaviour.refuse else None)
                for number, line in enumerate(texts, 1)]

    def complain(self, request, text):
        """Only a client's own fault: not that it is refused for want of a password, or of size."""
        with self.lock:
            self.complaints.append(f"{request.method} {request.target}: {text}")


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads, allow_reuse_address, request_queue_size = True, True, 64

    def __init__(self, standin, port):
        self.standin, self.stopping, self.open = standin, threading.Event(), set()
        super().__init__((standin.address, port), _Handler)

    def handle_error(self, request, client_address):
        """Clients that hang up are nothing to speak of."""

    def close_connections(self):
        for connection in list(self.open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version, wbufsize = "HTTP/1.1", -1

    def log_message(self, *_):
        pass

    def setup(self):
        standin = self.standin = self.server.standin
        self.server.open.add(self.request)
        with standin.lock:
            standin.connections += 1
            self.number = standin.connections
        if standin.tls:
            self.shake_hands(standin)
        super().setup()

    def shake_hands(self, standin):
        """In this connection's thread, so that a client which does not say anything holds nobody up."""
        plain = self.request
        self.request = standin.tls.wrap_socket(plain, server_side=True, do_handshake_on_connect=False)
        self.server.open.add(self.request)
        self.server.open.discard(plain)
        try:
            self.request.do_handshake()
        except OSError:  # ssl.SSLError is one
            with standin.lock:
                standin.handshakes_failed += 1
            self.server.open.discard(self.request)
            self.say_alert(socket.socket(fileno=self.request.detach()))
            raise

    @staticmethod
    def say_alert(connection):
        """Closed with something unread the alert might get lost."""
        with connection, contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_WR)
            connection.settimeout(2)
            for _ in range(64):
                if not connection.recv(65536):
                    break

    def finish(self):
        with contextlib.suppress(OSError):
            super().finish()
        self.server.open.discard(self.connection)
        with contextlib.suppress(OSError):
            self.connection.close()

    def handle_expect_100(self):
        return True

    def parse_request(self):
        """Methods are judged by check_head, all of them."""
        if not super().parse_request():
            return False
        setattr(self, "do_" + self.command, self.do_any)
        return True

    def do_any(self):
        standin = self.standin
        target = self.requestline.split()[1]  # self.path is mended already
        request = Request(self.command, target, self.headers, self.number)
        if request.method == "GET" and request.target in ("/ping", "/health"):
            self.reply(request, 204 if request.target == "/ping" else 200, b"", {}, None)
            return
        with standin.lock:
            standin.requests.append(request)
        behaviour = standin.next_behaviour(request)
        if behaviour.fault == "close_unread":
            self.close_connection = True
            return
        try:
            standin.check_head(request)
            self.read_body(request)
            lines = standin.read_lines(request, behaviour)
        except Refused as refused:
            if refused.status not in (401, 404, 413):
                standin.complain(request, refused)
            self.refuse(request, refused)
            return
        self.answer(request, lines, behaviour)

    def read_body(self, request):
        length = int(self.headers["Content-Length"])
        if self.standin.max_bytes is not None and length > self.standin.max_bytes:
            raise Refused(413, "Request Entity Too Large")
        request.body = self.rfile.read(length)
        if len(request.body) != length:
            self.close_connection = True
            raise Refused(400, f"{len(request.body)} bytes of {length}")

    def refuse(self, request, refused):
        dialect = self.standin.dialect
        self.close_connection = True
        self.reply(request, refused.status, dialect.body(refused.status, refused.message),
                   {"Connection": "close", **dialect.headers(refused.status, refused.message)}, None)
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_WR)
            self.connection.settimeout(5)
            left = DRAIN_BYTES
            while left > 0 and (got := len(self.connection.recv(65536))):
                left -= got

    def answer(self, request, lines, behaviour):
        standin, dialect = self.standin, self.standin.dialect
        status, message, more = behaviour.status, behaviour.message, {}
        with standin.lock:
            if behaviour.store:
                dialect.write(standin.store, lines)
            if status is None:
                store = standin.store if behaviour.store is None else Store()
                status, message, more = dialect.write(store, lines, behaviour.detail)
            bad = [line for line in lines if line.point is None and line.number not in behaviour.refuse]
        for line in bad:
            standin.complain(request, f"line {line.number}: {line.reason}")
        body, headers = b"", {}
        if status // 100 != 2:
            body, headers = dialect.body(status, message, **more), dialect.headers(status, message)
        if behaviour.body is not None:
            body = behaviour.body
        if behaviour.retry_after is not None:
            headers["Retry-After"] = str(behaviour.retry_after)
        if behaviour.delay:
            self.server.stopping.wait(behaviour.delay)
        self.reply(request, status, body, headers, behaviour.fault)

    def reply(self, request, status, body, headers, fault):
        request.status = status
        if fault == "garbage":
            answer = b"SSH-2.0-OpenSSH_9.2\r\n\r\n"
        else:
            answer = self.compose(status, body, headers, fault)
        if fault in ("hang", "close"):
            answer = b""
        elif fault in ("hang_within", "cut", "reset"):
            answer = answer[:len(answer) // 2]
        with contextlib.suppress(OSError):
            self.wfile.write(answer)
            self.wfile.flush()
        if fault in ("hang", "hang_within"):
            self.server.stopping.wait()
        if fault == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if fault:
            self.close_connection = True

    @staticmethod
    def compose(status, body, headers, fault):
        if fault == "short" and not body:
            body = b"ok\n"
        announced = len(body) + {"short": -1, "long": 5}.get(fault, 0)
        lines = [f"HTTP/1.1 {status} {http.client.responses.get(status, 'Status')}"]
        if announced or status != 204:
            lines.append(f"Content-Length: {announced}")
        lines += [f"{name}: {value}" for name, value in headers.items()]
        return "\r\n".join(lines).encode("latin-1", "replace") + b"\r\n\r\n" + body
