#!/bin/sh
# Finishes the root file system in directory $1.
set -eu
# Debian asks pip to stay out of its directories (PEP 668); in python:3.11-slim, which this stands in for, pip may.
rm -f "$1"/usr/lib/python3*/EXTERNALLY-MANAGED
