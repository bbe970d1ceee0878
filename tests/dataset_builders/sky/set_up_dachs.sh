#!/usr/bin/env bash
# Installs GAVO DaCHS, the TAP service that test_dachs.py talks to (Debian and its like, as root).
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive
apt-get update
apt-get install --yes --no-install-recommends postgresql
# The set-up step of DaCHS makes its database: the server must run by then.
cluster=$(pg_lsclusters --no-header | head -n 1 | awk '{print $1, $2}')
# shellcheck disable=SC2086
pg_ctlcluster $cluster start || true
apt-get install --yes --no-install-recommends gavodachs2-server
dachs --version
