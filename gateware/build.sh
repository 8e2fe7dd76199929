#!/usr/bin/env bash
# A bitstream for a board: gateware/build.sh BOARD [FOLDER], BOARD ulx3s-85f. Needs yosys, nextpnr-ecp5 and
# ecppack, as Debian 13 has them. Where they are absent and debootstrap is there (Debian 12, as root), a Debian 13 in TERN_CHROOT
# (/var/tmp/tern-trixie) is made and used. It fails when place and route does not reach the clock of the board's top level.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
board=${1:?board: ulx3s-85f}
# mhz: what the PLL of the top level makes.
case "$board" in
  ulx3s-85f) top=ulx3s_85f device=--85k package=CABGA381 speed=6 mhz=62.5 ;;
  *) echo "no such board: $board" >&2; exit 2 ;;
esac
out=$(mkdir -p "${2:-$here/../out/gateware/$board}" && cd "${2:-$here/../out/gateware/$board}" && pwd)
run() { "$@"; }
root=
work=$out
if ! command -v nextpnr-ecp5 >/dev/null; then
  root=${TERN_CHROOT:-/var/tmp/tern-trixie}
  if [ ! -x "$root/usr/bin/nextpnr-ecp5" ]; then
    debootstrap --variant=minbase --include=nextpnr-ecp5,fpga-trellis,yosys trixie "$root" http://deb.debian.org/debian
    find "$root/usr/lib" -name libtrellis.so -printf '/%P\n' | sed 's,^,/usr/lib,; s,/libtrellis.so$,,' >"$root/etc/ld.so.conf.d/trellis.conf"
    chroot "$root" ldconfig
  fi
  # yosys finds its own files by /proc.
  [ -e "$root/proc/self" ] || mount -t proc proc "$root/proc"
  work=/build/$board-$$
  mkdir -p "$root$work"
  trap 'rm -rf "$root$work"' EXIT
  run() { chroot "$root" /bin/sh -c 'cd "$0" && exec "$@"' "$work" "$@"; }
fi
cd "$root$work"
mkdir -p gateware
cp -r "$here/rtl" "$here/boards" gateware/
# Paths are relative, so that names in the netlist do not depend on the folder.
run yosys -q -l yosys.log -p "read_verilog -sv $(ls gateware/rtl/*.sv | LC_ALL=C sort | tr '\n' ' ') gateware/boards/$top.sv; synth_ecp5 -abc9 -top $top -json $top.json"
# The clock asked for is the PLL's. The seed is fixed: the same sources and tools give the same bytes.
run nextpnr-ecp5 "$device" --package "$package" --speed "$speed" --json "$top.json" --lpf "gateware/boards/$top.lpf" \
  --textcfg "$top.config" --report report.json --log nextpnr.log --seed 1 -q
run ecppack --compress --freq 38.8 "$top.config" "$top.bit"
versions() {
  run yosys -V
  run nextpnr-ecp5 --version 2>&1 | tr -d '"'
  run ecppack --version 2>&1 | head -1
}
# nextpnr's report is one JSON object; of the clocks it has one, and of each kind of cell what is used and there.
flat=$(tr -d ' \n\r\t' <report.json)
number() { sed -n "s/.*$1\([0-9.]*\).*/\1/p" <<<"$flat"; }
used() { echo "$(number "\"$1\":{\"available\":[0-9]*,\"used\":") of $(number "\"$1\":{\"available\":")"; }
fmax=$(number '"fmax":{[^}]*"achieved":')
constraint=$(number '"fmax":{[^}]*"constraint":')
{
  echo "board       $board, $top.sv"
  echo "clock       $mhz MHz"
  printf 'fmax        %.1f MHz (asked for %s)\n' "$fmax" "$constraint"
  echo "LUT         $(used TRELLIS_COMB)"
  echo "flip-flops  $(used TRELLIS_FF)"
  echo "block RAM   $(used DP16KD)"
  echo "multipliers $(used MULT18X18D)"
  versions | sed 's/^/tool        /'
  echo "SHA-256     $(sha256sum "$top.bit" | cut -d ' ' -f 1)"
  echo "bytes       $(stat -c %s "$top.bit")"
} >"$top.report.txt"
if [ -n "$root" ]; then cp "$top.bit" "$top.report.txt" report.json nextpnr.log yosys.log "$out/"; fi
cat "$top.report.txt"
awk -v fmax="$fmax" -v mhz="$mhz" -v asked="$constraint" 'BEGIN { exit !(fmax >= mhz && asked >= mhz) }' ||
  { echo "the clock of $mhz MHz is not reached" >&2; exit 1; }
