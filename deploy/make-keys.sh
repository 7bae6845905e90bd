#!/usr/bin/env bash
# Makes the keys that docker-compose.yml uses: one pair each for the coordinator, the workers, the indexers, and
# dicom-ctl, and passwords for Grafana and for the database of the profile 'ha'. The public keys of the clients that may
# connect to the coordinator are in clients/. Leaves existing keys unchanged. Needs Docker and the image, no compiler.
#
#   deploy/make-keys.sh [FOLDER]        (default: KEYS_DIR from the environment or .env, otherwise deploy/keys)
set -euo pipefail

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

fail() {
  echo "make-keys: $*" >&2
  exit 2
}
# setting NAME DEFAULT: looks in the same places as Compose.
setting() {
  local value=${!1:-}
  if [ -z "$value" ] && [ -f "$top/.env" ]; then
    value=$(sed -n "s/^$1=\(.*\)$/\1/p" "$top/.env" | tail -n 1)
    value=${value%[\"\']}
    value=${value#[\"\']}
  fi
  echo "${value:-$2}"
}

folder=${1:-}
if [ $# -gt 1 ] || [[ $folder == -* ]]; then fail "usage: deploy/make-keys.sh [FOLDER]"; fi
if [ -z "$folder" ]; then
  folder=$(setting KEYS_DIR deploy/keys)
  # Compose resolves a path relative to its own file.
  [[ $folder == /* ]] || folder=$top/${folder#./}
fi
image=$(setting IMAGE dicom-sender:local)
uid=$(setting CONTAINER_UID 10001)
gid=$(setting CONTAINER_GID 10001)

command -v docker > /dev/null || fail "docker: command not found; install Docker"
answer=$(docker version --format '{{.Server.Version}}' 2>&1) || fail "Docker does not answer: ${answer##*$'\n'}; start it, or join its group"
docker image inspect "$image" > /dev/null 2>&1 ||
  fail "image '$image' does not exist; build it with 'docker compose build coordinator' in $top"
mkdir -p "$folder" || fail "'$folder' cannot be created; name another folder"
folder=$(cd "$folder" && pwd)
[[ $folder != *:* ]] || fail "'$folder' has a ':' in its name, which Docker cannot mount; name another folder"

# The container runs as root, so that it can give the files to the user that the programs run as.
# shellcheck disable=SC2016  # these are variables of the shell in the container
docker run --rm --network none --read-only --cap-drop ALL --cap-add CHOWN --cap-add DAC_OVERRIDE --cap-add FOWNER \
  --user 0:0 --volume "$folder:/keys" --env uid="$uid" --env gid="$gid" --env shown="$folder" "$image" bash -c '
    set -euo pipefail
    cd /keys
    [ -d clients ] || { mkdir -m 755 clients; chown --reference=. clients; }
    for name in coordinator worker indexer ctl; do
      if [ -e $name.key ] && [ -e $name.key_secret ]; then
        made="left unchanged"
      else
        for half in $name.key $name.key_secret; do
          if [ -e $half ]; then
            echo "make-keys: $shown/$half exists without its other half; remove it, or put the other half beside it" >&2
            exit 2
          fi
        done
        if [ $name != coordinator ] && [ -e clients/$name.key ]; then
          echo "make-keys: $shown/clients/$name.key belongs to a missing pair; remove it, or restore the pair" >&2
          exit 2
        fi
        dicom-ctl keygen $name > /dev/null
        made=made
      fi
      # Also for an existing pair: an earlier run may have been interrupted, or CONTAINER_UID may have changed.
      files=($name.key $name.key_secret)
      if [ $name != coordinator ]; then
        cmp -s $name.key clients/$name.key || cp $name.key clients/
        files+=(clients/$name.key)
      fi
      chown "$uid:$gid" "${files[@]}"
      echo "$name: $made"
    done
    # A password file for PostgreSQL, which ignores it if other users can read it.
    made="left unchanged"
    if [ ! -e postgresql.pgpass ]; then
      (umask 077; echo "*:*:*:dicom_sender:$(head -c 18 /dev/urandom | base64)" > postgresql.pgpass)
      made=made
    fi
    chown "$uid:$gid" postgresql.pgpass
    echo "postgresql.pgpass: $made"
    if [ -e grafana_password ]; then
      echo "grafana_password: left unchanged"
    else
      (umask 077; head -c 18 /dev/urandom | base64 > grafana_password)
      chown 472:0 grafana_password # the user of the Grafana image
      echo "grafana_password: made"
    fi'
