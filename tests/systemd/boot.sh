#!/bin/bash
# Runs as the first process of new pid, mount, network, uts and ipc namespaces, and ends as systemd.
# $1 directory for our use (empty, made for this boot)   $2 the repository
# $3 base of the running Python   $4 site-packages of the tests' environment   $5 such as python3.11
# $6 name of the control group to make
set -eu
stage=$1 repository=$2 base=$3 site=$4 python=$5 group=$6

mount --make-rprivate /
mount -t proc proc /proc
# systemd would set some kernel settings that are not the namespaces' own.
mount --bind /proc/sys /proc/sys
mount -o remount,bind,ro /proc/sys
mount --bind /dev/null /dev/console
ip link set lo up
mount -t tmpfs -o mode=0755 tmpfs "$stage"

# What `python3 -m venv /opt/collector && /opt/collector/bin/pip install collector` would make, from
# parts that are here: an ordinary user must reach it, and may not reach the tests' environment.
cd "$stage"
library=opt/collector/lib/$python/site-packages
mkdir -p opt/collector/bin "$library" opt/python opt/site opt/src/collector opt/units
mount --bind "$base" opt/python
mount --bind "$site" opt/site
mount --bind "$repository/collector" opt/src/collector
ln -s "/opt/python/bin/$python" opt/collector/bin/python
printf 'home = /opt/python/bin\ninclude-system-site-packages = false\n' >opt/collector/pyvenv.cfg
printf '/opt/src\n/opt/site\n' >"$library/where.pth"
cat >opt/collector/bin/collector <<'PROGRAM'
#!/opt/collector/bin/python
import sys
from collector.cli import main
sys.exit(main())
PROGRAM
chmod 0755 opt/collector/bin/collector

# Only the units that are needed: with Debian's own, half of a machine would start.
for target in sysinit network nss-user-lookup sockets shutdown; do
    printf '[Unit]\nDescription=%s\nDefaultDependencies=no\n' $target >opt/units/$target.target
done
for target in basic multi-user; do
    printf '[Unit]\nDescription=%s\nWants=sysinit.target sockets.target\n' $target >opt/units/$target.target
done

# Configuration, state and sockets of this machine stay as they are: these are copies in memory.
mkdir upper work
mount -t overlay -o "lowerdir=/etc,upperdir=$stage/upper,workdir=$stage/work" overlay /etc
mount -t tmpfs -o mode=0755 tmpfs /etc/systemd/system
echo /opt/python/lib >/etc/ld.so.conf.d/collector-tests.conf

# The installation: the README's own lines, but for the environment (above) and what needs systemd.
sed -n '/^## As a service/,/^## [^A]/p' "$repository/README.md" | grep -E '^(cp|install|mkdir) ' \
    >"$stage/install"
(cd "$repository" && bash -eux "$stage/install")
test -f /etc/systemd/system/collector.service
id collector

# Standard error to a file: there is no journald here.
mkdir -p /etc/systemd/system/collector.service.d
printf '[Service]\nStandardOutput=append:/run/output\nStandardError=append:/run/output\n' \
    >/etc/systemd/system/collector.service.d/output.conf

mount --rbind opt /opt
ldconfig
cd /
mount -t tmpfs -o mode=0755 tmpfs /run
mount -t tmpfs -o mode=0755 tmpfs /var/lib
mount -t tmpfs -o mode=0700 tmpfs /root
mount -t tmpfs -o mode=0755 tmpfs /home
mount -t tmpfs -o mode=1777 tmpfs /tmp

# A control group of our own becomes the root of what systemd sees.
mkdir /run/control
mount -t cgroup2 none /run/control
mkdir "/run/control/$group"
echo 1 >"/run/control/$group/cgroup.procs"
umount /run/control

export container=collector-tests SYSTEMD_UNIT_PATH=/etc/systemd/system:/opt/units
exec unshare --cgroup sh -c '
    mount -t cgroup2 none /sys/fs/cgroup
    exec /usr/lib/systemd/systemd --system --unit=multi-user.target --log-target=null --show-status=no'
