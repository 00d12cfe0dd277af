#!/bin/sh
# Captures what memtype doctor reads of a Linux host, for machines without Node:
#
#   sh memtype-capture.sh > host.json         every process that runs a VM
#   sh memtype-capture.sh --pid PID > host.json
#   sh memtype-capture.sh --list              the paths that are read
#
# and, where Node is: memtype doctor host.json
#
# Needs sh, awk, sed, od, dd, ls, readlink, cat, sleep and uname (those of busybox will do); perl or python3 ask
# /dev/kvm and read MSRs, and without them these are said to be not read. Nothing is written but standard
# output. What identifies people is masked, and the file says what. What was refused stands on standard error;
# the exit code is 0 even so.

LC_ALL=C
export LC_ALL
TOOL='memtype @VERSION@'
# Another root directory, for tests.
ROOT=${MEMTYPE_ROOT-}
# Seconds that one read of a process may take.
PATIENCE=4
# Places of a mapping that are tried until one holds a page; mappings of which one is looked up.
PROBES=8
SAMPLES=48

list() {
  cat <<'LIST'
/proc/cpuinfo
/proc/version
/proc/version_signature
/proc/cmdline
/proc/modules
/proc/self/mounts
/proc/mtrr
/proc/iomem
/proc/2/comm
/dev/kmsg
/dev/cpu/0/msr
/dev/kvm
/sys/firmware/memmap
/sys/firmware/memmap/N/start
/sys/firmware/memmap/N/end
/sys/firmware/memmap/N/type
/sys/module
/sys/module/MODULE/parameters/NAME
/sys/devices
/sys/bus/pci
/sys/class/iommu
/sys/class/iommu/UNIT/intel-iommu/ecap
/sys/class/drm
/sys/class/drm/CARD/device/driver
/sys/class/drm/CARD/device
/sys/class/drm/CARD/device/NAME
/sys/bus/virtio/devices
/sys/bus/virtio/devices/NAME/device
/sys/bus/virtio/devices/NAME/features
/sys/bus/pci/drivers/vfio-pci
/sys/bus/pci/devices
/sys/bus/pci/devices/ADDRESS/vendor
/sys/bus/pci/devices/ADDRESS/device
/sys/bus/pci/devices/ADDRESS/class
/sys/bus/pci/devices/ADDRESS/config
/sys/bus/pci/devices/ADDRESS/iommu
/sys/bus/pci/devices/ADDRESS/driver
/sys/bus/pci/devices/ADDRESS/resource
/sys/kernel/iommu_groups/GROUP/devices
/sys/class/vfio-dev/NAME/device
/sys/kernel/security/lockdown
MOUNT/dri/N/amdgpu_gem_info
MOUNT/x86/pat_memtype_list
/run/libvirt/qemu
/run/libvirt/qemu/NAME.xml
/proc
/proc/PID/comm
/proc/PID/cmdline
/proc/PID/exe
/proc/PID/fd
/proc/PID/fdinfo/FD
/proc/PID/maps
/proc/PID/smaps
/proc/PID/pagemap
/proc/kpageflags
LIST
}

ONLY=
case ${1-} in
  '') ;;
  --list)
    list
    exit 0
    ;;
  --pid)
    case ${2-} in
      '' | 0* | *[!0-9]* | ????????*)
        echo "error: --pid takes the number of a process" >&2
        exit 2
        ;;
    esac
    ONLY=$2
    ;;
  *)
    echo "usage: sh memtype-capture.sh [--pid PID | --list]" >&2
    exit 2
    ;;
esac

# ---- what is read, as lines for the program at the end --------------------------------------------
# A line of content begins with a blank, any other line is a mark of this script:
#   T PATH FORM   a text begins; D PATH  a list of names; F PATH  links of a directory ("NAME TARGET")
#   .             it ends;       X REASON DETAIL  it could not be read
#   L PATH TARGET, B KEY HEX, V NAME NUMBER, U NAME VALUE: single values; R KIND PATH REASON DETAIL

TAB=$(printf '\t')
mark() {
  out=$1
  shift
  for word; do
    case $word in *[!\ -~]*) word=x ;; esac
    out=$out$TAB$word
  done
  printf '%s\n' "$out"
}

# Why a file cannot be read: sets REASON and DETAIL.
why() {
  case $1 in
    *'No such file'*) REASON=absent DETAIL=ENOENT ;;
    *'No such process'*) REASON=absent DETAIL=ESRCH ;;
    *'No such device or address'*) REASON=absent DETAIL=ENXIO ;;
    *'No such device'*) REASON=absent DETAIL=ENODEV ;;
    *'Not a directory'*) REASON=absent DETAIL=ENOTDIR ;;
    *'Permission denied'*) REASON=denied DETAIL=EACCES ;;
    *'not permitted'*) REASON=denied DETAIL=EPERM ;;
    *'nput/output'* | *'I/O error'*) REASON=error DETAIL=EIO ;;
    *) REASON=error DETAIL=EINVAL ;;
  esac
}

TICKS=0
READ_LINES='BEGIN { f = ENVIRON["F"]; while ((r = (getline line < f)) > 0) print " " line; if (r < 0) exit 9 }'

# Waits for the job that was started last, and leaves it behind when it does not end: STATUS is then timeout.
await() {
  job=$!
  end=$((TICKS + PATIENCE + 1))
  while :; do
    wait "$job" 2>/dev/null
    STATUS=$?
    [ "$STATUS" -le 128 ] && return
    if [ "$TICKS" -ge "$end" ]; then
      kill -9 "$job" 2>/dev/null
      STATUS=timeout
      return
    fi
    # It may have ended as the signal came: its own status is asked for again.
    kill -0 "$job" 2>/dev/null || {
      wait "$job" 2>/dev/null
      STATUS=$?
      return
    }
  done
}

# Reads a file: $1 is lines or hex.
patiently() {
  F=$2
  export F
  if [ "$1" = hex ]; then
    od -An -v -tx1 "$F" 2>/dev/null &
  else
    awk "$READ_LINES" 2>/dev/null &
  fi
  await
  case $STATUS in
    0)
      mark .
      return 0
      ;;
    timeout)
      mark X timeout "$PATIENCE s"
      return 1
      ;;
  esac
  why "$(cat "$F" 2>&1 >/dev/null)"
  mark X "$REASON" "$DETAIL"
  return 1
}

# text PATH FORM
text() {
  mark T "$1" "$2"
  if [ -e "$ROOT$1" ]; then
    patiently lines "$ROOT$1"
  else
    mark X absent ENOENT
  fi
}

# names PATH: the names in a directory, as lines; they stay in NAMES, too.
names() {
  mark D "$1"
  NAMES=
  if [ ! -d "$ROOT$1" ]; then
    mark X absent ENOENT
  elif [ ! -r "$ROOT$1" ] || [ ! -x "$ROOT$1" ]; then
    mark X denied EACCES
  else
    for entry in "$ROOT$1"/*; do
      [ -e "$entry" ] || [ -h "$entry" ] || continue
      name=${entry##*/}
      case $name in *[!A-Za-z0-9_.:-]*) continue ;; esac
      NAMES="$NAMES $name"
      printf ' %s\n' "$name"
    done
    mark .
  fi
}

NL='
'
# Sets LINK to the target of a symbolic link, also one with a line end at its end.
follow() {
  LINK=$(readlink "$1" 2>/dev/null && echo .) || return 1
  LINK=${LINK%"$NL."}
}

# link PATH: sets TARGET
link() {
  TARGET=
  if [ -h "$ROOT$1" ]; then
    if follow "$ROOT$1"; then
      TARGET=$LINK
      mark L "$1" "$TARGET"
    else
      mark R links "$1" denied EACCES
    fi
  elif [ -e "$ROOT$1" ]; then
    mark R links "$1" error EINVAL
  else
    mark R links "$1" absent ENOENT
  fi
}

machine() {
  text /proc/self/mounts mounts
  text /proc/cpuinfo cpuinfo
  text /proc/version version
  text /proc/version_signature signature
  text /proc/cmdline options
  text /proc/modules modules
  text /proc/mtrr plain
  text /proc/iomem iomem
  text /proc/2/comm kthreadd
  text /sys/kernel/security/lockdown lockdown
}

# Each read of /dev/kmsg gives a record, and the one after the last waits: it is ended after two seconds.
kernel_log() {
  F=$ROOT/dev/kmsg
  mark T /dev/kmsg log
  if [ ! -e "$F" ]; then
    mark X absent ENOENT
  elif [ ! -c "$F" ]; then
    patiently lines "$F"
  elif why "$(dd if="$F" bs=8192 count=1 2>&1 >/dev/null)" && [ "$REASON" = denied ]; then
    mark X "$REASON" "$DETAIL"
  else
    {
      dd if="$F" bs=8192 2>/dev/null &
      job=$!
      sleep 2
      kill "$job" 2>/dev/null
    } | sed 's/^/ /'
    mark .
  fi
}

PYTHON='
import fcntl, os, sys
def say(name, value): print("V\t%s\t%d" % (name, value))
try:
    fd = os.open("/dev/kvm", os.O_RDWR)
    say("api", fcntl.ioctl(fd, 0xAE00, 0))
    for n in (116, 213, 236, 239): say(n, fcntl.ioctl(fd, 0xAE03, n))
except OSError: pass
try:
    fd = os.open("/dev/cpu/0/msr", os.O_RDONLY)
    for n in (0x277, 0x2ff):
        b = os.pread(fd, 8, n)
        print("B\t/dev/cpu/0/msr %d 8\t%s" % (n, "".join("%02x" % c for c in b)))
except OSError: pass
'
PERL='
if (sysopen(F, "/dev/kvm", 2)) {
  print "V\tapi\t", ioctl(F, 0xAE00, 0) + 0, "\n";
  for (116, 213, 236, 239) { $v = ioctl(F, 0xAE03, $_); print "V\t$_\t", $v + 0, "\n" if defined $v }
}
if (open(M, "<", "/dev/cpu/0/msr")) {
  for (0x277, 0x2ff) {
    print "B\t/dev/cpu/0/msr $_ 8\t", unpack("H*", $b), "\n" if sysseek(M, $_, 0) && sysread(M, $b, 8) == 8
  }
}
'

