#!/bin/bash
# Fetches the upstream archive of a Debian source package with apt's own client:
# without root, without a deb-src line in the system, and without naming a host
# (the archive is the one that this machine's own package lists come from).
#
#   apt_source.sh update            makes the index beside this script, once
#   apt_source.sh get NAME DIR      downloads source package NAME into DIR
set -euo pipefail

state="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)/apt"

if ! command -v apt-get >/dev/null; then
  echo "apt-get is not on this machine"
  exit 1
fi

apt=(apt-get -qq
  -o "Dir::Etc::SourceList=$state/sources.list" -o Dir::Etc::SourceParts=/dev/null
  -o "Dir::State::Lists=$state/lists" -o "Dir::Cache=$state/cache"
  -o "APT::Sandbox::User=$(id -un)")

case "${1:-}" in
  update)
    # shellcheck disable=SC1091
    . /etc/os-release
    mkdir -p "$state/lists/partial" "$state/cache/archives/partial"
    # shellcheck disable=SC2016  # apt's format, not the shell's
    apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' |
      awk -v r="${VERSION_CODENAME:-}" '$2 == r && $3 == "main" {print "deb-src", $1, $2, $3}' |
      sort -u >"$state/sources.list"
    "${apt[@]}" -o APT::Update::Error-Mode=any update
    if ! ls "$state"/lists/*Sources* >/dev/null 2>&1; then
      echo "apt-get found no source index of ${PRETTY_NAME:-this distribution}"
      exit 1
    fi
    ;;
  get)
    mkdir -p "$3"
    cd "$3"
    "${apt[@]}" source --download-only "$2"
    ;;
  *)
    echo "usage: apt_source.sh update | get NAME DIR"
    exit 2
    ;;
esac
