#!/usr/bin/env bash
# The servers and clients that the tests talk to, from the packages of the system. Installs what is missing where that
# needs no question (Debian or Ubuntu, as root); else says what is missing, and exits with 1.
set -euo pipefail
export PATH="$PATH:/usr/sbin"

missing=()
for needed in docker-registry:docker-registry skopeo:skopeo htpasswd:apache2-utils openssl:openssl nginx:nginx-light \
  buildah:buildah crun:crun chromium:chromium jq:jq; do
  command -v "${needed%%:*}" >/dev/null || missing+=("${needed##*:}")
done
[ "${#missing[@]}" -gt 0 ] || exit 0

if command -v apt-get >/dev/null && [ "$(id -u)" -eq 0 ]; then
  echo "installing ${missing[*]}"
  # What is installed here is started by tests, on ports of 127.0.0.1, and never as a service.
  policy=/usr/sbin/policy-rc.d
  if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod +x "$policy"
    trap 'rm -f "$policy"' EXIT
  fi
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
else
  echo "not installed: ${missing[*]} (on Debian: sudo apt-get install ${missing[*]})" >&2
  exit 1
fi