refuse_kvm() {
  for name in api 116 213 236 239; do mark R kvm "$name" "$1" "$2"; done
}

# Questions that only a program with ioctl and pread can ask.
ask() {
  answers=
  if [ -z "$ROOT" ]; then
    if command -v python3 >/dev/null 2>&1; then
      answers=$(python3 -c "$PYTHON" 2>/dev/null)
    fi
    if [ -z "$answers" ] && command -v perl >/dev/null 2>&1; then
      answers=$(perl -e "$PERL" 2>/dev/null)
    fi
  fi
  [ -z "$answers" ] || printf '%s\n' "$answers"
  case $answers in
    *api*) ;;
    *)
      if [ ! -e "$ROOT/dev/kvm" ]; then
        refuse_kvm absent ENOENT
      elif [ ! -r "$ROOT/dev/kvm" ] || [ ! -w "$ROOT/dev/kvm" ]; then
        refuse_kvm denied EACCES
      else
        refuse_kvm error 'the ioctl needs perl or python3'
      fi
      ;;
  esac
  case $answers in
    *cpu/0/msr*) ;;
    *)
      if [ ! -e "$ROOT/dev/cpu/0/msr" ]; then
        REASON=absent DETAIL=ENOENT
      elif [ ! -r "$ROOT/dev/cpu/0/msr" ]; then
        REASON=denied DETAIL=EACCES
      else
        REASON=error DETAIL='needs perl or python3, and CAP_SYS_RAWIO'
      fi
      mark R bytes '/dev/cpu/0/msr 631 8' "$REASON" "$DETAIL"
      mark R bytes '/dev/cpu/0/msr 767 8' "$REASON" "$DETAIL"
      ;;
  esac
}

modules() {
  names /sys/module
  vendors=
  for module in $NAMES; do
    case $module in kvm_*) vendors="$vendors $module" ;; esac
  done
  for module in kvm $vendors; do
    for name in ept npt nested tdp_mmu; do
      text "/sys/module/$module/parameters/$name" word
    done
  done
}

firmware() {
  names /sys/firmware/memmap
  for n in $NAMES; do
    for file in start end type; do text "/sys/firmware/memmap/$n/$file" plain; done
  done
}

# A node of a GPU; of an amdgpu card also its buffers.
gpu() {
  case ${1#card} in *[!0-9]*) case ${1#renderD} in *[!0-9]*) return ;; esac ;; esac
  at=/sys/class/drm/$1/device
  link "$at/driver"
  driver=${TARGET##*/}
  link "$at"
  for file in vendor device class boot_vga; do text "$at/$file" word; done
  case $driver.$1 in
    amdgpu.card*) text "$(debugfs)/dri/${1#card}/amdgpu_gem_info" gem ;;
  esac
}

devices() {
  names /sys/devices
  names /sys/bus/pci
  names /sys/class/iommu
  for unit in $NAMES; do
    case $unit in dmar*) text "/sys/class/iommu/$unit/intel-iommu/ecap" word ;; esac
  done
  names /sys/class/drm
  for card in $NAMES; do
    case $card in
      *-*) ;;
      card[0-9]* | renderD[0-9]*) gpu "$card" ;;
    esac
  done
  names /sys/bus/virtio/devices
  for name in $NAMES; do
    text "/sys/bus/virtio/devices/$name/device" word
    text "/sys/bus/virtio/devices/$name/features" word
  done
  names /sys/bus/pci/drivers/vfio-pci
}

# The first 256 bytes of a configuration space; without rights the kernel gives 64.
config() {
  if [ ! -r "$ROOT$1" ]; then
    mark R bytes "$1 0 256" absent ENOENT
  else
    mark B "$1 0 256" "$(od -An -v -tx1 -N 256 "$ROOT$1" 2>/dev/null | awk '{ gsub(/ /, ""); printf "%s", $0 }')"
  fi
}

# Every PCI device, 1024 at most; they stay in PCI.
pci_devices() {
  names /sys/bus/pci/devices
  PCI=' '
  n=0
  for device in $NAMES; do
    case $device in *:*:*.*) ;; *) continue ;; esac
    n=$((n + 1))
    [ "$n" -le 1024 ] || break
    PCI="$PCI$device "
    at=/sys/bus/pci/devices/$device
    for file in vendor device class; do text "$at/$file" word; done
    text "$at/resource" plain
    link "$at/driver"
    vendor=
    [ ! -r "$ROOT$at/vendor" ] || read -r vendor <"$ROOT$at/vendor" || :
    case $vendor in 0x1af4) config "$at/config" ;; esac
  done
}

# Where debugfs is mounted: on its usual place, else on the first other.
debugfs() {
  [ -r "$ROOT/proc/self/mounts" ] || {
    echo /sys/kernel/debug
    return
  }
  awk '$3 == "debugfs" && $2 ~ /^\// { if (first == "") first = $2; if ($2 == "/sys/kernel/debug") first = $2; }
    first == "/sys/kernel/debug" { exit }
    END { print first == "" ? "/sys/kernel/debug" : first }' "$ROOT/proc/self/mounts"
}

# Domains that run, 1024 at most.
libvirt() {
  at=/run/libvirt/qemu
  mark D "$at" domains
  if [ ! -d "$ROOT$at" ]; then
    mark X absent ENOENT
    return
  elif [ ! -r "$ROOT$at" ] || [ ! -x "$ROOT$at" ]; then
    mark X denied EACCES
    return
  fi
  for file in "$ROOT$at"/*.xml; do
    name=${file##*/}
    case $name in '*.xml' | *[!\ -~]*) continue ;; esac
    printf ' %s\n' "$name"
  done
  mark .
  n=0
  for file in "$ROOT$at"/*.xml; do
    name=${file##*/}
    case $name in '*.xml' | *[!\ -~]*) continue ;; esac
    n=$((n + 1))
    [ "$n" -le 1024 ] || break
    text "$at/$name" domain
  done
}

# ---- processes ------------------------------------------------------------------------------------

pci() {
  case $1 in *:*:*.*) ;; *) return ;; esac
  link "/sys/bus/pci/devices/$1/iommu"
  case $PCI in *" $1 "*) return ;; esac
  link "/sys/bus/pci/devices/$1/driver"
  text "/sys/bus/pci/devices/$1/resource" plain
}

# The devices behind a VFIO descriptor.
vfio() {
  case $1 in
    */vfio/devices/vfio[0-9]*)
      link "/sys/class/vfio-dev/${1##*/}/device"
      [ -z "$TARGET" ] || pci "${TARGET##*/}"
      ;;
    */vfio/*[0-9])
      group=${1##*/}
      group=${group#noiommu-}
      case $group in *[!0-9]*) return ;; esac
      names "/sys/kernel/iommu_groups/$group/devices"
      for device in $NAMES; do pci "$device"; done
      ;;
  esac
}

