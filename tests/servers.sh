#!/usr/bin/env bash
# The servers and clients that the tests talk to, from the packages of the system. Installs what is missing where that
# needs no question (Debian or Ubuntu, as root); else says what is missing, and exits with 1.
set -euo pipefail
PATH=$PATH:/usr/sbin:/sbin  # where Debian has nginx, and not every user looks

missing=()
for needed in docker-registry:docker-registry skopeo:skopeo htpasswd:apache2-utils openssl:openssl nginx:nginx-light \
  buildah:buildah crun:crun newuidmap:uidmap chromium:chromium rclone:rclone jq:jq node:nodejs npm:npm \
  shellcheck:shellcheck zsh:zsh fish:fish; do
  command -v "${needed%%:*}" >/dev/null || missing+=("${needed##*:}")
done

if [ "${#missing[@]}" -gt 0 ]; then
  if ! command -v apt-get >/dev/null || [ "$(id -u)" -ne 0 ]; then
    echo "not installed: ${missing[*]} (on Debian: sudo apt-get install ${missing[*]})" >&2
    exit 1
  fi
  echo "installing ${missing[*]}"
  # Debian starts a server that it installs, and again with the machine. Tests start their own.
  policy=/usr/sbin/policy-rc.d
  if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
  fi
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
  for package in "${missing[@]}"; do
    case $package in
      nginx-light) update-rc.d nginx disable >/dev/null ;;
      docker-registry) update-rc.d docker-registry disable >/dev/null ;;
    esac
  done
fi

# kustomize is in no package of Debian; kubectl has it, and Go can build it.
if ! command -v kustomize >/dev/null && ! command -v kubectl >/dev/null; then
  if ! command -v go >/dev/null; then
    echo "not installed: kustomize or kubectl" >&2
    exit 1
  fi
  GOBIN=/usr/local/bin go install sigs.k8s.io/kustomize/kustomize/v5@v5.7.1
fi

# Namespaces are the kernel's to give: a container in a container may get none.
as_root=()
[ "$(id -u)" -eq 0 ] || as_root=(--user --map-root-user --map-auto)
unshare "${as_root[@]}" --mount --net true || { echo "no container can be run here" >&2; exit 1; }
