// The whole device between a stream of bytes and an SDRAM chip.
module tern_device #(
  parameter int LANES = 16,
  parameter int BATCH = 2,
  parameter int WIDTH = 1024,
  parameter int INPUTS = 4096,
  parameter int GATES = 8192,
  parameter int STATES = 16384,
  parameter int ROW_BITS = 13,
  parameter int COLUMN_BITS = 9,
  // Cycles: of silence in a frame, without progress, between refreshes, after power-up; kHz of the clock.
  parameter int SILENCE = 1200000,
  parameter int WATCHDOG = 240000000,
  parameter int REFRESH_EVERY = 900,
  parameter int POWER_UP = 25000,
  parameter int CLOCK_KHZ = 120000,
  // 0: simulated, 1: ULX3S-85F, 2: Icepi Zero.
  parameter int BOARD = 0
) (
  input  logic                clk_i,
  input  logic                rst_i,
  input  logic                byte_valid_i,
  output logic                byte_ready_o,
  input  logic [7:0]          byte_i,
  // A byte came while there was no room for it.
  input  logic                is_overrun_i,
  output logic                byte_valid_o,
  input  logic                byte_ready_i,
  output logic [7:0]          byte_o,
  output logic                is_running_o,
  output logic                is_idle_o,
  output logic                ras_no,
  output logic                cas_no,
  output logic                we_no,
  output logic [1:0]          bank_o,
  output logic [ROW_BITS-1:0] chip_address_o,
  input  logic [15:0]         dq_i,
  output logic [15:0]         dq_o,
  output logic                dq_drive_o
);
  localparam int ADDRESS_BITS = ROW_BITS + COLUMN_BITS + 2;
  localparam int MOST_BYTES = 4096;
  localparam int PAYLOAD_BITS = $clog2(MOST_BYTES);
  localparam int WIDTH_BITS = $clog2(WIDTH);
  localparam int STATE_BITS = $clog2(STATES);
  localparam int TOKEN_BITS = BATCH > 1 ? $clog2(BATCH) : 1;

  function automatic logic [31:0] swapped(input int value);
    swapped = {value[7:0], value[15:8], value[23:16], value[31:24]};
  endfunction
  // Tag, length, value: protocol version, numeric mode, board, lanes, batch, largest width, inputs, gates, states, memory
  // bytes, kHz. Numbers of four bytes, lowest first.
  localparam int INFO_BYTES = 68;
  localparam logic [8*INFO_BYTES-1:0] INFO = {
    16'h0104, swapped(1), 16'h0204, swapped(1), 16'h0304, swapped(BOARD), 16'h0404, swapped(LANES),
    16'h0504, swapped(BATCH), 16'h0604, swapped(WIDTH), 16'h0704, swapped(INPUTS), 16'h0804, swapped(GATES),
    16'h0904, swapped(STATES), 16'h0a04, swapped(2 << ADDRESS_BITS), 16'h0b04, swapped(CLOCK_KHZ), 16'h0000
  };

  logic payload_write, frame_valid, frame_ready, is_bad_length, is_bad_crc, unused_hunting;
  logic [PAYLOAD_BITS-1:0] payload_at, request_at, reply_at, sent_at;
  logic [7:0] payload, unused_version, opcode, unused_flags, sequence_number, request, reply, sent;
  logic [PAYLOAD_BITS:0] frame_length, reply_length;
  tern_frame_parser #(.SILENCE(SILENCE), .MOST_BYTES(MOST_BYTES)) u_parser (
    .clk_i, .rst_i, .byte_valid_i, .byte_ready_o, .byte_i, .payload_write_o(payload_write), .payload_at_o(payload_at),
    .payload_o(payload), .frame_valid_o(frame_valid), .frame_ready_i(frame_ready), .version_o(unused_version),
    .opcode_o(opcode), .flags_o(unused_flags), .sequence_o(sequence_number), .length_o(frame_length), .is_bad_length_o(is_bad_length),
    .is_bad_crc_o(is_bad_crc), .is_hunting_o(unused_hunting)
  );
  tern_ram #(.BITS(8), .DEPTH(MOST_BYTES)) u_request (
    .clk_i, .write_i(payload_write), .write_at_i(payload_at), .value_i(payload), .read_at_i(request_at), .value_o(request)
  );

  logic reply_write, reply_start, reply_idle;
  logic [7:0] reply_opcode, reply_flags, reply_sequence, reply_error;
  tern_ram #(.BITS(8), .DEPTH(MOST_BYTES)) u_reply (
    .clk_i, .write_i(reply_write), .write_at_i(reply_at), .value_i(reply), .read_at_i(sent_at), .value_o(sent)
  );
  tern_frame_sender #(.MOST_BYTES(MOST_BYTES)) u_sender (
    .clk_i, .rst_i, .start_i(reply_start), .is_idle_o(reply_idle), .opcode_i(reply_opcode), .flags_i(reply_flags),
    .sequence_i(reply_sequence), .length_i(reply_length), .payload_at_o(sent_at),
    .payload_i(reply_flags[6] ? reply_error : sent), .byte_valid_o, .byte_ready_i, .byte_o
  );

  logic core_rst, core_start, is_check, core_idle, is_refused, flags_clear, x_write, h_write;
  logic [ADDRESS_BITS-1:0] program_at, host_from, write_address, read_address;
  logic [15:0] program_count, host_word, write_value, value;
  logic [TOKEN_BITS-1:0] last_token;
  logic [7:0] clamped;
  logic [2:0] phase, phase_q;
  logic [TOKEN_BITS+WIDTH_BITS-1:0] x_at;
  logic [31:0] x, word, counter;
  logic [STATE_BITS-1:0] h_at;
  logic [27:0] h_new, h;
  logic host_start, host_valid, host_ready, write_valid, write_ready, read_valid, read_ready, value_valid;
  logic [ADDRESS_BITS:0] host_count;
  logic [3:0] counter_at;
  tern_command #(
    .WIDTH(WIDTH), .STATES(STATES), .BATCH(BATCH), .ADDRESS_BITS(ADDRESS_BITS), .MOST_BYTES(MOST_BYTES),
    .WATCHDOG(WATCHDOG), .INFO_BYTES(INFO_BYTES), .INFO(INFO)
  ) u_command (
    .clk_i, .rst_i, .frame_valid_i(frame_valid), .frame_ready_o(frame_ready), .opcode_i(opcode), .sequence_i(sequence_number),
    .length_i(frame_length), .is_bad_length_i(is_bad_length), .is_bad_crc_i(is_bad_crc), .is_overrun_i,
    .request_at_o(request_at), .request_i(request), .reply_write_o(reply_write), .reply_at_o(reply_at),
    .reply_o(reply), .reply_start_o(reply_start), .is_reply_idle_i(reply_idle), .reply_opcode_o(reply_opcode),
    .reply_flags_o(reply_flags), .reply_error_o(reply_error), .reply_sequence_o(reply_sequence),
    .reply_length_o(reply_length), .core_rst_o(core_rst), .core_start_o(core_start), .is_check_o(is_check),
    .program_o(program_at), .count_o(program_count), .last_token_o(last_token), .is_core_idle_i(core_idle),
    .is_refused_i(is_refused), .progress_i(phase != phase_q), .flags_clear_o(flags_clear), .clamped_i(clamped),
    .x_write_o(x_write), .x_at_o(x_at), .x_i(x), .h_write_o(h_write), .h_at_o(h_at), .h_o(h_new), .h_i(h),
    .word_o(word), .host_start_o(host_start), .host_from_o(host_from), .host_count_o(host_count),
    .host_valid_i(host_valid), .host_ready_o(host_ready), .host_word_i(host_word), .write_valid_o(write_valid),
    .write_ready_i(write_ready), .write_address_o(write_address), .write_value_o(write_value),
    .is_idle_o, .counter_at_o(counter_at), .counter_i(counter)
  );
  tern_core #(
    .LANES(LANES), .BATCH(BATCH), .WIDTH(WIDTH), .INPUTS(INPUTS), .GATES(GATES), .STATES(STATES),
    .ADDRESS_BITS(ADDRESS_BITS)
  ) u_core (
    .clk_i, .rst_i(core_rst), .start_i(core_start), .is_check_i(is_check), .program_i(program_at),
    .count_i(program_count), .last_token_i(last_token), .is_idle_o(core_idle), .is_refused_o(is_refused),
    .flags_clear_i(flags_clear), .flags_o(clamped), .phase_o(phase), .x_write_i(x_write), .x_at_i(x_at), .x_i(word),
    .x_o(x), .h_write_i(h_write), .h_at_i(h_at), .h_i(h_new), .h_o(h), .host_start_i(host_start),
    .host_from_i(host_from), .host_count_i(host_count), .host_valid_o(host_valid), .host_ready_i(host_ready),
    .host_word_o(host_word), .request_valid_o(read_valid), .request_ready_i(read_ready && !write_valid),
    .address_o(read_address), .value_valid_i(value_valid), .value_i(value)
  );

  // Writes come from the host alone, while nothing else runs.
  logic request_ready, chip_valid, chip_ready, chip_write;
  logic [ADDRESS_BITS-1:0] chip_word;
  logic [15:0] chip_value;
  tern_skid #(.BITS(ADDRESS_BITS + 17)) u_skid (
    .clk_i, .rst_i, .in_valid_i(write_valid || read_valid), .in_ready_o(request_ready),
    .value_i({write_valid, write_valid ? write_address : read_address, write_value}), .out_valid_o(chip_valid),
    .out_ready_i(chip_ready), .value_o({chip_write, chip_word, chip_value})
  );
  assign write_ready = write_valid && request_ready;
  assign read_ready  = request_ready;
  tern_sdram #(
    .ROW_BITS(ROW_BITS), .COLUMN_BITS(COLUMN_BITS), .REFRESH_EVERY(REFRESH_EVERY), .POWER_UP(POWER_UP)
  ) u_sdram (
    .clk_i, .rst_i, .request_valid_i(chip_valid), .request_ready_o(chip_ready), .is_write_i(chip_write),
    .address_i(chip_word), .value_i(chip_value),
    .value_valid_o(value_valid), .value_o(value), .ras_no, .cas_no, .we_no, .bank_o, .chip_address_o, .dq_i, .dq_o,
    .dq_drive_o
  );

  // Of the last step or check: cycles in each phase of the sequencer, of all of it, and words read.
  logic [31:0] counters_q[16];
  logic [31:0] total_q, words_q;
  assign is_running_o = !core_idle;
  assign counter      = counter_at == 4'd8 ? total_q : counter_at == 4'd9 ? words_q : counters_q[counter_at];
  integer at;
  always_ff @(posedge clk_i) begin
    phase_q <= phase;
    if (core_start) begin
      for (at = 0; at < 16; at = at + 1) counters_q[at] <= '0;
      total_q <= '0;
      words_q <= '0;
    end else if (!core_idle) begin
      counters_q[{1'b0, phase}] <= counters_q[{1'b0, phase}] + 32'd1;
      total_q                   <= total_q + 32'd1;
      if (value_valid) words_q <= words_q + 32'd1;
    end
  end
  logic unused;
  assign unused = &{1'b0, unused_hunting, unused_version, unused_flags};
endmodule
