"""S3 under Amazon's names: buckets as host names and as paths, in plain HTTP and with TLS.

Served by moto (5.2), which keeps objects in memory, checks no signature, and applies bucket policies to those who send
none: a bucket is private until it is made public, as Amazon's are.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote
from xml.etree import ElementTree as ET

import requests

from harness.errors import OutsideError

DEFAULT_REGION = "us-east-1"
_DOMAIN = "amazonaws.com"
_TIMEOUT_S = 30.0

# Whoever signs at all is let in, so that anybody's keys do; these are for clients that refuse to go without.
ANYBODY = {"AWS_ACCESS_KEY_ID": "seatrial", "AWS_SECRET_ACCESS_KEY": "not-a-secret"}

_BLOCK = """\
location / {
  proxy_pass http://127.0.0.1:5000;
  proxy_http_version 1.1;
  proxy_set_header Host $host;
  proxy_set_header X-Forwarded-Proto $scheme;
}
"""


@dataclass(frozen=True)
class S3:
    """The service that answers for S3 in one region.

    Args:
        buckets: names of buckets that are asked for under host names of their own.
        region: the region they are in.
    """

    buckets: tuple[str, ...] = ()
    region: str = DEFAULT_REGION

    @property
    def endpoint(self) -> str:
        """The region's host name."""
        return f"s3.{self.region}.{_DOMAIN}"

    @property
    def names(self) -> tuple[str, ...]:
        """See :attr:`OutsideService.names`: with and without the region, of the service and of each bucket."""
        ends = (self.endpoint, f"s3.{_DOMAIN}")
        return (*ends, *(f"{bucket}.{end}" for bucket in self.buckets for end in ends))

    @property
    def stands_for(self) -> str:
        """See :attr:`OutsideService.stands_for`."""
        return f"Amazon S3 in {self.region}: moto, objects kept in memory, signatures not checked"

    @property
    def probe_path(self) -> str:
        """See :attr:`OutsideService.probe_path`."""
        return "/"

    def server_block(self) -> str:
        """See :meth:`OutsideService.server_block`."""
        return _BLOCK

    def environment(self) -> dict[str, str]:
        """See :meth:`OutsideService.environment`."""
        return dict(ANYBODY)


@dataclass(frozen=True)
class ObjectStore:
    """The buckets of a running S3, for tests on the host.

    Args:
        address: ``HOST:PORT`` where the host reaches the world in plain HTTP.
        service: the service it serves.
    """

    address: str
    service: S3

    def create_bucket(self, bucket: str, *, public_read: bool = True) -> None:
        """Make a bucket, readable by anybody with `public_read`.

        Raises:
            OutsideError: S3 refused.
        """
        body = ""
        if self.service.region != DEFAULT_REGION:  # S3 refuses its default as a location constraint
            body = (
                '<CreateBucketConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
                f"<LocationConstraint>{self.service.region}</LocationConstraint></CreateBucketConfiguration>"
            )
        self._call("PUT", f"/{bucket}", body=body.encode())
        if public_read:
            self.set_public_read(bucket, allowed=True)

    def set_public_read(self, bucket: str, *, allowed: bool) -> None:
        """Let anybody read the bucket's objects, or nobody who does not sign.

        Raises:
            OutsideError: S3 refused.
        """
        if not allowed:
            self._call("DELETE", f"/{bucket}", query={"policy": ""})
            return
        policy = {
            "Version": "2012-10-17",
            "Statement": [
                {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{bucket}/*"}
            ],
        }
        self._call("PUT", f"/{bucket}", query={"policy": ""}, body=json.dumps(policy).encode())

    def put(self, bucket: str, key: str, content: bytes) -> None:
        """Store an object over what is there.

        Raises:
            OutsideError: S3 refused.
        """
        self._call("PUT", f"/{bucket}/{quote(key)}", body=content)

    def get(self, bucket: str, key: str) -> bytes:
        """Return an object's content.

        Raises:
            OutsideError: there is none, or S3 refused.
        """
        return self._call("GET", f"/{bucket}/{quote(key)}").content

    def keys(self, bucket: str, prefix: str = "") -> tuple[str, ...]:
        """Return the keys of the bucket's objects that begin with `prefix`, at most 1,000, sorted.

        Raises:
            OutsideError: there is no such bucket, or S3 refused.
        """
        answer = self._call("GET", f"/{bucket}", query={"list-type": "2", "prefix": prefix})
        listing = ET.fromstring(answer.text)  # noqa: S314 - written by the moto of this very run
        return tuple(sorted(str(each.text) for each in listing.iterfind("{*}Contents/{*}Key")))

    def _call(
        self, method: str, path: str, *, query: Mapping[str, str] | None = None, body: bytes = b""
    ) -> requests.Response:
        attempted = f"{method} s3:/{path} at {self.address}"
        # moto reads from the signature which service and region are meant, and does not check it.
        scope = f"{ANYBODY['AWS_ACCESS_KEY_ID']}/20200101/{self.service.region}/s3/aws4_request"
        headers = {
            "Host": self.service.endpoint,
            "Authorization": f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0",
        }
        try:
            with requests.Session() as session:
                session.trust_env = False  # no proxy and no .netrc of the user's
                answer = session.request(
                    method, f"http://{self.address}{path}", params=query, data=body, headers=headers, timeout=_TIMEOUT_S
                )
        except requests.RequestException as error:
            raise OutsideError(
                attempted, seen=str(error), hint="does the container that serves it still run (`docker ps`)?"
            ) from error
        if not answer.ok:
            raise OutsideError(
                attempted,
                seen=f"{answer.status_code}: {answer.text}",
                hint="correct the bucket's or the object's name, make it first, or see the bucket's policy",
                status=answer.status_code,
            )
        return answer
