"""Reading and watching the API server in plain JSON.

The kubernetes client's models cost 50 to 100 ms for a namespace's events and know no custom resources; what is needed
here is the objects as the server sends them, so its connection pool and credentials are used and nothing above them.
"""

from __future__ import annotations

import contextlib
import json
import queue
import socket
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode

import urllib3
from kubernetes.client import ApiClient
from urllib3.exceptions import HTTPError

from harness.cluster.provider import ClusterHandle
from harness.deploy.release import ResourceRef
from harness.errors import ClusterError, DeployError

Body = Mapping[str, Any]

# Seconds for one request that is no watch. An API server on a busy host answers within a few.
REQUEST_TIMEOUT_S = 30.0
# The server ends a watch after this many seconds and the follower lists again: a connection that died without a
# word (a paused node, a dropped route) is noticed at the latest then.
WATCH_S = 60
# Pause between attempts to reach a server that dropped the connection.
RECONNECT_PAUSE_S = 0.2


class ApiStatusError(DeployError):
    """The API server answered a read with an error; `status` is the HTTP status."""

    def __init__(self, path: str, status: int, message: str) -> None:
        self.status = status
        super().__init__(f"read '{path}' from the API server", seen=f"HTTP {status}: {message}")


@contextlib.contextmanager
def reading(cluster: ClusterHandle | ApiClient) -> Iterator[ApiReader]:
    """Yield a reader of `cluster`; a client made for it is closed again, a client given is not."""
    if not isinstance(cluster, ClusterHandle):
        yield ApiReader(cluster)
        return
    client = cluster.api_client()
    try:
        yield ApiReader(client)
    finally:
        client.close()


def api_root(version: str) -> str:
    """Return the path below which a group version is served; of the core group it is another."""
    return f"/apis/{version}" if "/" in version else f"/api/{version}"


class ApiReader:
    """GET and watch, in JSON.

    Args:
        client: an ``ApiClient`` of the kubernetes package; its owner closes it.
    """

    def __init__(self, client: ApiClient) -> None:
        self._client = client
        self._resources: dict[str, dict[str, tuple[str, bool]]] = {}

    def get(self, path: str, **query: str) -> Any:
        """Return the object or list at `path`.

        Raises:
            ApiStatusError: the server refused, e.g. with 404.
            ClusterError: there is no server.
        """
        return json.loads(self._text(path, query))

    def exists(self, ref: ResourceRef) -> bool:
        """Whether the object is there."""
        return self.find(ref) is not None

    def find(self, ref: ResourceRef) -> Any:
        """Return the object, or ``None`` when it (or its whole kind) is not there."""
        try:
            return self.get(f"{self.collection(ref)}/{ref.name}")
        except ApiStatusError as error:
            if error.status == HTTPStatus.NOT_FOUND:
                return None
            raise

    def knows(self, ref: ResourceRef) -> bool:
        """Whether the server has objects of this kind and version at all."""
        try:
            self.collection(ref)
        except ApiStatusError as error:
            if error.status == HTTPStatus.NOT_FOUND:
                return False
            raise
        return True

    def collection(self, ref: ResourceRef) -> str:
        """Return the path of the list that holds `ref`, as the server's discovery names it."""
        root = api_root(ref.api_version)
        if ref.api_version not in self._resources:
            self._resources[ref.api_version] = {
                resource["kind"]: (resource["name"], resource["namespaced"])
                for resource in self.get(root)["resources"]
                if "/" not in resource["name"]
            }
        try:
            plural, namespaced = self._resources[ref.api_version][ref.kind]
        except KeyError:
            raise ApiStatusError(root, HTTPStatus.NOT_FOUND, f"no kind '{ref.kind}' in '{ref.api_version}'") from None
        return f"{root}/namespaces/{ref.namespace or 'default'}/{plural}" if namespaced else f"{root}/{plural}"

    def logs(self, pod: str, container: str, *, namespace: str, lines: int, previous: bool = False) -> str:
        """Return the last `lines` lines of a container's log, empty when there is none."""
        path = f"/api/v1/namespaces/{namespace}/pods/{pod}/log"
        query = {"container": container, "tailLines": str(lines), "previous": "true" if previous else "false"}
        try:
            return self._text(path, query)
        except DeployError:
            return ""

    def open_watch(self, path: str, query: Mapping[str, str], *, version: str, seconds: float) -> Watch:
        """Start watching the list at `path` from resource version `version`, for at most `seconds`."""
        asked = {
            **query,
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": version,
            "timeoutSeconds": str(max(1, int(seconds))),
        }
        # The server ends the watch first; the margin is for a server that no longer can.
        return Watch(self._request(path, asked, read_timeout_s=seconds + 10))

    def _text(self, path: str, query: Mapping[str, str]) -> str:
        try:
            response = self._request(path, query, read_timeout_s=REQUEST_TIMEOUT_S)
            return bytes(response.data).decode("utf-8", errors="replace")
        except HTTPError as error:
            raise ClusterError(
                f"read '{path}' from the API server at {self._client.configuration.host}",
                seen=str(error),
                hint="see whether the cluster's node containers still run: docker ps",
            ) from error

    def _request(self, path: str, query: Mapping[str, str], *, read_timeout_s: float) -> urllib3.BaseHTTPResponse:
        configuration = self._client.configuration
        headers = {"Accept": "application/json"}
        for setting in configuration.auth_settings().values():
            headers[setting["key"]] = setting["value"]
        response: urllib3.BaseHTTPResponse = self._client.rest_client.pool_manager.request(
            "GET",
            f"{configuration.host}{path}?{urlencode(query)}",
            headers=headers,
            preload_content=False,
            retries=False,
            timeout=urllib3.Timeout(connect=10.0, read=read_timeout_s),
        )
        if response.status >= HTTPStatus.BAD_REQUEST:
            text = bytes(response.data).decode("utf-8", errors="replace")
            response.release_conn()
            raise ApiStatusError(path, response.status, _message(text))
        return response


