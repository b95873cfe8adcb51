"""Deploying: raw kubectl, manifests and Helm, each returning a release value with what it made."""
