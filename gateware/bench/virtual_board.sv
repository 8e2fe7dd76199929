// The device and its memory chip: what the native simulation runs (sim/virtual_board.cpp).
module virtual_board #(
  parameter int LANES = 16,
  parameter int BATCH = 2,
  parameter int WIDTH = 1024,
  parameter int INPUTS = 4096,
  parameter int GATES = 8192,
  parameter int STATES = 16384,
  parameter int ROW_BITS = 13,
  parameter int SILENCE = 100000,
  parameter int WATCHDOG = 4000000
) (
  input  logic       clk_i,
  input  logic       rst_i,
  input  logic       byte_valid_i,
  output logic       byte_ready_o,
  input  logic [7:0] byte_i,
  output logic       byte_valid_o,
  output logic [7:0] byte_o,
  output logic       is_idle_o,
  output integer     errors_o
);
  logic ras_n, cas_n, we_n, dq_drive, unused_running;
  logic [1:0] bank;
  logic [ROW_BITS-1:0] chip_address;
  logic [15:0] dq_from_chip, dq_to_chip;
  tern_device #(
    .LANES(LANES), .BATCH(BATCH), .WIDTH(WIDTH), .INPUTS(INPUTS), .GATES(GATES), .STATES(STATES), .ROW_BITS(ROW_BITS),
    .SILENCE(SILENCE), .WATCHDOG(WATCHDOG), .POWER_UP(100)
  ) u_device (
    .clk_i, .rst_i(rst_i), .byte_valid_i, .byte_ready_o, .byte_i, .is_overrun_i(1'b0), .byte_valid_o,
    .byte_ready_i(1'b1), .byte_o, .is_running_o(unused_running), .is_idle_o, .ras_no(ras_n), .cas_no(cas_n),
    .we_no(we_n), .bank_o(bank), .chip_address_o(chip_address), .dq_i(dq_from_chip), .dq_o(dq_to_chip),
    .dq_drive_o(dq_drive)
  );
  sdram_model #(.ROW_BITS(ROW_BITS)) u_chip (
    .clk_i, .ras_ni(ras_n), .cas_ni(cas_n), .we_ni(we_n), .bank_i(bank), .address_i(chip_address),
    .dq_o(dq_from_chip), .dq_i(dq_to_chip), .dq_driven_i(dq_drive), .errors_o
  );
  logic unused;
  assign unused = &{1'b0, unused_running};
endmodule
