#!/bin/sh
# Checks everything in deploy/ that can be checked without a container engine: installs what that needs from Debian
# (docker-compose and kubectl, which read files and talk to nobody; iproute2, util-linux, openssl and psql), then runs the
# tests. As root they also run a whole node as its containers would (conformance/deploy/node-in-containers.test.ts). The
# kubectl of Debian 12 is too old to read the overlays: where it is the only one, that part says so and is skipped.
#
#   deploy/check.sh [--no-install]
set -eu
cd "$(dirname "$0")/.."
missing=''
need() { command -v "$1" >/dev/null 2>&1 || missing="$missing $2"; }
need docker-compose docker-compose
need kubectl kubernetes-client
need unshare util-linux
need setpriv util-linux
need ip iproute2
need openssl openssl
need psql postgresql-client
if [ -n "$missing" ] && [ "${1:-}" != --no-install ]; then
  [ "$(id -u)" = 0 ] && sudo='' || sudo=sudo
  # shellcheck disable=SC2086
  $sudo apt-get update -qq && $sudo apt-get install -y -qq --no-install-recommends $missing
fi
for tool in docker-compose kubectl unshare setpriv ip openssl psql; do
  command -v "$tool" >/dev/null 2>&1 || echo "$tool is not installed: what needs it is skipped." >&2
done
exec npx vitest run conformance/deploy conformance/supply-chain
