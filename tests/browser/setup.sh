#!/usr/bin/env bash
# Sees to it that there are a Chromium or Chrome and its driver; what is missing comes from Debian.
set -euo pipefail

if { command -v chromium || command -v google-chrome; } >/dev/null &&
  { command -v chromedriver || [ -x "${CHROMEWEBDRIVER:-}/chromedriver" ]; } >/dev/null; then
  exit
fi
packages=(chromium chromium-driver fonts-dejavu-core)
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
  printf 'no Chromium with its driver: install them and run again, on Debian: apt-get install %s\n' \
    "${packages[*]}" >&2
  exit 1
fi
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends "${packages[@]}" >/dev/null