def _message(text: str) -> str:
    """The message of a ``v1.Status``, or the text itself when it is none."""
    try:
        return str(json.loads(text)["message"])
    except (ValueError, KeyError, TypeError):
        return text


class Watch:
    """One running watch: iterate over its events, close it from any thread.

    Ends quietly when the server ends it, raises ``HTTPError`` or ``OSError`` when the connection drops.
    """

    def __init__(self, response: urllib3.BaseHTTPResponse) -> None:
        self._response = response
        # Taken now: urllib3 forgets its connection as soon as the stream ends.
        self._socket: socket.socket | None = getattr(getattr(response, "connection", None), "sock", None)

    def __iter__(self) -> Iterator[Body]:
        buffer = b""
        for chunk in self._response.stream(amt=None, decode_content=False):
            *lines, buffer = (buffer + chunk).split(b"\n")
            for line in lines:
                if line.strip():
                    yield json.loads(line)

    def interrupt(self) -> None:
        """Make a reader blocked in another thread return: only a shutdown of the socket does that under TLS."""
        if self._socket is not None:
            with contextlib.suppress(OSError):
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def close(self) -> None:
        """Give the connection up; what the server has not sent yet is of no interest."""
        self._response.close()


@dataclass(frozen=True)
class Source:
    """A list to follow.

    Args:
        name: what the follower calls it, e.g. ``pods``.
        path: path of the list, e.g. ``/api/v1/namespaces/demo/pods``.
        query: ``labelSelector`` and ``fieldSelector``.
    """

    name: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Listed:
    source: str
    items: tuple[Body, ...]


@dataclass(frozen=True)
class _Changed:
    source: str
    event: Body


@dataclass(frozen=True)
class _Lost:
    source: str
    error: Exception


# The server could not be reached for this long: it is gone, not restarting (a kubelet brings a crashed API server
# back within about 10 s).
LOST_AFTER_FAILURES = 75


