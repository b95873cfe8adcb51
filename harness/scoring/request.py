"""The value that says what is asked of a scoring service."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote

from harness.access.endpoint import Endpoint
from harness.errors import TAIL_CHARS
from harness.process.redact import redact
from harness.scoring.payloads import FormBody, to_json_text, to_json_value

# One prediction of a small model takes milliseconds; a first one may load the model. Ten seconds tell slow from hung.
DEFAULT_TIMEOUT_S = 10.0

JSON_CONTENT = "application/json"
FORM_CONTENT = "application/x-www-form-urlencoded"

# Headers that carry credentials whatever their value; matched against the whole lower-case name.
_CREDENTIAL_HEADER = re.compile(r"(proxy-)?authorization|(set-)?cookie|.*(token|secret|password|api-?key|apikey).*")
_AUTH_SCHEME = re.compile(r"(?i)(bearer|basic|digest|token)\s+")


@dataclass(frozen=True)
class ScoreRequest:
    """One HTTP request to a scoring service.

    Args:
        endpoint: where the service answers.
        path: path below the endpoint, e.g. ``/score``; may carry a query.
        payload: the body. ``None`` sends none; ``bytes`` are sent as they are; a
            :class:`~harness.scoring.payloads.FormBody` as a form; anything else is sent as JSON, e.g.
            ``{"X": [1, 2]}`` (``X``: shape ``(n_features,)``).
        method: HTTP method; ``POST`` by default, as scoring is.
        headers: headers added to the endpoint's; they win over the endpoint's and over the payload's content type.
        timeout_s: seconds from connecting to the last byte of the answer.
        connect_timeout_s: seconds for connecting alone; ``None`` leaves it all of `timeout_s`.
        secrets: values masked wherever the request is shown.

    Raises:
        PayloadError: the payload cannot be sent as JSON (NaN, a set, a key that is not text).
    """

    endpoint: Endpoint
    path: str = ""
    payload: Any = None
    method: str = "POST"
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    timeout_s: float = DEFAULT_TIMEOUT_S
    connect_timeout_s: float | None = None
    secrets: tuple[str, ...] = field(default=(), repr=False)
    _body: bytes | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "method", self.method.upper())
        if not self.timeout_s > 0:
            raise ValueError(f"timeout_s must be a positive number of seconds, got {self.timeout_s!r}")
        # Encoded once, now: what cannot be sent is refused where it was written, and later changes to a list or
        # mapping that the caller still holds do not change the request.
        body = self.payload
        if isinstance(self.payload, FormBody):
            body = self.payload.encoded()
        elif not isinstance(self.payload, (bytes, type(None))):
            object.__setattr__(self, "payload", to_json_value(self.payload))
            body = to_json_text(self.payload).encode()
        object.__setattr__(self, "_body", body)

    @property
    def url(self) -> str:
        """The full address."""
        return self.endpoint.at(self.path)

    @property
    def body(self) -> bytes | None:
        """The bytes that are sent, ``None`` for no body."""
        return self._body

    def all_headers(self) -> dict[str, str]:
        """The headers that are sent: the payload's content type, then the endpoint's, then the request's own."""
        merged: dict[str, tuple[str, str]] = {}
        content = {}
        if not isinstance(self.payload, (bytes, type(None))):
            content["Content-Type"] = FORM_CONTENT if isinstance(self.payload, FormBody) else JSON_CONTENT
        for headers in (content, self.endpoint.headers, self.headers):
            for name, value in headers.items():
                merged[name.lower()] = (name, value)
        return dict(merged.values())

    def with_timeout(self, timeout_s: float, *, connect_timeout_s: float | None = None) -> ScoreRequest:
        """Return the same request with other time limits in seconds."""
        return replace(self, timeout_s=timeout_s, connect_timeout_s=connect_timeout_s)

    def masked(self, text: str) -> str:
        """Return `text` with this request's secrets masked, also where they are escaped for JSON or for an address."""
        credentials = [
            _AUTH_SCHEME.sub("", value, count=1)
            for name, value in self.all_headers().items()
            if _CREDENTIAL_HEADER.fullmatch(name.lower())
        ]
        plain = {secret for secret in (*self.secrets, *self.endpoint.secrets, *credentials) if secret}
        in_json = {json.dumps(secret, ensure_ascii=flag)[1:-1] for secret in plain for flag in (True, False)}
        forms = plain | in_json | {quote(secret, safe="") for secret in plain}
        # Longest first: a secret that holds another one must not be left half masked.
        return redact(text, sorted(forms, key=len, reverse=True))

    def as_curl(self) -> str:
        """Return a command that sends the same request, as a person would paste it into a shell, secrets masked."""
        words = ["curl", shlex.quote(self.masked(self.url))]
        words += ["--request", self.method] if self.method != "HEAD" else ["--head"]
        for name, value in self.all_headers().items():
            shown = self.masked(f"{name}: {value}") if value else f"{name};"
            words += ["--header", shlex.quote(shown)]
        if self.endpoint.verify is False:
            words.append("--insecure")
        elif isinstance(self.endpoint.verify, str):
            words += ["--cacert", shlex.quote(self.endpoint.verify)]
        if self.endpoint.cert is not None:
            certificate, key = self.endpoint.cert
            words += ["--cert", shlex.quote(str(certificate)), "--key", shlex.quote(str(key))]
        before, data = self._curl_data()
        return " ".join([*before, *words, *data])

    def again(self) -> str:
        """Return the curl command for a message, or how to get it when it would fill more than a screen."""
        command = self.as_curl()
        if len(command) <= TAIL_CHARS:
            return command
        return f"{self} with its body of {len(self.body or b'')} bytes; as_curl() returns the whole command"

    def _curl_data(self) -> tuple[list[str], list[str]]:
        """Return what goes before curl and the options that give it the body."""
        if self.body is None:
            return [], []
        if isinstance(self.payload, FormBody):
            # curl splits such an argument at its first "=" and encodes what follows; the name it takes as it is.
            fields = [f"{quote(name, safe='')}={self.masked(text)}" for name, text in self.payload.fields.items()]
            return [], [word for field in fields for word in ("--data-urlencode", shlex.quote(field))]
        try:
            text = self.body.decode()
        except UnicodeDecodeError:
            text = "\0"
        # curl sets a form's content type unless told; requests sets none for bytes. An empty value removes the header.
        names = {name.lower() for name in self.all_headers()}
        unset = [] if "content-type" in names else ["--header", "'Content-Type:'"]
        if "\0" in text:  # no argument of a program can hold a NUL, and not every shell can write other bytes
            octal = "".join(f"\\{byte:03o}" for byte in self.body)
            return ["printf", f"'{octal}'", "|"], [*unset, "--data-binary", "@-"]
        option = "--data-raw" if text.startswith("@") else "--data"
        return [], [*unset, option, shlex.quote(self.masked(text))]

    def __str__(self) -> str:
        return self.masked(f"{self.method} {self.url}")
