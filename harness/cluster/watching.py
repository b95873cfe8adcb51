"""Waiting for Kubernetes objects by list and watch, with a deadline."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Any

from kubernetes import watch
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

from harness.errors import ClusterNotReadyError
from harness.wait import Deadline

Object = Mapping[str, Any]
Objects = Mapping[str, Object]

# The longest time a watch runs before the caller's `hopeless` is asked again.
_LOOK_UP_S = 2.0
_GONE = 410
# An API server answers a list within a second or two; one whose node was paused never does.
_ANSWER_S = 10.0
# Pause before listing again when the API server did not answer: it may be starting.
_RETRY_S = 0.1


def name_of(item: Object) -> str:
    """Return ``namespace/name``, or the name alone for what has no namespace."""
    metadata = item["metadata"]
    namespace = metadata.get("namespace")
    return f"{namespace}/{metadata['name']}" if namespace else str(metadata["name"])


def watch_until(
    list_objects: Callable[..., Any],
    *,
    what: str,
    done: Callable[[Objects], bool],
    describe: Callable[[Objects], str],
    deadline: Deadline,
    hopeless: Callable[[], Exception | None] = lambda: None,
    hint: str = "",
) -> Objects:
    """List objects, then watch them until `done` holds for all that are there; return those.

    Args:
        list_objects: a list method of the kubernetes client with its filters bound, e.g. ``api.list_node``.
        what: completes "could not ...".
        done: whether the objects, by name, are as wanted.
        describe: what is not as wanted, for the error.
        deadline: when to give up.
        hopeless: asked every two seconds and whenever the API does not answer; an error it returns is raised.
        hint: what to try, for the error.

    Raises:
        ClusterNotReadyError: the deadline passed.
    """
    objects: dict[str, Object] = {}
    version: str | None = None
    while True:
        version, trouble = _advance(list_objects, objects, version, done=done, deadline=deadline)
        if version is not None and done(objects):
            return objects
        verdict = hopeless()
        if verdict is not None:
            raise verdict
        if deadline.has_passed():
            raise ClusterNotReadyError(
                f"{what} within {deadline.timeout_s:g} s", seen=describe(objects) + trouble, hint=hint
            )
        if version is None:
            deadline.clock.sleep(min(_RETRY_S, deadline.remaining_s()))


def read_json(call: Callable[..., Any], *args: str, timeout_s: float = 10.0) -> Any:
    """Call a read or list method of the kubernetes client and return the API's answer as parsed JSON.

    The client's own objects cost ten times as much to make as the answer costs to parse.
    """
    return json.loads(call(*args, _preload_content=False, _request_timeout=timeout_s).data)


def _advance(
    list_objects: Callable[..., Any],
    objects: dict[str, Object],
    version: str | None,
    *,
    done: Callable[[Objects], bool],
    deadline: Deadline,
) -> tuple[str | None, str]:
    """List when there is no version to watch from, else watch; return the version reached and what went wrong."""
    try:
        if version is None:
            page = read_json(list_objects, timeout_s=min(_ANSWER_S, deadline.remaining_s(at_least=1.0)))
            objects.clear()
            objects.update((name_of(item), item) for item in page["items"])
            return page["metadata"]["resourceVersion"], ""
        return _follow(list_objects, objects, version, done=done, deadline=deadline), ""
    except ApiException as error:
        return None, "" if error.status == _GONE else f"; the API server answered {error.status} {error.reason}"
    except HTTPError as error:
        return None, f"; the API server does not answer: {error}"


def _follow(
    list_objects: Callable[..., Any],
    objects: dict[str, Object],
    version: str,
    *,
    done: Callable[[Objects], bool],
    deadline: Deadline,
) -> str:
    """Apply watch events to `objects` until `done` or for a short while; return the version reached."""
    seconds = max(1, math.ceil(min(_LOOK_UP_S, deadline.remaining_s())))
    watcher: Any = watch.Watch()  # type: ignore[no-untyped-call] # the client's watch has no types
    events = watcher.stream(
        list_objects, resource_version=version, timeout_seconds=seconds, _request_timeout=(seconds, seconds + 5)
    )
    for event in events:
        item: Object = event["raw_object"]
        version = item["metadata"]["resourceVersion"]
        if event["type"] == "DELETED":
            objects.pop(name_of(item), None)
        else:
            objects[name_of(item)] = item
        if done(objects):
            watcher.stop()
            break
    return version
