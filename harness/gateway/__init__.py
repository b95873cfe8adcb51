"""The gateway in front of scoring services: real data plane, stand-in for Ambassador and for ingress-nginx.

:mod:`~harness.gateway.routes` turns what was written for those two into routes of the Gateway API,
:mod:`~harness.gateway.controller` does so continuously in a pod, :mod:`~harness.gateway.contour` installs all of it.
The first two travel into the controller's image: they import nothing else of this package.
"""
