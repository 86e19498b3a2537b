"""What programs are called: shells, package managers, build tools. Data, and three questions.

A name alone proves nothing: ``webhook.image.tools`` asks for names of executable files only.
"""

from __future__ import annotations

import re

_VERSION = r"(?:-?[0-9]+(?:\.[0-9]+)*)?"
"""As in ``pip3.11``, ``gcc-12``, ``zsh-5.9``."""

_SHELL = re.compile(
    rf"""(?:static-)?(?P<name>
        sh | ash | bash | rbash | dash | zsh | rzsh | ksh93 | ksh | rksh | mksh | lksh | oksh
        | loksh | pdksh | posh | yash | csh | bsd-csh | tcsh | fish | hush | lash | sash | msh
        | busybox | toybox | elvish | nu | nushell | xonsh | pwsh | powershell | osh | ysh | rc | es
        | gosh | murex
    ){_VERSION}(?:[.-](?:static|extras|suid|minimal|distrib|preview))?""",
    re.VERBOSE,
)

UNCLEAR = frozenset({"es", "nu", "rc"})
"""So short that scripts have these names by chance (``/etc/init.d/rc``): binaries only."""

_PACKAGE_MANAGER = re.compile(
    rf"""(?P<name>
        apk | apt | apt-get | aptitude | dpkg | rpm | dnf | microdnf | tdnf | yum | zypper | urpmi
        | pacman | opkg | ipkg | emerge | xbps-install | slackpkg | swupd | eopkg | nix | nix-env
        | guix | brew | flatpak | snap | pip | pipx | easy_install | uv | poetry | pdm | pipenv
        | conda | mamba | micromamba | npm | npx | yarn | yarnpkg | pnpm | pnpx | corepack | gem
        | bundle | bundler | composer | luarocks | cpan | cpanm
    ){_VERSION}(?:\.static|\.phar)?""",
    re.VERBOSE,
)

_MACHINE = (
    r"(?:(?:x86_64|i[3-6]86|aarch64|arm\w*|powerpc\w*|s390x|riscv\w*|mips\w*|loong\w*)-[\w-]+-)?"
)
"""As in ``x86_64-linux-gnu-gcc-12``."""

_BUILD_TOOL = re.compile(
    rf"""{_MACHINE}(?P<name>
        gcc | g\+\+ | cc | c\+\+ | c89 | c99 | cpp | cc1 | cc1plus | collect2 | lto1 | lto-wrapper
        | clang | clang\+\+ | clang-cpp | tcc | gfortran | gnat | ghc | nasm | yasm
        | as | ld | ld\.bfd | ld\.gold | ld\.lld | lld | mold | ar | ranlib | objcopy
        | make | gmake | cmake | ninja | samu | meson | bazel | scons | automake | autoconf
        | autoreconf | libtool | libtoolize | m4 | bison | yacc | pkg-config | pkgconf
        | git | svn | hg | gdb | gdbserver | lldb | strace
        | go | gofmt | rustc | cargo | rustup | javac | jlink | mvn | gradle | kotlinc | swiftc
    ){_VERSION}""",
    re.VERBOSE,
)

_LOADER = re.compile(rb"ld(?:64)?\.so\.[0-9]+|ld-[\w.+-]*\.so(?:\.[0-9]+)*")
"""``ld-linux-x86-64.so.2``, ``ld-musl-x86_64.so.1``, ``ld-2.31.so``, ``ld64.so.2``, ``ld.so.1``."""

