"""The edge where scoring requests meet HTTP."""

from __future__ import annotations

import time
from http.client import HTTPException
from types import TracebackType
from typing import Protocol

import requests

from harness.errors import AccessError, EndpointNotReadyError
from harness.scoring.request import ScoreRequest
from harness.scoring.response import ScoreResponse

# 64 KiB: a scoring answer is one chunk; a large one is checked against its time limit often enough.
_CHUNK_BYTES = 65_536

NO_ANSWER_KINDS = ("connection refused", "connection reset", "timeout", "no answer")
"""How an attempt without an answer ends. ``reset`` is any connection that was cut before the answer was complete, ``no
answer`` all the rest, e.g. a name that nobody knows."""


class Transport(Protocol):
    """Sends scoring requests. :class:`harness.testing.ScriptedTransport` answers from a script."""

    def send(self, request: ScoreRequest) -> ScoreResponse:
        """Send `request` once and return the answer, whatever its status.

        Raises:
            EndpointNotReadyError: no answer came; another attempt may work. ``facts["kind"]`` says how it ended: one
                of :data:`NO_ANSWER_KINDS`.
            AccessError: no attempt can work (a certificate that is not trusted, an address that is none).
        """


class RequestsTransport:
    """Sends requests with the requests library, keeping connections open between them.

    Nothing of the environment is used (``trust_env`` is off): a proxy named there would be asked for loopback and
    cluster addresses that only this host knows, and a ``.netrc`` would add credentials nobody asked for. Redirects are
    not followed: the answer under test is the service's own, and a POST would arrive as a GET.

    Args:
        keep_alive: whether connections are kept for the next request. A kept connection leads to the same pod as
            before for as long as it lasts; a new one is routed anew by the Service.
    """

    def __init__(self, *, keep_alive: bool = True) -> None:
        self._keep_alive = keep_alive
        self._session = requests.Session()
        self._session.trust_env = False

    def send(self, request: ScoreRequest) -> ScoreResponse:
        """See :meth:`Transport.send`; nothing is retried."""
        started = time.perf_counter()
        try:
            return self._exchange(request, started)
        except requests.exceptions.SSLError as error:
            raise AccessError(
                f"send {request}",
                seen=_reason(error, request),
                hint="give the endpoint the CA file that signed the server's certificate, or verify=False",
            ) from error
        except (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema, UnicodeError) as error:
            raise AccessError(f"send {request}", seen=_reason(error, request), hint="correct the address") from error
        except requests.exceptions.InvalidHeader as error:
            raise AccessError(f"send {request}", seen=_reason(error, request), hint="correct the header") from error
        except (requests.exceptions.RequestException, OSError) as error:
            raise EndpointNotReadyError(
                f"get an answer to {request}",
                seen=_what_was_seen(error, request),
                hint=f"send it again by hand: {request.again()}",
                elapsed_s=time.perf_counter() - started,
                kind=_kind(error),
            ) from error
        finally:
            if not self._keep_alive:
                self._session.close()  # closes the connections only: the session itself can be used again

    def _exchange(self, request: ScoreRequest, started: float) -> ScoreResponse:
        certificate = request.endpoint.cert
        with self._session.request(
            request.method,
            request.url,
            headers=request.all_headers() if self._keep_alive else {**request.all_headers(), "Connection": "close"},
            data=request.body,
            timeout=(request.connect_timeout_s or request.timeout_s, request.timeout_s),
            verify=request.endpoint.verify,
            cert=(str(certificate[0]), str(certificate[1])) if certificate else None,
            allow_redirects=False,
            stream=True,
        ) as answer:
            body = bytearray()
            for chunk in answer.iter_content(_CHUNK_BYTES):
                body += chunk
                # requests' own limit is per read: an answer that trickles in would never reach it.
                if time.perf_counter() - started > request.timeout_s:
                    raise requests.exceptions.ReadTimeout(f"{len(body)} bytes of the answer came, but not its end")
            return ScoreResponse(
                request, answer.status_code, answer.headers, bytes(body), time.perf_counter() - started
            )

    def close(self) -> None:
        """Close the connections kept open."""
        self._session.close()

    def __enter__(self) -> RequestsTransport:  # noqa: PYI034 - Self is from Python 3.11 on
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _what_was_seen(error: Exception, request: ScoreRequest) -> str:
    """Say how the attempt ended, and what the way to the service knows about it."""
    if isinstance(error, requests.exceptions.ConnectTimeout):
        seen = f"no connection within {request.connect_timeout_s or request.timeout_s:g} s"
    elif _kind(error) == "timeout":
        seen = f"no complete answer within {request.timeout_s:g} s"
    else:
        seen = _reason(error, request)
    diagnosis = request.endpoint.diagnose()
    return f"{seen}\n{request.masked(diagnosis)}" if diagnosis else seen


def _kind(error: Exception) -> str:
    """Return which of :data:`NO_ANSWER_KINDS` it is."""
    cause = _innermost(error)
    if isinstance(error, requests.exceptions.Timeout) or isinstance(cause, TimeoutError):
        return "timeout"
    if isinstance(cause, ConnectionRefusedError):
        return "connection refused"
    if isinstance(cause, (ConnectionError, HTTPException)):
        return "connection reset"
    return "no answer"


def _reason(error: BaseException, request: ScoreRequest) -> str:
    """Return the innermost cause in words: the outer ones repeat it in the terms of their own library."""
    cause = _innermost(error)
    text = cause.strerror if isinstance(cause, OSError) and cause.strerror else str(cause)
    return request.masked(f"{text or type(cause).__name__} ({type(cause).__name__})")


def _innermost(error: BaseException) -> BaseException:
    inner = error.__cause__ or error.__context__
    return error if inner is None else _innermost(inner)
