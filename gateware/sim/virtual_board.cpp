// The device as a program: bytes in on standard input, bytes out on standard output, as a serial line would carry them. Time
// stands still while the device is idle and nothing comes. Ends with standard input; then the last line of standard error tells
// the cycles and what the memory chip objected to.
#include <poll.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "Vvirtual_board.h"
#include "verilated.h"

int main(int argc, char** argv) {
  const auto context = std::make_unique<VerilatedContext>();
  context->commandArgs(argc, argv);
  const auto board = std::make_unique<Vvirtual_board>(context.get());
  std::vector<uint8_t> in;
  size_t taken = 0;
  std::string out;
  uint64_t cycles = 0;
  bool isEnded = false;
  // Bytes are looked for now and then while the device works, and waited for when it has nothing to do.
  const auto receive = [&](int timeoutMs) {
    pollfd input{0, POLLIN, 0};
    if (isEnded || poll(&input, 1, timeoutMs) <= 0) return;
    uint8_t bytes[65536];
    const ssize_t count = read(0, bytes, sizeof bytes);
    if (count <= 0) isEnded = true;
    else in.insert(in.end(), bytes, bytes + count);
  };
  const auto send = [&] {
    for (size_t at = 0; at < out.size();) {
      const ssize_t count = write(1, out.data() + at, out.size() - at);
      if (count <= 0) std::exit(4);
      at += static_cast<size_t>(count);
    }
    out.clear();
  };
  const uint64_t AWAKE_AT = 200;
  uint64_t quiet = 0;
  board->byte_valid_i = 0;
  while (true) {
    board->rst_i = cycles < 4;
    const bool offers = taken < in.size() && cycles > 4;
    board->byte_valid_i = offers;
    if (offers) board->byte_i = in[taken];
    board->clk_i = 0;
    board->eval();
    if (offers && board->byte_ready_o) taken++;
    if (board->byte_valid_o && !board->rst_i) out.push_back(static_cast<char>(board->byte_o));
    board->clk_i = 1;
    board->eval();
    context->timeInc(1);
    cycles++;
    quiet = board->is_idle_o && !offers ? quiet + 1 : 0;
    if (cycles % 4096 == 0) receive(0);
    if (quiet > 8 && cycles > AWAKE_AT) {
      send();
      if (isEnded) break;
      if (taken == in.size()) {
        in.clear();
        taken = 0;
        receive(-1);
      }
    }
  }
  board->final();
  std::fprintf(stderr, "cycles %llu chip errors %d\n", static_cast<unsigned long long>(cycles), board->errors_o);
  return board->errors_o == 0 ? 0 : 3;
}