APPLETS = frozenset(
    b"""
    [ [[ acpid add-shell addgroup adduser adjtimex ar arch arp arping ascii awk base32 base64
    basename bbconfig bc beep blkdiscard blkid blockdev bootchartd brctl bunzip2
    busybox-extras bzcat bzip2 cal cat chat chattr chgrp chmod chown chpasswd chpst chroot
    chrt chvt cksum clear cmp comm conspy cp cpio crc32 crond crontab cryptpw cttyhack cut
    date dc dd deallocvt delgroup deluser depmod devmem df dhcprelay diff dirname dmesg dnsd
    dnsdomainname dos2unix dpkg dpkg-deb du dumpkmap dumpleases echo ed egrep eject env envdir
    envuidgid ether-wake expand expr factor fakeidentd fallocate false fatattr fbset fbsplash
    fdflush fdformat fdisk fgconsole fgrep find findfs flock fold free freeramdisk fsck
    fsck.minix fsfreeze fstrim fsync ftpd ftpget ftpput fuser getfattr getopt getty grep
    groups gunzip gzip halt hd hdparm head hexdump hexedit hostid hostname httpd hwclock
    i2cdetect i2cdump i2cget i2cset i2ctransfer id ifconfig ifdown ifenslave ifplugd ifup
    inetd init inotifyd insmod install ionice iostat ip ipaddr ipcalc ipcrm ipcs iplink
    ipneigh iproute iprule iptunnel kbd_mode kill killall killall5 klogd last less link
    linux32 linux64 linuxrc ln loadfont loadkmap logger login logname logread losetup lpd lpq
    lpr ls lsattr lsmod lsof lspci lsscsi lsusb lzcat lzma lzop lzopcat makedevs makemime man
    md5sum mdev mesg microcom mim mkdir mkdosfs mke2fs mkfifo mkfs.ext2 mkfs.minix mkfs.reiser
    mkfs.vfat mknod mkpasswd mkswap mktemp modinfo modprobe more mount mountpoint mpstat mt mv
    nameif nanddump nandwrite nbd-client nc netcat netstat nice nl nmeter nohup nologin nproc
    nsenter nslookup ntpd od openvt partprobe passwd paste patch pgrep pidof ping ping6
    pipe_progress pivot_root pkill pmap popmaildir poweroff powertop printenv printf ps pscan
    pstree pwd pwdx raidautorun rdate rdev readahead readlink readprofile realpath reboot
    reformime remove-shell renice reset resize resume rev rfkill rm rmdir rmmod route rpm rpm2cpio
    rtcwake run-init run-parts runlevel runsv runsvdir rx script scriptreplay sed seedrng
    sendmail seq setarch setconsole setfattr setfont setkeycodes setlogcons setpriv setserial
    setsid setuidgid sha1sum sha256sum sha3sum sha512sum showkey shred shuf slattach sleep
    smemcap softlimit sort split ssl_client start-stop-daemon stat strings stty su sulogin sum
    sv svc svlogd svok swapoff swapon switch_root sync sysctl syslogd tac tail tar taskset tc
    tcpsvd tee telnet telnetd test tftp tftpd time timeout top touch tr traceroute traceroute6
    tree true truncate ts tsort tty ttysize tunctl ubiattach ubidetach ubimkvol ubirename
    ubirmvol ubirsvol ubiupdatevol udhcpc udhcpc6 udhcpd udpsvd uevent umount uname uncompress
    unexpand uniq unit unix2dos unlink unlzma unlzop unshare unxz unzip uptime users usleep
    uudecode uuencode vconfig vi vlock volname w wall watch watchdog wc wget which who whoami
    whois xargs xxd xz xzcat yes zcat zcip
    """.split()
)
"""What busybox and toybox do when called so: no shell, whatever else it is."""


def loader(base: bytes) -> bool:
    """Whether a file of this name is taken for a dynamic loader, which starts programs itself."""
    return _LOADER.fullmatch(base) is not None


def shell(base: bytes) -> str | None:
    """The shell a file of this name is taken for."""
    return _name(_SHELL, base)


def package_manager(base: bytes) -> str | None:
    """The package manager's front end a file of this name is taken for."""
    return _name(_PACKAGE_MANAGER, base)


def build_tool(base: bytes) -> str | None:
    """The compiler, linker, debugger, … a file of this name is taken for."""
    return _name(_BUILD_TOOL, base)


def _name(pattern: re.Pattern[str], base: bytes) -> str | None:
    match = pattern.fullmatch(base.decode("latin-1"))
    return match["name"] if match else None
