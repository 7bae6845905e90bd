#!/usr/bin/env bash
# Starts PostgreSQL with its data in /var/lib/postgresql/data. The first start creates them, with the role and the
# database 'dicom_sender'. The role's password comes from the password file PGPASSFILE, which the coordinators use, too.
set -euo pipefail
umask 077

data=/var/lib/postgresql/data
if [ ! -s $data/PG_VERSION ]; then
  password=$(cut -d : -f 5 "$PGPASSFILE")
  [[ $password =~ ^[A-Za-z0-9+/=]+$ ]] || {
    echo "start.sh: '$PGPASSFILE' does not contain a password; make one with deploy/make-keys.sh" >&2
    exit 2
  }
  # Created under another name and then renamed, so that the next start repeats an interrupted initialization.
  rm -rf $data.new
  initdb --pgdata=$data.new --username=postgres --auth-local=trust --auth-host=scram-sha-256 --encoding=UTF8 \
    --locale=C.UTF-8 --data-checksums
  echo 'host dicom_sender dicom_sender all scram-sha-256' >> $data.new/pg_hba.conf
  # The single-user mode reads one statement per line. By default it does not log statements, so no log shows the
  # password.
  postgres --single -D $data.new postgres > /dev/null << SQL
create role dicom_sender login password '$password'
create database dicom_sender owner dicom_sender
SQL
  mv $data.new $data
fi
exec postgres -D $data -c listen_addresses='*' -c unix_socket_directories=/tmp
