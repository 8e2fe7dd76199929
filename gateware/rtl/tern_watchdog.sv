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

`ifdef FORMAL
  logic [BITS:0] f_still_q;
  initial assume (rst_i);
  always_ff @(posedge clk_i) begin
    f_still_q <= rst_i || !is_running_i || progress_i || fires_o ? '0 : f_still_q + (BITS+1)'(1);
    if (!rst_i) begin
      assert (f_still_q <= (BITS+1)'(CYCLES));
      assert ((BITS+1)'(left_q) + f_still_q == (BITS+1)'(CYCLES));
      assert (fires_o == (is_running_i && !progress_i && f_still_q == (BITS+1)'(CYCLES)));
    end
  end
`endif
endmodule
