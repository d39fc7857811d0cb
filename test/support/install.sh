#!/bin/sh
# Installs a package of Debian as root:
#   install.sh PACKAGE [RELEASE]
# One that this system's release lacks comes from the newer RELEASE, at the mirror that apt uses. What apt knows of that
# release it knows this once only: the system's own sources and lists stay as they are.
set -eu
# Debian would start a service.
export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1

install() {
  apt-get update -qq && apt-get install -y -qq --no-install-recommends --no-remove "$1"
}

# Suites run side by side, but apt does not.
exec 9>"${TMPDIR:-/tmp}/floodgate-install.lock"
flock 9

install "$1" && exit
[ "${2:-}" ] || exit 1
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep -v security | head -1)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkdir "$folder/lists"
# apt downloads as a user of its own.
chmod 755 "$folder"
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $2 main" >"$folder/sources.list"
cat >"$folder/apt.conf" <<END
Dir::Etc::sourcelist "$folder/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::State::lists "$folder/lists";
END
export APT_CONFIG="$folder/apt.conf"
install "$1"
