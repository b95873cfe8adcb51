"""nginx's configuration: every public name of a world answered at one address, in plain HTTP and with TLS."""

from __future__ import annotations

from collections.abc import Sequence

from harness.outside.service import OutsideService

CONFIG_PATH = "/etc/seatrial/nginx.conf"
CHAIN_PATH = "/etc/seatrial/server.pem"
KEY_PATH = "/etc/seatrial/server.key"

HTTP_PORT = 80
HTTPS_PORT = 443

# Names that nothing stands in for are refused (421, RFC 9110 15.5.20: not authoritative), so that a forgotten stand-in
# is not mistaken for one that knows nothing.
_HEAD = f"""\
# error_log and access_log go to the container's log, which the evidence of a failed run quotes.
error_log /dev/stderr warn;
# All there is in the container is root's, the repositories and the socket to git included.
user root;
pid /run/nginx.pid;
worker_processes 1;
events {{ worker_connections 256; }}
http {{
  log_format brief '$time_iso8601 $scheme://$host$request_uri $request_method $status $body_bytes_sent bytes';
  access_log /dev/stdout brief;
  default_type application/octet-stream;
  types {{ text/html html; application/json json; }}
  client_max_body_size 0;
  server_names_hash_bucket_size 256;
  ssl_certificate {CHAIN_PATH};
  ssl_certificate_key {KEY_PATH};
  server {{
    listen {HTTP_PORT} default_server;
    listen {HTTPS_PORT} ssl default_server;
    return 421 "nothing stands in for $host here\\n";
  }}
"""


def nginx_config(services: Sequence[OutsideService]) -> str:
    """Return the whole configuration for `services`.

    Raises:
        ValueError: two of them answer to the same name.
    """
    taken: set[str] = set()
    for service in services:
        twice = taken.intersection(service.names)
        if twice:
            raise ValueError(f"two services answer to {', '.join(sorted(twice))}")
        taken.update(service.names)
    return _HEAD + "".join(_server(service) for service in services) + "}\n"


def _server(service: OutsideService) -> str:
    lines = [
        f"listen {HTTP_PORT};",
        f"listen {HTTPS_PORT} ssl;",
        f"server_name {' '.join(service.names)};",
        *service.server_block().strip().splitlines(),
    ]
    return "  server {\n" + "".join(f"    {line}\n" for line in lines) + "  }\n"
