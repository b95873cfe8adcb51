#!/bin/sh
# Finishes the root file system in directory $1. Variables named REGISTRY_... override what is written here.
set -eu
mkdir -p "$1/etc/docker/registry" "$1/var/lib/registry"
mkdir -p -m 1777 "$1/tmp"
cat >"$1/etc/docker/registry/config.yml" <<'YAML'
version: 0.1
log:
  level: warn
  accesslog:
    disabled: true
storage:
  filesystem:
    rootdirectory: /var/lib/registry
  delete:
    enabled: true
  cache:
    blobdescriptor: inmemory
http:
  addr: :5000
YAML
