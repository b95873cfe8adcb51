"""Docker Hub's answer to whether an image has a tag, given from what a registry of ours really has.

Who asks hub.docker.com for a tag wants to know whether it is there: 200 or 404. The body of a 200 is the image's
manifest, as the registry gives it, and not Docker Hub's description of the tag.
"""

from __future__ import annotations

from dataclasses import dataclass

# What a registry may have stored an image as; one that is not asked for is answered as if it were not there.
_MANIFEST_TYPES = (
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.oci.image.index.v1+json",
)


@dataclass(frozen=True)
class DockerHub:
    """The service that answers for hub.docker.com.

    Args:
        registry: ``HOST:PORT`` of the registry, as containers on its network reach it.
        resolver: DNS server that knows HOST; Docker's own by default. It is asked at each request, since nginx would
            not even start while the registry's name is unknown.
    """

    registry: str
    resolver: str = "127.0.0.11"

    @property
    def names(self) -> tuple[str, ...]:
        """See :attr:`OutsideService.names`."""
        return ("hub.docker.com",)

    @property
    def stands_for(self) -> str:
        """See :attr:`OutsideService.stands_for`."""
        return f"the tag check of hub.docker.com: nginx, asking the cluster's own registry {self.registry}"

    @property
    def probe_path(self) -> str:
        """See :attr:`OutsideService.probe_path`; the registry may start later than the world, so nginx itself."""
        return "/"

    def server_block(self) -> str:
        """See :meth:`OutsideService.server_block`."""
        return f"""\
resolver {self.resolver} valid=5s ipv6=off;
proxy_intercept_errors on;
error_page 404 = @absent;
location ~ ^/v2/repositories/(?<repository>[^/]+/[^/]+)/tags/(?<tag>[^/]+)/?$ {{
  set $registry {self.registry};
  proxy_pass http://$registry/v2/$repository/manifests/$tag;
  proxy_set_header Accept "{", ".join(_MANIFEST_TYPES)}";
}}
location / {{ return 404; }}
location @absent {{
  default_type application/json;
  return 404 '{{"message": "object not found", "errinfo": {{}}}}';
}}
"""

    def environment(self) -> dict[str, str]:
        """See :meth:`OutsideService.environment`."""
        return {}
