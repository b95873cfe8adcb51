#!/bin/sh
# Finishes the root file system in directory $1.
set -eu
root=$1
chroot "${root}" /bin/busybox --install -s /bin
mkdir -p "${root}/usr/local/bin" "${root}/etc"
mkdir -p -m 1777 "${root}/tmp"
# kube-proxy calls iptables by its plain names; Debian leaves the choice of flavour to scripts that were not run.
for tool in iptables ip6tables; do
  for verb in '' -save -restore; do
    ln -sf xtables-nft-multi "${root}/usr/sbin/${tool}${verb}"
  done
done
