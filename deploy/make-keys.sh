#!/usr/bin/env bash
# Makes the keys that docker-compose.yml uses: a pair for the coordinator, one for the workers, the indexers and
# dicom-ctl each, and passwords for Grafana and for the database of the profile 'ha'. The public keys of those that may
# talk to the coordinator are in clients/. What is there already is left as it is. Needs Docker and the image, no compiler.
#
#   deploy/make-keys.sh [FOLDER]        (default: KEYS_DIR of the environment or of .env, or else deploy/keys)
set -euo pipefail

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

fail() {
  echo "make-keys: $*" >&2
  exit 2
}
# setting NAME DEFAULT: as Compose would find it.
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
  # Compose takes a path as seen from its file.
  [[ $folder == /* ]] || folder=$top/${folder#./}
fi
image=$(setting IMAGE dicom-sender:local)
uid=$(setting CONTAINER_UID 10001)
gid=$(setting CONTAINER_GID 10001)

command -v docker > /dev/null || fail "there is no 'docker' command: install Docker"
answer=$(docker version --format '{{.Server.Version}}' 2>&1) || fail "Docker does not answer: ${answer##*$'\n'}"
docker image inspect "$image" > /dev/null 2>&1 ||
  fail "there is no image '$image': build it with 'docker compose build coordinator' in $top"
mkdir -p "$folder" || fail "'$folder' cannot be created: name another folder"
folder=$(cd "$folder" && pwd)
[[ $folder != *:* ]] || fail "'$folder' has a ':' in its name, which Docker cannot mount: name another folder"

# As root within the container, so that the files can be given to the user that the programs run as.
# shellcheck disable=SC2016  # these are variables of the shell in the container
docker run --rm --network none --read-only --cap-drop ALL --cap-add CHOWN --cap-add DAC_OVERRIDE --cap-add FOWNER \
  --user 0:0 --volume "$folder:/keys" --env uid="$uid" --env gid="$gid" --env shown="$folder" "$image" bash -c '
    set -euo pipefail
    cd /keys
    [ -d clients ] || { mkdir -m 755 clients; chown --reference=. clients; }
    for name in coordinator worker indexer ctl; do
      if [ -e $name.key ] && [ -e $name.key_secret ]; then
        made="left as it is"
      else
        for half in $name.key $name.key_secret; do
          if [ -e $half ]; then
            echo "make-keys: $shown/$half is there without its other half: remove it, or put the other one beside it" >&2
            exit 2
          fi
        done
        if [ $name != coordinator ] && [ -e clients/$name.key ]; then
          echo "make-keys: $shown/clients/$name.key belongs to a pair that is gone: remove it, or put the pair back" >&2
          exit 2
        fi
        dicom-ctl keygen $name > /dev/null
        made=made
      fi
      # Also for a pair that is there: an earlier run may have been interrupted, or the user of the programs is another.
      files=($name.key $name.key_secret)
      if [ $name != coordinator ]; then
        cmp -s $name.key clients/$name.key || cp $name.key clients/
        files+=(clients/$name.key)
      fi
      chown "$uid:$gid" "${files[@]}"
      echo "$name: $made"
    done
    # A password file of PostgreSQL, which wants it readable by its owner alone.
    made="left as it is"
    if [ ! -e postgresql.pgpass ]; then
      (umask 077; echo "*:*:*:dicom_sender:$(head -c 18 /dev/urandom | base64)" > postgresql.pgpass)
      made=made
    fi
    chown "$uid:$gid" postgresql.pgpass
    echo "postgresql.pgpass: $made"
    if [ -e grafana_password ]; then
      echo "grafana_password: left as it is"
    else
      (umask 077; head -c 18 /dev/urandom | base64 > grafana_password)
      chown 472:0 grafana_password # the user of the image of Grafana
      echo "grafana_password: made"
    fi'