class Follower:
    """Follows several lists at once and keeps the latest state of each.

    One thread per list: the API has no watch over several kinds. A dropped connection, an expired resource version
    (410 Gone) and a watch ended by the server are all met the same way: list again and watch from there.

    Args:
        reader: how to reach the server.
        sources: the lists.
    """

    def __init__(self, reader: ApiReader, sources: tuple[Source, ...]) -> None:
        self._reader = reader
        self._sources = sources
        self._news: queue.SimpleQueue[_Listed | _Changed | _Lost] = queue.SimpleQueue()
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._open: set[Watch] = set()
        self._threads = [threading.Thread(target=self._follow, args=(source,), daemon=True) for source in sources]
        self._state: dict[str, dict[str, Body]] = {source.name: {} for source in sources}
        self._listed: set[str] = set()

    def __enter__(self) -> Follower:  # noqa: PYI034 - Self is from Python 3.11 on
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        with self._lock:
            for watch in self._open:
                watch.interrupt()
        for thread in self._threads:
            thread.join(timeout=2)

    def items(self, source: str) -> tuple[Body, ...]:
        """The latest state of a list."""
        return tuple(self._state[source].values())

    def is_complete(self) -> bool:
        """Whether every list was read at least once."""
        return len(self._listed) == len(self._sources)

    def wait_for_news(self, timeout_s: float) -> bool:
        """Take in what has happened, waiting at most `timeout_s` seconds for it; return whether anything had.

        Raises:
            DeployError: the server refuses to show a list.
            ClusterError: the server has been gone for too long.
        """
        try:
            news = self._news.get(timeout=max(0.0, timeout_s))
        except queue.Empty:
            return False
        with contextlib.suppress(queue.Empty):
            while True:
                self._take(news)
                news = self._news.get_nowait()
        return True

    def _take(self, news: _Listed | _Changed | _Lost) -> None:
        if isinstance(news, _Lost):
            raise news.error
        state = self._state[news.source]
        if isinstance(news, _Listed):
            state.clear()
            state.update((item["metadata"]["uid"], item) for item in news.items)
            self._listed.add(news.source)
            return
        uid = news.event["object"]["metadata"]["uid"]
        if news.event["type"] == "DELETED":
            state.pop(uid, None)
        else:
            state[uid] = news.event["object"]

    def _follow(self, source: Source) -> None:
        failures = 0
        while not self._stopped.is_set():
            try:
                listing = self._reader.get(source.path, **source.query)
                failures = 0
                # The server leaves kind and API version out of a list's items.
                kind = {"apiVersion": listing["apiVersion"], "kind": listing["kind"].removesuffix("List")}
                self._news.put(_Listed(source.name, tuple({**kind, **item} for item in listing["items"])))
                self._watch(source, listing["metadata"]["resourceVersion"])
            except ApiStatusError as error:
                if error.status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND}:
                    self._news.put(_Lost(source.name, error))
                    return
                # 410 Gone, 429 and 5xx: the server is there and says try again.
            except ClusterError as error:
                failures += 1
                if failures >= LOST_AFTER_FAILURES:
                    self._news.put(_Lost(source.name, error))
                    return
            except Exception as error:  # noqa: BLE001 - an interrupted socket fails in any way it likes
                if not self._stopped.is_set() and not isinstance(error, (HTTPError, OSError, ValueError)):
                    self._news.put(_Lost(source.name, error))
                    return
            self._stopped.wait(RECONNECT_PAUSE_S)

    def _watch(self, source: Source, version: str) -> None:
        watch = self._reader.open_watch(source.path, source.query, version=version, seconds=WATCH_S)
        with self._lock:
            self._open.add(watch)
        try:
            if self._stopped.is_set():
                return
            for event in watch:
                if event["type"] == "ERROR":
                    return
                if event["type"] != "BOOKMARK":
                    self._news.put(_Changed(source.name, event))
        finally:
            with self._lock:
                self._open.discard(watch)
            watch.close()
