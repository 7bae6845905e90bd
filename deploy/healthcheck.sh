#!/usr/bin/env bash
# Succeeds if a port of this machine answers a GET with 200. The health checks of the containers use it, because their
# images do not contain curl.
#
#   healthcheck.sh [PATH [PORT]]        (default: /readyz 9464)
set -euo pipefail

path=${1:-/readyz}
port=${2:-9464}

exec 3<> "/dev/tcp/127.0.0.1/$port"
# With HTTP/1.0, the server closes the connection after its answer.
printf 'GET %s HTTP/1.0\r\nHost: localhost\r\n\r\n' "$path" >&3
read -r -t 5 _ status _ <&3
timeout 5 cat <&3 > /dev/null # some servers log an error if a client hangs up early
[ "$status" = 200 ] || {
  echo "$path answered $status"
  exit 1
}
