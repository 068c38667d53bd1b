#!/bin/sh
# Makes the keys in the first data directory, once, by starting a server there until it is ready, and copies them to the second.
set -eu
if [ ! -f /a/audit-signing.key ] || [ ! -f /a/development-issuer.json ] || ! ls /a/keks/*.kek >/dev/null 2>&1; then
  FABULA_DATA_DIR=/a node /fabula/dist/apps/server/src/main.js &
  server=$!
  tries=0
  while [ ! -f /a/audit-signing.key ] || [ ! -f /a/development-issuer.json ] || ! ls /a/keks/*.kek >/dev/null 2>&1; do
    tries=$((tries + 1))
    if [ "$tries" -gt 120 ] || ! kill -0 "$server" 2>/dev/null; then
      echo 'the keys were not made; the words above say why' >&2
      exit 1
    fi
    sleep 1
  done
  kill -TERM "$server"
  wait "$server" || true
fi
for key in audit-signing.key development-issuer.json; do
  [ -f "/b/$key" ] || cp -p "/a/$key" "/b/$key"
done
mkdir -p -m 700 /b/keks
cp -pn /a/keks/*.kek /b/keks/
chown -R 10001:10001 /a /b
