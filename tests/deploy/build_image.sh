#!/usr/bin/env bash
# Builds a target of the Dockerfile with podman on a base image made of Debian's packages, and prints the image's name:
# bash tests/deploy/build_image.sh gateway. Needs root, podman, runc and mmdebstrap; no container registry.
#
# pip's configuration and the certificates of this machine are lent to the build and are not part of the image.
set -euo pipefail
cd "$(dirname "$0")/../.."
target=$1
base=localhost/onepass-test/python:bookworm
image=localhost/onepass-test/$target
export CONTAINERS_CONF=$PWD/tests/deploy/containers.conf

if ! podman image exists $base; then
  mmdebstrap --quiet --variant=minbase --include=python3-venv,ca-certificates --dpkgopt=force-unsafe-io \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' bookworm - |
    podman import --quiet - $base >&2
fi

lent=()
for file in /etc/pip.conf /etc/ssl/certs/ca-certificates.crt; do
  if [ -e $file ]; then lent+=(--volume "$file:$file:ro"); fi
done
podman build --quiet --isolation chroot --network host --format docker --layers=false "${lent[@]}" \
  --build-arg PYTHON_IMAGE=$base --target "$target" --tag "$image" . >&2
echo "$image"