# The links of an open VMM, one by one: what ls prints may hold line ends.
descriptors() {
  found=
  mark F "/proc/$1/fd"
  for entry in "$ROOT/proc/$1/fd"/*; do
    [ -h "$entry" ] || continue
    follow "$entry" || continue
    target=$LINK
    case $target in
      *[!\ -~]*) continue ;;
      anon_inode:*kvm-* | */vfio/* | */vhost-vdpa-* | /dev/dri/* | /dev/nvidia* | /dev/udmabuf | /dmabuf:* | anon_inode:*dmabuf* | /memfd:* | /dev/iommu) ;;
      *) continue ;;
    esac
    printf ' %s\t%s\n' "${entry##*/}" "$target"
    found="$found ${entry##*/}"
  done
  mark .
  for fd in $found; do
    follow "$ROOT/proc/$1/fd/$fd" || continue
    target=$LINK
    case $target in
      */vfio/*) vfio "$target" ;;
      /dmabuf:* | anon_inode:*dmabuf*) text "/proc/$1/fdinfo/$fd" fdinfo ;;
    esac
  done
}

# The lines of maps whose memory may be the guest's: start, end, and how many pages lie between probes.
CANDIDATES='
function hex(s,   i, n) { n = 0; for (i = 1; i <= length(s); i++) n = n * 16 + index("123456789abcdef", substr(s, i, 1)); return n }
$2 ~ /^rw/ {
  split($1, a, "-"); pages = (hex(a[2]) - hex(a[1])) / 4096
  named = $6 ~ /^\/(memfd:|dev\/shm|dev\/zero|SYSV|anon_hugepage|.*huge)/ || $6 ~ /kvm-gmem/
  if (pages < 4096 && !named && !($6 ~ /^\/[^s]/ && $2 == "rw-s")) next
  if ($6 ~ /^\/(dev\/(mem|dri|nvidia|vfio|dax)|sys\/|proc\/|dmabuf:)/ || $6 ~ /^anon_inode:.*vfio/) next
  step = int(pages / probes); if (step < 64) step = 64
  printf "%s %.0f %.0f\n", a[1], pages, step
  if (++count >= samples) exit
}'

FIRST_PRESENT='
{ for (i = 8; i <= NF; i += 8) if ($i ~ /^[89ab]/) {
    s = ""; for (k = i - 7; k <= i; k++) s = s $k
    print s; exit } }'

# The first page that is there, of the places tried in each mapping, and what /proc/kpageflags says of it.
sample() {
  map=$ROOT/proc/$1/pagemap
  awk -v probes="$PROBES" -v samples="$SAMPLES" "$CANDIDATES" "$ROOT/proc/$1/maps" 2>/dev/null |
    while read -r start pages step; do
      page=$((0x$start / 4096))
      at=0
      tried=0
      while [ "$at" -lt "$pages" ] && [ "$tried" -lt "$PROBES" ]; do
        key="/proc/$1/pagemap $(((page + at) * 8)) 512"
        if [ ! -e "$map" ]; then
          mark R bytes "$key" absent ENOENT
          break
        elif [ ! -r "$map" ]; then
          mark R bytes "$key" denied EACCES
          break
        fi
        entry=$(dd if="$map" bs=8 skip="$((page + at))" count=64 2>/dev/null | od -An -v -tx1 | awk "$FIRST_PRESENT")
        mark B "$key" "$entry"
        if [ -n "$entry" ]; then
          frame "$entry"
          [ "$FRAME" = 0 ] || flags "$FRAME"
          break
        fi
        at=$((at + step))
        tried=$((tried + 1))
      done
    done
}

# The frame in an entry of pagemap: bits 0 to 54 of eight bytes, the lowest first. Some shells count no
# further than 2^63, so that the highest byte is left out.
frame() {
  rest=$1
  FRAME=
  while [ -n "$rest" ]; do
    tail=${rest#??}
    FRAME=${rest%"$tail"}$FRAME
    rest=$tail
  done
  FRAME=$((0x${FRAME#??} & 0x7fffffffffffff))
}

flags() {
  key="/proc/kpageflags $(($1 * 8)) 8"
  file=$ROOT/proc/kpageflags
  if [ ! -e "$file" ]; then
    mark R bytes "$key" absent ENOENT
  elif [ ! -r "$file" ]; then
    mark R bytes "$key" denied EACCES
  else
    word=$(dd if="$file" bs=8 skip="$1" count=1 2>/dev/null | od -An -v -tx1 | sed 's/[^0-9a-f]//g')
    mark B "$key" "$word"
  fi
}

# A file that a VMM may hide behind VM_PFNMAP: worth a look at smaps.
HIDES='$6 ~ /^\/(sys\/.*\/resource[0-9]|dev\/(mem$|dri\/|nvidia|vfio\/)|dmabuf:)/ || $6 ~ /^anon_inode:.?(vfio-device|dmabuf)/ { found = 1; exit } END { exit !found }'

# Files of at least 16 MiB that a VM has mapped shared, by name.
SHARED_FILES='
function hex(s,   i, n) { n = 0; for (i = 1; i <= length(s); i++) n = n * 16 + index("123456789abcdef", substr(s, i, 1)); return n }
$2 ~ /s$/ && $6 ~ /^\/(memfd:|dev\/shm\/|dev\/hugepages)/ {
  split($1, a, "-")
  if (hex(a[2]) - hex(a[1]) < 16777216) next
  match($0, /^[^ ]+ +[^ ]+ +[^ ]+ +[^ ]+ +[^ ]+ +/)
  name = substr($0, RLENGTH + 1)
  sub(/ \(deleted\)$/, "", name)
  print name
}'
SHARED=

vm() {
  mark T "/proc/$1/comm" comm
  patiently lines "$ROOT/proc/$1/comm"
  mark T "/proc/$1/cmdline" arguments
  patiently hex "$ROOT/proc/$1/cmdline"
  mark T "/proc/$1/maps" maps
  if patiently lines "$ROOT/proc/$1/maps"; then
    if awk "$HIDES" "$ROOT/proc/$1/maps" 2>/dev/null; then
      mark T "/proc/$1/smaps" maps
      patiently lines "$ROOT/proc/$1/smaps"
    fi
    SHARED=$SHARED$(awk "$SHARED_FILES" "$ROOT/proc/$1/maps" 2>/dev/null)$NL
    sample "$1" &
    await
  fi
}

FIRST_WORD='
BEGIN { for (i = 32; i < 127; i++) char[sprintf("%02x", i)] = sprintf("%c", i) }
{ for (i = 1; i <= NF; i++) { if ($i == "00") exit; printf "%s", ($i in char) ? char[$i] : "?" } }'

is_vmm() {
  case $1 in
    qemu-system-* | qemu-kvm | kvm | crosvm* | cloud-hyperviso* | firecracker* | krunvm* | muvm* | libkrun*) return 0 ;;
    .qemu-system-* | .qemu-kvm | .qemu-kvm-wrapp | .qemu-kvm-wrappe | .qemu-kvm-wrapped) return 0 ;;
    .crosvm* | .cloud-hyperviso* | .firecracker* | .krunvm* | .muvm* | .libkrun*) return 0 ;;
  esac
  return 1
}

# Programs that serve a VM from outside, and may have its memory mapped without a descriptor of it.
is_back_end() {
  case $1 in
    crosvm* | virtiofsd* | vhost-user* | vhost-device* | virgl_server* | virgl_test_server* | virgl_render_server*) return 0 ;;
    rutabaga* | qemu-storage-da* | ovs-vswitchd* | spdk* | swtpm* | passt*) return 0 ;;
  esac
  return 1
}

# A process without a VM, after all those with one: what may show that it shares the memory of one. Whether
# it does is seen at the end, and of all others nothing is printed.
other() {
  directory=$ROOT/proc/$1
  fds=
  mark F "/proc/$1/fd" candidate
  case $(ls -l "$directory/fd" 2>/dev/null) in
    *' /memfd:'* | *' /dev/shm/'* | *' /dev/hugepages'*)
      for entry in "$directory/fd"/*; do
        follow "$entry" || continue
        case $LINK in *[!\ -~]*) continue ;; esac
        case $NL$SHARED in *"$NL${LINK% (deleted)}$NL"*) ;; *) continue ;; esac
        printf ' %s\t%s\n' "${entry##*/}" "$LINK"
        fds="$fds ${entry##*/}"
      done
      ;;
  esac
  mark .
  program=
  ! follow "$directory/exe" || program=${LINK##*/}
  [ -n "$fds" ] || is_back_end "$program" || return 0
  [ -z "$program" ] || mark L "/proc/$1/exe" "$program" candidate
  n=0
  for fd in $fds; do
    n=$((n + 1))
    [ "$n" -le 64 ] || break
    text "/proc/$1/fdinfo/$fd" sharedinfo
  done
  text "/proc/$1/maps" shared
}

# A process whose descriptors are closed: is it called like a VMM?
closed() {
  program=
  if follow "$ROOT/proc/$1/exe"; then program=$LINK; fi
  [ -z "$program" ] || mark L "/proc/$1/exe" "${program##*/}"
  if [ -z "$program" ]; then
    mark R links "/proc/$1/exe" denied EACCES
    program=$(od -An -v -tx1 "$ROOT/proc/$1/cmdline" 2>/dev/null | awk "$FIRST_WORD")
    [ -n "$program" ] || program=$(cat "$ROOT/proc/$1/comm" 2>/dev/null)
  fi
  program=${program% (deleted)}
  if is_vmm "${program##*/}" || [ "$ONLY" = "$1" ]; then
    vm "$1"
  else
    mark T "/proc/$1/cmdline" emptiness
    patiently hex "$ROOT/proc/$1/cmdline"
  fi
}

process() {
  directory=$ROOT/proc/$1
  if [ ! -d "$directory" ]; then
    mark R linkLists "/proc/$1/fd" absent ENOENT
    return
  fi
  if [ -r "$directory/fd" ] && [ -x "$directory/fd" ]; then
    open=$(ls -l "$directory/fd" 2>&1)
    case $open in
      *anon_inode:kvm-vm* | *'anon_inode:[kvm-vm'*)
        descriptors "$1"
        link "/proc/$1/exe"
        vm "$1"
        return
        ;;
      *' -> '*) open= ;;
      *' denied'* | *'not permitted'* | *'No such'*) ;;
      *) open= ;;
    esac
    if [ -z "$open" ]; then
      OTHERS="$OTHERS $1"
      return
    fi
    why "$open"
  else
    REASON=denied DETAIL=EACCES
  fi
  [ -d "$directory" ] || REASON=absent DETAIL=ENOENT
  mark R linkLists "/proc/$1/fd" "$REASON" "$DETAIL"
  [ "$REASON" = absent ] || closed "$1"
}

# What a process has open when no memory is shared.
nothing() {
  mark F "/proc/$1/fd"
  mark .
}

processes() {
  OTHERS=
  if [ -n "$ONLY" ]; then
    process "$ONLY"
    for pid in $OTHERS; do nothing "$pid"; done
    return
  fi
  pids=
  mark D /proc
  for directory in "$ROOT/proc"/[0-9]*; do
    [ -d "$directory" ] || continue
    pid=${directory##*/}
    case $pid in *[!0-9]*) continue ;; esac
    pids="$pids $pid"
    printf ' %s\n' "$pid"
  done
  mark .
  for pid in $pids; do process "$pid"; done
  for pid in $OTHERS; do
    case $SHARED in *[!"$NL"]*) other "$pid" ;; *) nothing "$pid" ;; esac
  done
}

collect() {
  # This shell itself, not the one that started it: it gets a signal every second, which ends a wait.
  read -r me rest </proc/self/stat
  trap 'TICKS=$((TICKS + 1))' USR1
  while sleep 1; do kill -USR1 "$me" 2>/dev/null || exit; done >/dev/null 2>&1 &
  ticker=$!
  machine
  kernel_log
  ask
  modules
  firmware
  devices
  pci_devices
  text "$(debugfs)/x86/pat_memtype_list" plain
  libvirt
  processes
  kill "$ticker" 2>/dev/null
  mark Z
}

# ---- the file -------------------------------------------------------------------------------------

