// Fires once when something ran for CYCLES without a step forward.
module tern_watchdog #(
  parameter int CYCLES = 200000000,
  localparam int BITS = $clog2(CYCLES + 1)
) (
  input  logic clk_i,
  input  logic rst_i,
  input  logic is_running_i,
  input  logic progress_i,
  output logic fires_o
);
  logic [BITS-1:0] left_q;
  assign fires_o = is_running_i && left_q == '0 && !progress_i;
  always_ff @(posedge clk_i) begin
    if (rst_i || !is_running_i || progress_i || fires_o) left_q <= BITS'(CYCLES);
    else left_q <= left_q - BITS'(1);
  end
endmodule
