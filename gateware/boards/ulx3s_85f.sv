// ULX3S with an ECP5-85F and 32 MB of SDR SDRAM: clock, serial line of the FT231X, pins of the memory.
module ulx3s_85f #(
  // 25 MHz / INPUT times FEEDBACK: 62.5 MHz, which place and route reaches. The oscillator runs at that times OUTPUT, which has
  // to lie in 400..800 MHz.
  parameter int INPUT = 2,
  parameter int FEEDBACK = 5,
  parameter int OUTPUT = 10,
  parameter int BAUD_KHZ = 2000
) (
  input  logic        clk_25mhz,
  input  logic        reset_button_n,
  output logic        ftdi_rxd,
  input  logic        ftdi_txd,
  output logic        wifi_gpio0,
  output logic [3:0]  led,
  output logic        sdram_clk,
  output logic        sdram_cke,
  output logic        sdram_cs_n,
  output logic        sdram_ras_n,
  output logic        sdram_cas_n,
  output logic        sdram_we_n,
  output logic [1:0]  sdram_ba,
  output logic [12:0] sdram_a,
  output logic [1:0]  sdram_dqm,
  inout  wire  [15:0] sdram_d
);
  localparam int CLOCK_KHZ = 25000 * FEEDBACK / INPUT;
  logic clk, is_locked;
  (* FREQUENCY_PIN_CLKI = "25", ICP_CURRENT = "12", LPF_RESISTOR = "8", MFG_ENABLE_FILTEROPAMP = "1", MFG_GMCREF_SEL = "2" *)
  EHXPLLL #(
    .PLLRST_ENA("DISABLED"), .INTFB_WAKE("DISABLED"), .STDBY_ENABLE("DISABLED"), .DPHASE_SOURCE("DISABLED"),
    .OUTDIVIDER_MUXA("DIVA"), .OUTDIVIDER_MUXB("DIVB"), .OUTDIVIDER_MUXC("DIVC"), .OUTDIVIDER_MUXD("DIVD"),
    .CLKI_DIV(INPUT), .CLKOP_ENABLE("ENABLED"), .CLKOP_DIV(OUTPUT), .CLKOP_CPHASE(OUTPUT / 2 - 1), .CLKOP_FPHASE(0),
    .FEEDBK_PATH("CLKOP"), .CLKFB_DIV(FEEDBACK)
  ) u_pll (
    .RST(1'b0), .STDBY(1'b0), .CLKI(clk_25mhz), .CLKOP(clk), .CLKFB(clk), .CLKINTFB(), .PHASESEL0(1'b0),
    .PHASESEL1(1'b0), .PHASEDIR(1'b1), .PHASESTEP(1'b1), .PHASELOADREG(1'b1), .PLLWAKESYNC(1'b0), .ENCLKOP(1'b0),
    .LOCK(is_locked)
  );

  logic [3:0] reset_q = '1;
  always_ff @(posedge clk) reset_q <= {reset_q[2:0], !is_locked || !reset_button_n};

  logic received, received_ready, sends, send_ready, overrun_q, is_running, is_idle, waits, wait_ready, stored, stored_ready;
  logic [7:0] stored_byte, received_byte, sent_byte, waiting_byte;
  logic [9:0] unused_count;
  tern_uart_receive #(.CYCLES_A_BIT((CLOCK_KHZ + BAUD_KHZ / 2) / BAUD_KHZ)) u_receive (
    .clk_i(clk), .rst_i(reset_q[3]), .line_i(ftdi_txd), .valid_o(received), .byte_o(received_byte)
  );
  tern_fifo #(.BITS(8), .DEPTH_BITS(9)) u_waiting (
    .clk_i(clk), .rst_i(reset_q[3]), .in_valid_i(received), .in_ready_o(received_ready), .value_i(received_byte),
    .out_valid_o(stored), .out_ready_i(stored_ready), .value_o(stored_byte), .count_o(unused_count)
  );
  tern_skid #(.BITS(8)) u_skid (
    .clk_i(clk), .rst_i(reset_q[3]), .in_valid_i(stored), .in_ready_o(stored_ready), .value_i(stored_byte),
    .out_valid_o(waits), .out_ready_i(wait_ready), .value_o(waiting_byte)
  );
  always_ff @(posedge clk) overrun_q <= !reset_q[3] && !is_idle && (overrun_q || received && !received_ready);
  tern_uart_send #(.CYCLES_A_BIT((CLOCK_KHZ + BAUD_KHZ / 2) / BAUD_KHZ)) u_send (
    .clk_i(clk), .rst_i(reset_q[3]), .valid_i(sends), .ready_o(send_ready), .byte_i(sent_byte), .line_o(ftdi_rxd)
  );

  logic [15:0] dq_in, dq_out;
  logic dq_drive;
  tern_device #(
    .LANES(32), .BATCH(4), .WIDTH(1024), .INPUTS(4096), .GATES(8192), .STATES(16384), .BOARD(1), .CLOCK_KHZ(CLOCK_KHZ),
    .SILENCE(10 * CLOCK_KHZ), .WATCHDOG(2000 * CLOCK_KHZ), .REFRESH_EVERY(7 * CLOCK_KHZ / 1000), .POWER_UP(CLOCK_KHZ / 5)
  ) u_device (
    .clk_i(clk), .rst_i(reset_q[3]), .byte_valid_i(waits), .byte_ready_o(wait_ready), .byte_i(waiting_byte),
    .is_overrun_i(overrun_q), .byte_valid_o(sends), .byte_ready_i(send_ready), .byte_o(sent_byte),
    .is_running_o(is_running), .is_idle_o(is_idle), .ras_no(sdram_ras_n), .cas_no(sdram_cas_n), .we_no(sdram_we_n),
    .bank_o(sdram_ba), .chip_address_o(sdram_a), .dq_i(dq_in), .dq_o(dq_out), .dq_drive_o(dq_drive)
  );
  // The chip's clock is half a cycle late, so that commands stand still when it looks.
  ODDRX1F u_clock (.D0(1'b0), .D1(1'b1), .SCLK(clk), .RST(1'b0), .Q(sdram_clk));
  assign sdram_d    = dq_drive ? dq_out : 16'hzzzz;
  assign dq_in      = sdram_d;
  assign sdram_cke  = 1'b1;
  assign sdram_cs_n = 1'b0;
  assign sdram_dqm  = 2'b00;
  // Keeps the board's other processor out of the way.
  assign wifi_gpio0 = 1'b1;
  assign led        = {is_locked, overrun_q, is_running, !is_idle};
  logic unused;
  assign unused = &{1'b0, unused_count};
endmodule