# Masks what was read and prints it as JSON.
program() {
  cat <<'AWK'
BEGIN {
  FS = "\t"; NONE = "\002"
  vmm_names = "^([.]?(qemu-system-|qemu-kvm(-wrapp(ed?)?)?$|crosvm|cloud-hyperviso|firecracker|krunvm|muvm|libkrun)|kvm$)"
  split("texts lists links linkLists bytes kvm", sections, " ")
  for (i = 0; i < 256; i++) char[sprintf("%02x", i)] = i >= 32 && i < 127 ? sprintf("%c", i) : "?"
  words("bin bus debug dev devices hugepages hugepages-1048576kB hugepages-1GB hugepages-2MB hugepages-2048kB hugepages1G hugepages2M hugetlbfs huge kernel lib lib64 libexec libvirt local mdev mnt pci platform proc qemu ram run sbin shm sys tmp tracing usr var zero mem", common)
  words("aka and back base bios by cap combining command configuration conflicting count cpu default detected disabled ecap enabled expected failed fixed flags for got hypervisor inconsistent ioremap kernel linux list map mapping mask mem memory memtype minus mismatch mtrr mtrrs new not old only pages pat pfn protect protected ram range ranges read reg remove req reserve reserved resource set size skipping supported system through to track type types uc uncachable uncached update usable variable version wb wc wp write wt your error", vocabulary)
  qemu("m", ":amount size:amount slots:amount maxmem:amount")
  qemu("machine", ":machine type:machine accel:accel memory-backend:id kernel-irqchip:chip nvdimm:switch hmat:switch pflash0:flag pflash1:flag")
  qemu("M", ":machine type:machine accel:accel memory-backend:id kernel-irqchip:chip nvdimm:switch hmat:switch pflash0:flag pflash1:flag")
  accel = ":accel accel:accel honor-guest-pat:given kernel-irqchip:chip"
  qemu("accel", accel); qemu("global", "=global")
  qemu("mon", ":charid chardev:charid mode:monmode"); chardev = ":socket id:charid path:path"; qemu("chardev", chardev)
  qemu("qmp", "=monitor"); qemu("qmp-pretty", "=monitor"); qemu("monitor", "=monitor")
  qemu("object", ":object qom-type:object id:id size:amount mem-path:path hugetlb:switch hugetlbsize:amount share:switch pmem:switch readonly:switch prealloc:switch align:amount")
  qemu("device", ":device driver:device blob:switch hostmem:amount venus:switch context_init:switch drm_native_context:switch x-no-mmap:switch snoop-control:switch caching-mode:switch memdev:id host:address sysfsdev:address")
  qemu("numa", ":numa memdev:id mem:amount")
  qemu("mem-path", "=path"); qemu("bios", "=firmware"); qemu("pflash", "=firmware")
  qemu("drive", "=drive"); qemu("blockdev", "=blockdev")
  words("enable-kvm readconfig cpu smp name uuid kernel initrd append netdev nic net serial display vga vnc spice sandbox rtc boot msg pidfile daemonize S nodefaults no-user-config nographic no-reboot no-shutdown no-hpet overcommit mem-prealloc audiodev smbios acpitable fw_cfg usb usbdevice add-fd incoming loadvm snapshot runas chroot user run-with compat trace D d hda hdb cdrom full-screen k fsdev virtfs", qemu_names)
  sizes = ":amount size:amount id:id file:path shared:switch hugepages:switch hugepage_size:amount mergeable:switch prefault:switch thp:switch hotplug_size:amount"
  other("m", sizes); other("mem", sizes); other("memory", sizes); other("memory-zone", sizes)
  other("vram", "=amount")
  other("gpu", ":backend backend:backend context-types:contexts vulkan:switch udmabuf:switch pci-bar-size:amount external-blob:switch system-blob:switch fixed-blob-mapping:switch allow-implicit-render-server-exec:switch")
  assigned = ":address path:address iommu:iommu"
  other("vfio", assigned); other("vfio-platform", assigned); other("device", assigned)
  other("platform", "tdx:switch sev_snp:switch"); other("hypervisor", "=hypervisor")
  words("device memory-zone", many)
  muvm["mem"] = "amount"; muvm["vram"] = "amount"; muvm["gpu-mode"] = "gpumode"
  words("VRAM VISIBLE GTT CPU PREEMPTIBLE GDS GWS OA DOORBELL MMIO_REMAP UNKNOWN OTHER pin count imported exported from as CPU_ACCESS_REQUIRED NO_CPU_ACCESS CPU_GTT_USWC VRAM_CLEARED VRAM_CONTIGUOUS VM_ALWAYS_VALID EXPLICIT_SYNC COHERENT UNCACHED ENCRYPTED DISCARDABLE EXT_COHERENT GFX12_DCC SHADOW", buffer_words)
  xml_kept()
  other("hugepages", "=switch"); other("protected-vm", "=switch")
  other("cpus", ":amount num:amount boot:amount max:amount num-cores:amount")
  words("hugepages protected-vm protected-vm-without-firmware unprotected-vm-with-firmware udmabuf params initrd kernel firmware bios pflash cmdline disk rwdisk root rwroot serial socket shared-dir tap-name net console api-socket api-sock config-file id no-api rng fs pmem vsock gpu-display gpu-render-server wayland-sock cid disable-sandbox no-legacy vcpu-affinity interactive privileged", other_names)
}

function words(list, set,   n, a, i) { n = split(list, a, " "); for (i = 1; i <= n; i++) set[a[i]] = 1 }
function qemu(option, keys) { qemu_keys[option] = keys }
function other(option, keys) { other_keys[option] = keys }

# ---- masks

function masked(name) { if (!(name in masks)) masks[name] = ++mask_count; return "masked-" masks[name] }
function mask_path(path,   n, parts, i, out) {
  n = split(path, parts, "/")
  out = ""
  for (i = 1; i <= n; i++) out = out (i > 1 ? "/" : "") (parts[i] == "" || (parts[i] in common) ? parts[i] : masked(parts[i]))
  return out
}

function last_part(path,   n, parts) { n = split(path, parts, "/"); return parts[n] }
function is_address(name) { return name ~ /^[0-9a-f]+:[0-9a-f][0-9a-f]:[0-9a-f][0-9a-f]\.[0-7]$/ || name ~ /^[0-9a-f][0-9a-f]:[0-9a-f][0-9a-f]\.[0-7]$/ }

# What is kept of a value; NONE: nothing.
function kept(kind, value,   name) {
  if (kind == "amount") return value ~ /^[0-9]+(\.[0-9]+)?[kKmMgGtTpPeE]?(i?[bB])?$/ || value ~ /^0[xX][0-9a-fA-F]+[kKmMgGtT]?$/ ? value : NONE
  if (kind == "switch") return value ~ /^(on|off|auto|true|false|yes|no)$/ ? value : NONE
  if (kind == "flag") return "x"
  if (kind == "given") return value ~ /^(on|off|auto|true|false|yes|no)$/ ? value : "x"
  if (kind == "chip") return value ~ /^(on|off|split)$/ ? value : NONE
  if (kind == "charid") return value == "charmonitor" ? value : masked(value)
  if (kind == "socket") return value == "socket" ? value : NONE
  if (kind == "monmode") return value ~ /^(control|readline)$/ ? value : NONE
  if (kind == "gpumode") return value ~ /^(drm|venus|software)$/ ? value : "x"
  if (kind == "hypervisor") return match(value, /^(kvm|gunyah|geniezone|halla|haxm|whpx)(\[|$)/) ? substr(value, 1, RLENGTH - (substr(value, RLENGTH, 1) == "[")) : "x"
  if (kind == "monitor") return match(value, /^unix:[^,]+/) ? "unix:" mask_path(substr(value, 6, RLENGTH - 5)) : "x"
  if (kind == "global") {
    if (!match(value, /(^|[.,])honor-guest-pat=[^,]*/)) return "x"
    name = substr(value, RSTART, RLENGTH)
    sub(/^.*=/, "", name)
    return "kvm-accel.honor-guest-pat=" (name ~ /^(on|off|auto)$/ ? name : "x")
  }
  if (kind == "path") return mask_path(value)
  if (kind == "id") return value ~ /^(pc\.ram|ram-node[0-9]+|(mem|ram|dimm|m)[0-9]*)$/ ? value : masked(value)
  if (kind == "machine") return value ~ /^(pc|q35|microvm|isapc|none|xenfv|xenpv|nitro-enclave|pc-(i440fx|q35)-[A-Za-z0-9_.+-]+)$/ ? value : NONE
  if (kind == "accel") return value ~ /^((kvm|tcg|xen|hvf|whpx|nvmm|mshv|qtest|nitro):?)+$/ ? value : NONE
  if (kind == "object") return value ~ /^(memory-backend-(ram|file|memfd|shm|epc)|tdx-guest|sev-guest|sev-snp-guest|iommufd)$/ ? value : NONE
  if (kind == "device") return value ~ /^(VGA|qxl|nvdimm|ivshmem|pc-dimm|intel-iommu|amd-iommu|bochs-display|((vhost-(user|vdpa)-)?virtio-|vhost-|vfio-|ivshmem-|qxl-|pcie?-)[A-Za-z0-9_.-]*)$/ ? value : NONE
  if (kind == "numa") return value ~ /^(node|cpu|dist)$/ ? value : NONE
  if (kind == "backend") return value ~ /^(2d|3d|virglrenderer|gfxstream|stub|2D|3D)$/ ? value : "x"
  if (kind == "contexts") return value ~ /^[a-z0-9:]+$/ ? value : NONE
  if (kind == "iommu") return value ~ /^(on|off|viommu|coiommu|pkvm-iommu)$/ ? value : NONE
  if (kind == "address") {
    name = value
    sub(/\/+$/, "", name)
    name = last_part(name)
    if (is_address(name)) return value == name ? name : "/sys/bus/pci/devices/" name
    return value ~ /\// ? "/sys/bus/" (value ~ /\/platform\// ? "platform" : "mdev") "/devices/" masked(name) : NONE
  }
  if (kind == "firmware") return tolower(value) ~ /ovmf|edk2|uefi/ ? "OVMF.fd" : "x"
  if (kind == "drive") return value !~ /pflash/ ? "x" : tolower(value) ~ /ovmf|edk2|uefi/ ? "if=pflash,file=OVMF.fd" : "if=pflash"
  if (kind == "blockdev") {
    name = (value ~ /pflash/ ? ",pflash" : "") (tolower(value) ~ /ovmf|edk2|uefi/ ? ",OVMF.fd" : "")
    return name == "" ? "x" : substr(name, 2)
  }
  return NONE
}

# "a=b,c" or JSON, by a table "KEY:KIND ..."; the first bare word goes by the empty key.
function options(value, table, typed,   n, rules, i, parts, count, colon, key, kind, given, text, out, type) {
  n = split(table, rules, " ")
  if (value ~ /^\{/) return json_options(value, rules, n, typed)
  text = value
  gsub(/,,/, "\001", text)
  count = split(text, parts, ",")
  out = ""; type = ""
  for (i = 1; i <= count; i++) {
    colon = index(parts[i], "=")
    key = colon > 0 ? substr(parts[i], 1, colon - 1) : i == 1 ? "" : parts[i] ~ /^no/ ? substr(parts[i], 3) : parts[i]
    given = colon > 0 ? substr(parts[i], colon + 1) : i == 1 ? parts[i] : parts[i] ~ /^no/ ? "off" : "on"
    gsub(/\001/, ",", given)
    kind = kind_of(key, rules, n)
    if (kind == "") continue
    given = kept(kind, given)
    if (given == NONE) continue
    if (key == "" || key == typed) type = given
    out = out "," (key == "" ? given : key "=" given)
  }
  if (out == "" || (typed != "" && type == "")) return "x"
  return substr(out, 2)
}
function kind_of(key, rules, n,   i, colon) {
  for (i = 1; i <= n; i++) {
    colon = index(rules[i], ":")
    if (substr(rules[i], 1, colon - 1) == key) return substr(rules[i], colon + 1)
  }
  return ""
}
function json_options(value, rules, n, typed,   i, colon, key, found, given, out, type) {
  out = ""; type = ""
  for (i = 1; i <= n; i++) {
    colon = index(rules[i], ":")
    key = substr(rules[i], 1, colon - 1)
    if (key == "" || !match(value, "\"" key "\" *: *(\"[^\"\\\\]*\"|[0-9]+|true|false)")) continue
    found = substr(value, RSTART, RLENGTH)
    given = substr(found, length(key) + 3)
    sub(/^ *: */, "", given)
    if (given ~ /^"/) given = substr(given, 2, length(given) - 2)
    if (given == "true") given = "on"
    if (given == "false") given = "off"
    given = kept(substr(rules[i], colon + 1), given)
    if (given == NONE) continue
    if (key == typed) type = given
    out = out "," key "=" given
  }
  if (out == "" || (typed != "" && type == "")) return "x"
  return substr(out, 2)
}

# "a=b,c" as crosvm and cloud-hypervisor read it; brackets and quotes keep commas together.
function pairs(value, table,   n, rules, i, c, text, depth, mark, parts, count, colon, key, kind, given, out) {
  n = split(table, rules, " ")
  text = ""; depth = 0; mark = ""
  for (i = 1; i <= length(value); i++) {
    c = substr(value, i, 1)
    if (c == "," && depth == 0 && mark == "") { text = text "\001"; continue }
    if (c == mark) mark = ""
    else if (mark == "" && (c == "\"" || c == "\047")) mark = c
    else if (mark == "" && c == "[") depth++
    else if (mark == "" && c == "]" && depth > 0) depth--
    text = text c
  }
  count = split(text, parts, "\001")
  out = ""
  for (i = 1; i <= count; i++) {
    colon = index(parts[i], "=")
    key = colon > 0 ? substr(parts[i], 1, colon - 1) : i == 1 ? "" : parts[i]
    given = colon > 0 ? substr(parts[i], colon + 1) : i == 1 ? parts[i] : "true"
    if (given ~ /^".*"$/ || given ~ /^\047.*\047$/) given = substr(given, 2, length(given) - 2)
    kind = kind_of(key, rules, n)
    if (kind == "") continue
    given = kept(kind, given)
    if (given != NONE) out = out "," (key == "" ? given : key "=" given)
  }
  return out == "" ? "x=x" : substr(out, 2)
}

function read_value(option, value, is_qemu,   table, id) {
  if (option == "") return "x"
  table = is_qemu ? qemu_keys[option] : other_keys[option]
  if (table == "") return "x"
  if (table ~ /^=/) { value = kept(substr(table, 2), value); return value == NONE ? "x" : value }
  if (!is_qemu) return pairs(value, table)
  if (option == "chardev") {
    id = value
    if (!sub(/^(.*,)?id=/, "", id)) return "x"
    sub(/,.*/, "", id)
    if (!(id in monitor_ids)) return "x"
  }
  return options(value, table, option == "object" ? "qom-type" : option == "device" ? "driver" : "")
}

# ---- one line of a text; sets OUT and says whether the line is kept

function kernel_words(line,   n, a, i, out, eq, k, m, v) {
  n = split(line, a, /[ \t]+/)
  out = ""
  for (i = 1; i <= n; i++) {
    if (a[i] !~ /^(nopat|debugpat|mtrr(=.*)?|(en|dis)able_mtrr_(cleanup|trim)|mtrr_[a-z_]+=.*|(intel_|amd_)?iommu(\.[a-z_]+)?=.*|mem(map)?=.*|kvm[a-z_-]*\.[a-z_]+=.*|vfio[a-z_-]*\.[a-z_]+=.*|lockdown=.*|(default_)?hugepages(z)?=.*)$/) continue
    eq = index(a[i], "=")
    if (eq > 0) {
      m = split(substr(a[i], eq + 1), v, ",")
      a[i] = substr(a[i], 1, eq)
      for (k = 1; k <= m; k++) a[i] = a[i] (k > 1 ? "," : "") (v[k] ~ /^([0-9xa-fA-FKMGTkmgt$@!#%:+.-]*|[YyNn]|on|off|debug|force|pt|nopt|soft|strict|lazy|sm_on|sm_off|integrity|confidentiality|exactmap)$/ ? v[k] : "x")
    }
    out = out (out == "" ? "" : " ") a[i]
  }
  return out
}

# A line that no reader understands: its punctuation, and words of the kernel's formats.
function odd(line,   out, word) {
  if (match(line, /: (Input\/output error|No such file or directory|No such device or address|No such device|Permission denied|Operation not permitted|Invalid argument)\)?[ \t]*$/)) {
    out = substr(line, RSTART)
    sub(/\)?[ \t]*$/, "", out)
    return "x" out
  }
  out = ""
  while (match(line, /[^] \t:;,=()[@<>|-]+/)) {
    word = substr(line, RSTART, RLENGTH)
    out = out substr(line, 1, RSTART - 1) ((tolower(word) in vocabulary) ? word : "x")
    line = substr(line, RSTART + RLENGTH)
  }
  return out line
}

function keep(line) { OUT = line; return 1 }

function log_line(line,   n, a) {
  if (line ~ /^ /) return 0
  n = index(line, ";")
  if (n > 0 && line ~ /^[0-9]+,[0-9]+,/) line = substr(line, n + 1)
  if (line ~ /^Linux version /) { split(line, a, " "); return keep("Linux version " a[3]) }
  if (line ~ /^(Kernel c|C)ommand line:/) { n = kernel_words(line); return keep(substr(line, 1, index(line, ":")) (n == "" ? "" : " " n)) }
  if (line ~ /^Memory Encryption Features active: [A-Za-z -]*$/) return keep(line)
  if (line ~ /^Hypervisor detected: (KVM|VMware|Microsoft Hyper-V|Xen PV|Xen PVH|Xen HVM|ACRN|Jailhouse|[Bb]hyve)$/) return keep(line)
  if (line ~ /(conflicting memory types [0-9a-f]|map pfn (RAM range|expected))/) {
    sub(/^(x86\/PAT: )?.*:/, "", line)
    return line ~ /^[0-9]+ (conflicting|map)[]A-Za-z0-9 ,:<>[-]*$/ ? keep("x86/PAT: x:" line) : 0
  }
  if (line !~ /^[]A-Za-z0-9 .,:;()<>=+*\/_[-]*$/) return 0
  if (line ~ /^(BIOS-[a-z0-9]+|user|modified|extended|reserve setup_data|[Xx]en): (\[(mem|gap) 0x|[0-9a-f]+ - )/) return keep(line)
  if (line ~ /^e820:? (update|remove) (range: |\[mem )/) return keep(line)
  if (line ~ /^(DMAR|dmar|IOMMU).*: reg_base_addr / || line ~ /^(DMAR|dmar): DRHD base:/ || line ~ /^DMAR: IOMMU feature [a-z_]*_support incons/) return keep(line)
  if (line ~ /^(x86\/PAT: )?(Configuration \[|PAT configuration|PAT not supported|PAT support disabled|MTRRs disabled, skip)/ || line ~ /^x86 PAT enabled:/) return keep(line)
  if (line ~ /^(x86\/PAT: )?(memtype_reserve|reserve_memtype|reserve_ram_pages_type) failed/ || line ~ /^ioremap (error|memtype_reserve|reserve_memtype)/) return keep(line)
  if (line ~ /^ *[0-9A-F][0-9A-F][0-9A-F][0-9A-F][0-9A-F]-[0-9A-F][0-9A-F][0-9A-F][0-9A-F][0-9A-F] [a-z-]+$/) return keep(line)
  if (line ~ /^ *[0-9]+ (base [0-9A-F]+ mask [0-9A-F]+ [a-z-]+|disabled)$/ || line ~ /^ *[0-9]+: [0-9a-f]+-[0-9a-f]+ [a-z-]+$/) return keep(line)
  if (line ~ /^(MTRR default type|MTRR fixed ranges|MTRR variable ranges|MTRR map|MTRRs? ?:? [Dd]isabled|MTRRs set to read-only|TOM2)/) return keep(line)
  if (line ~ /^(mtrr: )?(your CPUs had inconsistent|type mismatch for [0-9a-f]+,)/) return keep(line)
  return 0
}

function map_line(line,   n, a, head, name, deleted, i, rest) {
  if (line ~ /^VmFlags:/) { sub(/ +$/, "", line); return above ? keep(line) : 0 }
  if (line ~ /^Rss: +[0-9]+ kB$/) return above ? keep(line) : 0
  if (line ~ /^[A-Z][A-Za-z_]*: /) return 0
  if (line !~ /^[0-9a-f]+-[0-9a-f]+ [r-][w-][x-][sp] [0-9a-f]+ [0-9a-f]+:[0-9a-f]+ [0-9]+/) { above = 1; return keep(odd(line)) }
  match(line, /^[^ ]+ [^ ]+ [^ ]+ [^ ]+ [0-9]+/)
  head = substr(line, 1, RLENGTH)
  name = substr(line, RLENGTH + 1)
  sub(/^ +/, "", name)
  above = 1
  if (name == "") return keep(head)
  deleted = name ~ / \(deleted\)$/ ? " (deleted)" : ""
  if (deleted != "") name = substr(name, 1, length(name) - 10)
  shared_file(head, name)
  if (head ~ /^[^ ]+ r-[x-][sp] / && name ~ /^\// && name !~ /\/libkrun(-[A-Za-z0-9_]+)?\.so(\.[0-9]+)*$/ && name !~ /^\/(dev\/|sys\/|proc\/|memfd:|dmabuf:|anon_)/) { above = 0; return 0 }
  return keep(head " " map_name(name) deleted)
}
function hex(s,   i, n) { n = 0; for (i = 1; i <= length(s); i++) n = n * 16 + index("123456789abcdef", substr(s, i, 1)); return n }
# What a VM shares with others, by device and inode.
function shared_file(head, name,   a, at) {
  if (name !~ /^\/(memfd:|dev\/shm\/|dev\/hugepages)/) return
  split(head, a, " ")
  at = index(a[1], "-")
  if (a[2] !~ /s$/ || hex(substr(a[1], at + 1)) - hex(substr(a[1], 1, at - 1)) < 16777216) return
  shared_key[a[4] " " a[5]] = 1
  shared_inode[a[5]] = 1
}
# Of a process that may share it, the mappings of these files alone.
function shared_line(line,   a) {
  split(line, a, " ")
  if (!((a[4] " " a[5]) in shared_key)) return 0
  is_sharer[pid_of(path)] = 1
  return map_line(line)
}
function pid_of(path,   a) { split(path, a, "/"); return a[3] }
function libkrun(name,   at, rest) {
  if (!match(name, /\/libkrun(-[A-Za-z0-9_]+)?\.so(\.[0-9]+)*$/)) return ""
  at = RSTART
  rest = substr(name, at + 8)
  if (rest !~ /^(-(tdx|sev|efi|nitro|awsnitro))?\.so/) sub(/^-[A-Za-z0-9_]+/, "-x", rest)
  return mask_path(substr(name, 1, at)) "libkrun" rest
}
function map_name(name,   rest) {
  if (name ~ /^\[(heap|stack|vdso|vvar|vvar_vclock|vsyscall|uprobes)\]$/) return name
  if (name ~ /^\/dev\/((mem|zero|kvm|udmabuf)$|dax[0-9]+\.[0-9]+$|dri\/(card|renderD)[0-9]+$|nvidia[a-z0-9-]*$|vfio\/devices\/vfio[0-9]+$)/ || name == "/anon_hugepage") return name
  if (name ~ /^\[anon/) return "[anon:" masked(name) "]"
  if (name ~ /^\[/) return "[x]"
  if (name ~ /^\/dmabuf:/ || name ~ /^anon_inode:\[?dmabuf/) return "/dmabuf:"
  if (name ~ /kvm-gmem/) return "anon_inode:[kvm-gmem]"
  if (name ~ /^\/memfd:/) {
    if (match(name, /^\/memfd:(memory-backend-memfd|crosvm_guest|ch_ram|guest[-_]?(mem|ram))/)) {
      rest = substr(name, RLENGTH + 1)
      return rest ~ /^[_-]?[0-9]*$/ ? name : substr(name, 1, RLENGTH) "-" masked(rest)
    }
    return "/memfd:" masked(substr(name, 8))
  }
  if (name ~ /^\/sys\/.*\/[0-9a-f]+:[0-9a-f][0-9a-f]:[0-9a-f][0-9a-f]\.[0-7]\/resource[0-9]+(_wc)?$/) {
    match(name, /[0-9a-f]+:[0-9a-f][0-9a-f]:[0-9a-f][0-9a-f]\.[0-7]\/resource[0-9]+(_wc)?$/)
    return "/sys/bus/pci/devices/" substr(name, RSTART)
  }
  if (name ~ /^anon_inode:\[?[a-z][a-z0-9_-]*(:[0-9]+)?\]?$/) return name
  if (name ~ /^\/SYSV/) return "/SYSV00000000"
  if ((rest = libkrun(name)) != "") return rest
  return name ~ /^\// ? mask_path(name) : masked(name)
}

# A client of amdgpu, or one of its buffers.
function gem_line(line,   head, command, n, a, i) {
  sub(/^[ \t]+/, "", line); sub(/[ \t]+$/, "", line)
  if (match(line, /^pid +[0-9]+ command /) && line ~ /:$/) {
    head = substr(line, 1, RLENGTH)
    command = substr(line, RLENGTH + 1, length(line) - RLENGTH - 1)
    return keep(head (command ~ /^[A-Za-z0-9_.-]+$/ && command ~ vmm_names ? command : "x") ":")
  }
  if (match(line, /^(kernel|write|read|bookkeep) fence:/)) return keep(substr(line, 1, RLENGTH))
  if (!match(line, /^0x[0-9a-f]+: +[0-9]+ byte +/)) return keep(odd(line))
  head = substr(line, 1, RLENGTH)
  line = substr(line, RLENGTH + 1)
  if (line !~ /^[A-Z]/) return keep(odd(head line))
  sub(/ +$/, "", head)
  sub(/[ \t]+(kernel|write|read|bookkeep) fence:.*$/, "", line)
  n = split(line, a, /[ \t]+/)
  for (i = 1; i <= n; i++) head = head " " ((a[i] in buffer_words) || (i > 1 && a[i] ~ /^(ino:[0-9]+|[0-9]+)$/) ? a[i] : i == 1 ? "OTHER" : "x")
  return keep(head)
}

# ---- the status file of a domain of libvirt

function xml_kept(   d) {
  d = "/domstatus/domain"
  xml["/domstatus"] = "pid state"; xml[d] = "type id xmlns:qemu"; xml[d "/name"] = ""; xml[d "/memory"] = "unit"
  xml[d "/memoryBacking"] = ""; xml[d "/memoryBacking/source"] = "type"; xml[d "/memoryBacking/access"] = "mode"; xml[d "/memoryBacking/hugepages"] = ""
  xml[d "/devices"] = ""; xml[d "/devices/emulator"] = ""; xml[d "/devices/video"] = ""; xml[d "/devices/video/model"] = "type blob"
  xml[d "/devices/hostdev"] = "mode type model"; xml[d "/devices/hostdev/source"] = ""; xml[d "/devices/hostdev/source/address"] = "domain bus slot function"
  xml[d "/launchSecurity"] = "type"; xml[d "/qemu:commandline"] = ""; xml[d "/qemu:commandline/qemu:arg"] = "value"
  xml_value["pid"] = xml_value["id"] = "^[0-9]+$"
  xml_value["state"] = "^(running|paused|shutdown|shutoff|crashed|pmsuspended|blocked|nostate)$"
  xml_value["type"] = "^(kvm|qemu|hvf|xen|memfd|file|anonymous|virtio|qxl|vga|cirrus|bochs|ramfb|none|pci|usb|mdev|scsi|scsi_host|sev|sev-snp|tdx)$"
  xml_value["xmlns:qemu"] = "^http://libvirt.org/schemas/domain/qemu/1.0$"
  xml_value["unit"] = "^(b|bytes|[KMGT](i?B)?|[kmgt])$"
  xml_value["mode"] = "^(shared|private|subsystem|capabilities)$"; xml_value["blob"] = "^(on|off|yes|no)$"; xml_value["model"] = "^vfio-(pci|ap|ccw)$"
  xml_value["domain"] = xml_value["bus"] = xml_value["slot"] = xml_value["function"] = "^0x[0-9a-fA-F]+$"
}
function plain_text(s) {
  gsub(/&lt;/, "<", s); gsub(/&gt;/, ">", s); gsub(/&quot;/, "\"", s); gsub(/&apos;/, "\047", s); gsub(/&amp;/, "\\&", s)
  return s
}
# An argument that is handed through to QEMU; empty when it says nothing of memory types.
function passed(value,   made) {
  if (value ~ /^--?(accel|machine|M|object|m|enable-kvm)$/) return value
  if (value ~ /^(kvm|tcg)(,|$)/) return options(value, accel, "")
  if (value !~ /honor-guest-pat/) return ""
  made = kept("global", value)
  return made == "x" ? "" : made
}
# The start of an element with what is kept of its attributes; empty when it is left out.
function start_tag(where, name, rest,   out, key, value, names) {
  out = "<" name
  names = " " xml[where] " "
  while (match(rest, /[A-Za-z_][A-Za-z0-9_.:-]*[ \t\n]*=[ \t\n]*("[^"]*"|\047[^\047]*\047)/)) {
    value = substr(rest, RSTART, RLENGTH)
    rest = substr(rest, RSTART + RLENGTH)
    key = value
    sub(/[ \t\n]*=.*/, "", key)
    sub(/^[^=]*=[ \t\n]*/, "", value)
    value = substr(value, 2, length(value) - 2)
    if (index(names, " " key " ") == 0) continue
    if (name == "qemu:arg") {
      value = passed(plain_text(value))
      if (value == "") return ""
    } else if (value !~ xml_value[key]) value = "x"
    out = out " " key "=\"" value "\""
  }
  return out ">"
}
function element_text(name, s) {
  gsub(/^[ \t\n]+|[ \t\n]+$/, "", s)
  s = plain_text(s)
  if (s == "") return ""
  if (name == "memory") return s ~ /^[0-9]+$/ ? s : "x"
  if (name == "name") return masked(s)
  return last_part(s) ~ vmm_names && last_part(s) ~ /^[A-Za-z0-9_.+-]+$/ ? mask_path(substr(s, 1, length(s) - length(last_part(s)))) last_part(s) : mask_path(s)
}
function domain(   text, i, at, tag, name, depth, stack, shows, where, inner, line) {
  text = ""
  for (i = 1; i <= raw_count; i++) text = text raw[i] "\n"
  depth = 0; where = ""; inner = ""
  while ((at = index(text, "<")) > 0) {
    inner = inner substr(text, 1, at - 1)
    text = substr(text, at)
    tag = substr(text, 1, 4) == "<!--" ? "-->" : substr(text, 1, 2) == "<?" ? "?>" : ">"
    if ((at = index(text, tag)) == 0 || (tag == ">" && substr(text, 1, 2) == "<!")) { line_count = 0; put_line("x"); return }
    if (tag != ">") { text = substr(text, at + length(tag)); continue }
    tag = substr(text, 2, at - 2)
    text = substr(text, at + 1)
    if (tag ~ /^\//) {
      name = stack[depth]
      if (depth < 1 || tag !~ "^/" name "[ \t\n]*$") { line_count = 0; put_line("x"); return }
      if (shows[depth]) put_line((name ~ /^(name|memory|emulator)$/ ? element_text(name, inner) : "") "</" name ">")
      where = substr(where, 1, length(where) - length(name) - 1)
      depth--
      inner = ""
      continue
    }
    if (!match(tag, /^[A-Za-z_][A-Za-z0-9_.:-]*/)) { line_count = 0; put_line("x"); return }
    name = substr(tag, 1, RLENGTH)
    line = ((where "/" name) in xml) && (depth == 0 || shows[depth]) ? start_tag(where "/" name, name, substr(tag, RLENGTH + 1)) : ""
    inner = ""
    if (tag ~ /\/$/) {
      if (line != "") put_line(substr(line, 1, length(line) - 1) "/>")
      continue
    }
    stack[++depth] = name
    shows[depth] = line != ""
    where = where "/" name
    if (line != "") put_line(line)
  }
  if (depth > 0) { line_count = 0; put_line("x") }
}

function reduced(line,   a, n, i, out) {
  if (form == "log") return log_line(line)
  if (form == "maps") return map_line(line)
  if (form == "shared") return shared_line(line)
  if (form == "gem") return gem_line(line)
  if (form == "lockdown") return keep(line ~ /^(\[?(none|integrity|confidentiality)\]?( |$))+$/ ? line : "x")
  if (form == "iomem") return line ~ / : Kernel (code|rodata|data|bss)$/ ? 0 : keep(line)
  if (form == "options") return keep(kernel_words(line))
  if (form == "mounts") {
    n = split(line, a, " ")
    return a[3] ~ /^(debugfs|hugetlbfs|tracefs)$/ ? keep(a[3] " " mask_path(a[2]) " " a[3] " rw 0 0") : 0
  }
  if (form == "modules") return match(line, /^(kvm[A-Za-z0-9_]*|vfio[A-Za-z0-9_]*|msr|udmabuf|virtio_gpu|vgem) [0-9]+ [0-9]+ /) ? keep(substr(line, 1, RLENGTH) "-") : 0
  if (form == "version") {
    out = "Linux version x"
    while (match(line, /Debian [0-9]+\.[0-9]+(\.[0-9]+)?[-~+]/)) { out = out " " substr(line, RSTART, RLENGTH); line = substr(line, RSTART + RLENGTH) }
    return keep(out)
  }
  if (form == "signature") return keep(line ~ /^Ubuntu [^ ]+ [0-9]+\.[0-9]+\.[0-9]+$/ ? "Ubuntu x " substr(line, index(substr(line, 8), " ") + 8) : "x")
  if (form == "kthreadd") return keep(line == "kthreadd" ? line : "x")
  if (form == "comm") return keep(line ~ vmm_names ? line : "x")
  if (form == "sharedinfo" && line ~ /^ino:[ \t]*[0-9]+$/) {
    out = line
    sub(/^ino:[ \t]*/, "", out)
    if (out in shared_inode) is_sharer[pid_of(path)] = 1
  }
  if (form == "fdinfo" || form == "sharedinfo") return line ~ /^(ino:[ \t]*[0-9]+|exp_name:[ \t]*[A-Za-z0-9_]+)$/ ? keep(line) : 0
  if (form == "word") return keep(line ~ /^[A-Za-z0-9_-]*$/ ? line : "x")
  return keep(line ~ /^[]A-Za-z0-9 \t.,:;()<>=@_[-]*$/ ? line : odd(line))
}

# ---- whole texts

function put_line(line) { lines[++line_count] = line }

# Of a processor that is like the first only its number.
function cpuinfo(   i, n, key, block, first, number, same, text, at) {
  n = 0
  for (i = 1; i <= raw_count; i++) {
    key = raw[i]
    sub(/[ \t]*:.*/, "", key)
    if (key == "processor") { n++; title[n] = raw[i]; body[n] = "" }
    else if (n > 0 && key ~ /^(vendor_id|cpu family|model|stepping|model name|flags|address sizes)$/) body[n] = body[n] raw[i] "\n"
  }
  for (i = 1; i <= n; i++) {
    put_line(title[i])
    if (i > 1 && body[i] == body[1]) continue
    text = body[i]
    while ((at = index(text, "\n")) > 0) { put_line(substr(text, 1, at - 1)); text = substr(text, at + 1) }
  }
}

# Words of a command line, from bytes in hexadecimal: each ends with NUL.
function decode(   i, n, a, k, word, open) {
  word_count = 0; word = ""; open = 0
  for (i = 1; i <= raw_count; i++) {
    n = split(raw[i], a, " ")
    for (k = 1; k <= n; k++) {
      if (a[k] == "00") { list[++word_count] = word; word = ""; open = 0 }
      else { word = word char[a[k]]; open = 1 }
    }
  }
  if (open) list[++word_count] = word
}

function arguments(   i, is_qemu, option, name, value, word, eq, known, out, program, pid) {
  decode()
  if (word_count == 0) return "\"\""
  pid = path
  gsub(/[^0-9]/, "", pid)
  program = (pid in programs) ? programs[pid] : last_part(list[1])
  if (!(pid in programs) && program !~ vmm_names) program = program == "" ? "" : "x"
  is_qemu = program ~ /^([.]?qemu-(system-|kvm(-wrapp(ed?)?)?$)|kvm$)/
  out = quoted(program)
  if (program == "muvm") return "{\"words\": [" out muvm_arguments() "]}"
  split("", monitor_ids)
  for (i = 2; i < word_count; i++) if (list[i] ~ /^--?mon$/) {
    value = list[i + 1]
    if (!sub(/^(.*,)?chardev=/, "", value) && value ~ /^[^,]*=/) continue
    sub(/,.*/, "", value)
    monitor_ids[value] = 1
  }
  option = ""
  for (i = 2; i <= word_count; i++) {
    word = list[i]
    if (word !~ /^--?[A-Za-z][A-Za-z0-9_-]*(=|$)/) {
      if (i == 2 && word ~ /^(run|start|device|devices)$/) { out = out ", " quoted(word); continue }
      if (!is_qemu && word ~ /^-/) { out = out ", \"-x\""; continue }
      out = out ", " quoted(read_value(option, word, is_qemu))
      if (is_qemu || !(option in many)) option = ""
      continue
    }
    eq = index(word, "=")
    name = eq > 0 ? substr(word, 1, eq - 1) : word
    option = name
    sub(/^--?/, "", option)
    known = is_qemu ? (option in qemu_keys) || (option in qemu_names) : (option in other_keys) || (option in other_names)
    if (!known) { out = out ", \"-x\""; option = ""; continue }
    if (eq > 0) { out = out ", " quoted(name "=" read_value(option, substr(word, eq + 1), is_qemu)); option = "" }
    else out = out ", " quoted(name)
  }
  return "{\"words\": [" out "]}"
}

# The own options of muvm come before the command that runs in the guest.
function muvm_arguments(   i, word, guests, kind, name, eq, out) {
  out = ""; guests = 0; kind = ""
  for (i = 2; i <= word_count; i++) {
    word = list[i]
    if (guests) word = "x"
    else if (kind != "") {
      word = word ~ /^-/ ? "-x" : kind == "x" ? "x" : kept(kind, word)
      if (word == NONE) word = "x"
      kind = ""
    } else if (word == "--") guests = 1
    else if (word !~ /^-/) { guests = 1; word = "x" }
    else {
      eq = index(word, "=")
      name = eq > 0 ? substr(word, 1, eq - 1) : word
      sub(/^--?/, "", name)
      if (eq > 0 && (name in muvm)) {
        kind = kept(muvm[name], substr(word, eq + 1))
        word = substr(word, 1, eq) (kind == NONE ? "x" : kind)
        kind = ""
      } else if (word ~ /^(-[cefpxX]|--(cpu-list|env|mem|vram|passt-socket|passt-args|fex-image|publish|emu|execute-pre|user-execute-pre|gpu-mode))$/) kind = (name in muvm) ? muvm[name] : "x"
      else word = "--x"
    }
    out = out ", " quoted(word)
  }
  return out
}

# ---- JSON

function quoted(s,   i, c, out) {
  gsub(/[^ -~\t]/, "?", s)
  if (s !~ /["\\\t]/) return "\"" s "\""
  out = ""
  for (i = 1; i <= length(s); i++) {
    c = substr(s, i, 1)
    out = out (c == "\t" ? "\\t" : c == "\"" || c == "\\" ? "\\" c : c)
  }
  return "\"" out "\""
}
# A page or a device that two mappings share is asked for twice: the first answer stays.
function put(section, key, value) { if ((section, key) in has) return; has[section, key] = 1; count[section]++; item[section, count[section]] = quoted(key) ": " value }
function put_text(value) {
  if (form == "shared" || form == "sharedinfo") { late(path, value); return }
  if (path == "/dev/kmsg") log_value = value; else put("texts", path, value) }
# What is there and was not to be had, one line a kind of path.
function note(what, reason, detail,   line) {
  if (reason == "absent" || reason == "not read") return
  sub(/ [0-9]+ [0-9]+$/, "", what)
  sub(/^\/proc\/[0-9]+\//, "/proc/PID/", what)
  sub(/\/fdinfo\/[0-9]+$/, "/fdinfo/FD", what)
  sub(/^\/run\/libvirt\/qemu\/.*/, "/run/libvirt/qemu/NAME.xml", what)
  sub(/\/devices\/[0-9a-f:]+\.[0-7]/, "/devices/ADDRESS", what)
  if (form == "log") what = "/dev/kmsg"
  line = what ": " reason (detail == "" ? "" : ", " detail)
  if (!(line in notes)) note_line[++note_count] = line
  notes[line]++
  noted++
}
function print_notes(   i, line) {
  if (noted == 0) return
  print "memtype-capture: " noted (noted == 1 ? " thing that is there was" : " things that are there were") " not read; the file says so:" | "cat >&2"
  for (i = 1; i <= note_count; i++) {
    line = note_line[i]
    gsub(/[^ -~]/, "?", line)
    print "  " line (notes[note_line[i]] > 1 ? " (" notes[note_line[i]] " times)" : "") | "cat >&2"
  }
  close("cat >&2")
}
function refusal(reason, detail) { return "{\"refused\": " quoted(reason) ", \"detail\": " quoted(detail) "}" }
function all_lines(   i, out) {
  if (line_count == 0) return "\"\""
  if (line_count == 1) return "[" quoted(lines[1]) "]"
  out = "["
  for (i = 1; i <= line_count; i++) out = out (i > 1 ? "," : "") "\n   " quoted(lines[i])
  return out "\n  ]"
}
function print_lines(   i) {
  if (line_count < 200) return all_lines()
  # In pieces: joining many lines to one string takes quadratic time.
  big++
  for (i = 1; i <= line_count; i++) big_line[big, i] = lines[i]
  big_count[big] = line_count
  return "\001" big
}
function shown(value,   n, i, at, head) {
  at = index(value, "\001")
  if (at == 0) { printf "%s", value; return }
  n = substr(value, at + 1)
  printf "%s[", substr(value, 1, at - 1)
  for (i = 1; i <= big_count[n]; i++) printf "%s\n   %s", (i > 1 ? "," : ""), quoted(big_line[n, i])
  printf "\n  ]"
}

function begin(what) { kind = what; path = $2; form = $3; raw_count = 0; line_count = 0; above = 0; dropped = 0 }

function finish(   i, at, out) {
  if (kind == "T") {
    if (form == "cpuinfo") cpuinfo()
    else if (form == "domain") domain()
    else if (form == "arguments") { put_text(arguments()); return }
    else if (form == "emptiness") { put_text(raw_count == 0 ? "\"\"" : "{\"words\": [\"x\"]}"); return }
    if (form == "log" && dropped) put_line("(lines that say nothing of memory types are left out)")
    if (match(path, /\/dri\/[0-9]+\/amdgpu_gem_info$/)) path = mask_path(substr(path, 1, RSTART - 1)) substr(path, RSTART)
    if (path ~ /\/x86\/pat_memtype_list$/) path = mask_path(substr(path, 1, length(path) - 21)) "/x86/pat_memtype_list"
    put_text(print_lines())
    return
  }
  out = ""
  for (i = 1; i <= raw_count; i++) {
    at = index(raw[i], "\t")
    if (kind == "F") out = out ", " quoted(substr(raw[i], 1, at - 1)) ": " quoted(fd_target(substr(raw[i], at + 1)))
    else if (is_kept(raw[i])) out = out ", " quoted(name_of(raw[i]))
  }
  out = substr(out, 3)
  if (form == "candidate") { candidates[++candidate_count] = pid_of(path); candidate_fds[candidate_count] = "{" out "}"; return }
  if (kind == "D") put("lists", path, "[" out "]")
  else put("linkLists", path, "{" out "}")
}
function is_kept(name) {
  if (path == "/sys/devices" || path == "/sys/bus/pci") return 0
  if (path == "/sys/module") return name ~ /^kvm_/
  if (path == "/sys/class/drm") return name ~ /^(card|renderD)[0-9]+$/
  if (path == "/sys/bus/pci/drivers/vfio-pci") return is_address(name)
  return 1
}
# What is printed of a process when it shares the memory of a VM.
function late(path, value) { late_count++; late_path[late_count] = path; late_value[late_count] = value }
function put_late(   i, pid) {
  for (i = 1; i <= candidate_count; i++) put("linkLists", "/proc/" candidates[i] "/fd", (candidates[i] in is_sharer) ? candidate_fds[i] : "{}")
  for (i = 1; i <= late_count; i++) {
    pid = pid_of(late_path[i])
    if (pid in is_sharer) put(late_path[i] ~ /\/exe$/ ? "links" : "texts", late_path[i], late_value[i])
  }
}
function name_of(name) {
  if (form == "domains") return masked(substr(name, 1, length(name) - 4)) ".xml"
  if (path !~ /^\/sys\/kernel\/iommu_groups\//) return name
  return is_address(name) ? name : masked(name)
}
function fd_target(target) {
  if (form == "candidate" && target !~ /^\/memfd:/) is_sharer[pid_of(path)] = 1
  if (form == "candidate" || target ~ /^\/memfd:/) {
    if (target ~ / \(deleted\)$/) return map_name(substr(target, 1, length(target) - 10)) " (deleted)"
    return map_name(target)
  }
  if (target ~ /\/vfio\/vfio$/) return "/dev/vfio/vfio"
  if (target == "/dev/iommu") return target
  if (target ~ /^\/dmabuf:/) return "/dmabuf:"
  if (target ~ /^anon_inode:\[?dmabuf/) return "anon_inode:dmabuf"
  if (target ~ /\/vfio\/devices\/vfio[0-9]+$/) return "/dev/vfio/devices/" last_part(target)
  if (target ~ /\/vfio\/(noiommu-)?[0-9]+$/) return "/dev/vfio/" last_part(target)
  if (target ~ /\/vhost-vdpa-[0-9]+$/) return "/dev/" last_part(target)
  if (target ~ /^anon_inode:\[?kvm-[a-z]+(:[0-9]+)?\]?$/) return target
  if (target ~ /^\/dev\/(dri\/(card|renderD)[0-9]+|nvidia[A-Za-z0-9_-]*|udmabuf)$/) return target
  return "x"
}
function link_target(target,   name) {
  name = last_part(target)
  if (path ~ /\/exe$/) {
    sub(/ \(deleted\)$/, "", name)
    match(path, /[0-9]+/)
    return programs[substr(path, RSTART, RLENGTH)] = substr(name, 1, 64)
  }
  if (path ~ /\/drm\/[^\/]*\/device$/) return is_address(name) ? name : "x"
  if (path ~ /\/vfio-dev\//) return is_address(name) ? name : masked(name)
  return name ~ /^[A-Za-z0-9_.:-]+$/ ? name : "x"
}

/^ / {
  line = substr($0, 2)
  sub(/\r$/, "", line)
  if (kind != "T" || form == "cpuinfo" || form == "domain" || form == "arguments" || form == "emptiness") raw[++raw_count] = line
  else if (reduced(line)) put_line(OUT)
  else dropped = 1
  next
}
$1 == "T" && $3 == "domain" { masked_domain = "/run/libvirt/qemu/" masked(substr($2, 19, length($2) - 22)) ".xml"; begin($1); path = masked_domain; next }
$1 == "T" || $1 == "D" || $1 == "F" { begin($1); next }
$1 == "." { finish(); next }
$1 == "X" {
  section = kind == "T" ? "texts" : kind == "D" ? "lists" : "linkLists"
  if (form !~ /^shared/) note(path, $2, $3)
  if (kind == "T") put_text(refusal($2, $3))
  else put(section, path, refusal($2, $3))
  next
}
# EINVAL: a directory where other kernels have a link.
$1 == "R" { form = ""; if ($5 != "EINVAL") note($2 == "kvm" ? "/dev/kvm" : $3, $4, $5); put($2, $3, refusal($4, $5)); next }
$1 == "L" && $4 == "candidate" { name = $3; sub(/ \(deleted\)$/, "", name); gsub(/[^A-Za-z0-9_.+-]/, "?", name); late($2, quoted(substr(name, 1, 64))); next }
$1 == "L" { path = $2; put("links", path, quoted(link_target($3))); next }
$1 == "B" { put("bytes", $2, quoted($3)); next }
$1 == "V" { put("kvm", $2, $3); next }
$1 == "Z" { exit }

END {
  put_late()
  printf "{\n \"memtypeCapture\": 1,\n \"tool\": %s,\n \"by\": \"sh\",\n", quoted(ENVIRON["TOOL"])
  printf " \"masked\": [\n  \"as memtype capture masks, but names in /proc/iomem are kept\"\n ],\n"
  printf " \"uname\": {\"sysname\": %s, \"release\": %s, \"machine\": %s},\n", quoted(ENVIRON["SYSNAME"]), quoted(ENVIRON["RELEASE"]), quoted(ENVIRON["MACHINE"])
  printf " \"pid\": %s,\n", (ENVIRON["ONLY"] == "" ? "null" : ENVIRON["ONLY"])
  printf " \"log\": "
  shown((log_value == "" ? refusal("not read", "") : log_value))
  for (s = 1; s <= 6; s++) {
    printf ",\n \"%s\": {", sections[s]
    for (i = 1; i <= count[sections[s]]; i++) { printf "%s\n  ", (i > 1 ? "," : ""); shown(item[sections[s], i]) }
    printf "\n }"
  }
  printf "\n}\n"
  print_notes()
}
AWK
}

SYSNAME=$(uname -s) RELEASE=$(uname -r) MACHINE=$(uname -m)
export TOOL SYSNAME RELEASE MACHINE ONLY
collect | awk "$(program)"
