#!/usr/bin/env bash
# A bitstream for a board: gateware/build.sh ulx3s-85f [FOLDER]. Needs yosys, nextpnr-ecp5 and ecppack, as Debian 13 has them. Where
# they are absent and debootstrap is there (Debian 12, as root), a Debian 13 in TERN_CHROOT (/var/tmp/tern-trixie) is made and used.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
board=${1:?board: ulx3s-85f}
out=$(mkdir -p "${2:-$here/../out/gateware/$board}" && cd "${2:-$here/../out/gateware/$board}" && pwd)
case "$board" in
  ulx3s-85f) top=ulx3s_85f device=--85k package=CABGA381 speed=6 ;;
  *) echo "no such board: $board" >&2; exit 2 ;;
esac
# The clock of the board's top level; more is asked of the tools than it takes.
mhz=${TERN_MHZ:-110}
run() { "$@"; }
work=$out
if ! command -v nextpnr-ecp5 >/dev/null; then
  root=${TERN_CHROOT:-/var/tmp/tern-trixie}
  if [ ! -x "$root/usr/bin/nextpnr-ecp5" ]; then
    debootstrap --variant=minbase --include=nextpnr-ecp5,fpga-trellis,yosys trixie "$root" http://deb.debian.org/debian
  fi
  work=/build
  mkdir -p "$root/build"
  rm -rf "$root/build/gateware"
  run() { chroot "$root" /bin/sh -c 'cd /build && exec "$@"' sh "$@"; }
fi
stage=${root:-}$work
mkdir -p "$stage/gateware"
cp -r "$here/rtl" "$here/boards" "$stage/gateware/"
cd "$stage"
run yosys -q -l "$work/yosys.log" -p "read_verilog -sv $(ls gateware/rtl/*.sv | tr '\n' ' ') gateware/boards/$top.sv; synth_ecp5 -abc9 -top $top -json $work/$top.json"
# The seed is fixed: the same sources and tools give the same bytes.
run nextpnr-ecp5 "$device" --package "$package" --speed "$speed" --json "$work/$top.json" --lpf "$work/gateware/boards/$top.lpf" \
  --textcfg "$work/$top.config" --report "$work/report.json" --log "$work/nextpnr.log" --freq "$mhz" --seed 1 --timing-allow-fail -q
run ecppack --compress --freq 38.8 "$work/$top.config" "$work/$top.bit"
if [ "$stage" != "$out" ]; then cp "$stage/$top.bit" "$stage/report.json" "$stage/nextpnr.log" "$stage/yosys.log" "$out/"; fi
sha256sum "$out/$top.bit"
