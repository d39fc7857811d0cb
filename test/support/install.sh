#!/bin/sh
# Installs a Debian package as root:
#   install.sh PACKAGE [RELEASE [VERSION FOLDER]]
# If this system's release lacks the package, or has one older than VERSION, it comes from the newer RELEASE, from apt's mirror.
# apt reads that release's lists only for this call: the system's own sources and lists do not change. If the package's
# libraries would replace the system's, it is unpacked with them below FOLDER, and FOLDER/bin has its programs.
set -eu
# Keeps Debian from starting services.
export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1

install() {
  apt-get install -y -qq --no-install-recommends --no-remove "$1"
}

# Suites run in parallel, but apt cannot.
exec 9>"${TMPDIR:-/tmp}/floodgate-install.lock"
flock 9

# Another suite may have been first.
if [ -d "${4:-}" ]; then exit; fi

apt-get update -qq
# Without its epoch, which VERSION does not have.
candidate=$(apt-cache policy "$1" | sed -En 's/^ *Candidate: *([0-9]+:)?([0-9].*)/\2/p')
if [ "$candidate" ] && dpkg --compare-versions "$candidate" ge "${3:-0}" && install "$1"; then exit; fi
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
apt-get update -qq
install "$1" && exit
[ "${4:-}" ] || exit 1

needs() { apt-cache depends --important "$@" | sed -n 's/^ *\(Pre\)*Depends: \(lib.*\)/\2/p'; }
mkdir "$folder/packages"
(cd "$folder/packages" && apt-get download -qq "$1" $(apt-cache depends --recurse --important $(needs "$1") | grep '^lib'))
for package in "$folder"/packages/*.deb; do dpkg-deb -x "$package" "$folder/root"; done
mkdir -p "$folder/root/bin" "$(dirname "$4")"
loader=$(cd "$folder/root" && find . -name 'ld-linux*' | head -1)
libraries=$(cd "$folder/root" && dirname "$(find . -name libc.so.6)")
for program in "$folder"/root/usr/bin/* "$folder"/root/usr/sbin/* "$folder"/root/usr/lib/postgresql/*/bin/*; do
  [ -x "$program" ] && [ ! -L "$program" ] || continue
  name=$(basename "$program")
  printf '#!/bin/sh\nexec %s --library-path %s %s "$@"\n' "$4/$loader" "$4/$libraries" "$4/${program#"$folder"/root/}" >"$folder/root/bin/$name"
  chmod 755 "$folder/root/bin/$name"
done
chmod 755 "$folder/root"
mv "$folder/root" "$4"
