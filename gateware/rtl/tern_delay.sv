// The same value CYCLES later, CYCLES >= 2: a ring in LUT RAM and a register. Without a reset: what it holds at first is nobody's.
module tern_delay #(
  parameter int BITS = 1,
  parameter int CYCLES = 2
) (
  input  logic            clk_i,
  input  logic            rst_i,
  input  logic            en_i,
  input  logic [BITS-1:0] value_i,
  output logic [BITS-1:0] value_o
);
  localparam int DEPTH = CYCLES - 1;
  localparam int AT_BITS = DEPTH > 1 ? $clog2(DEPTH) : 1;
  logic [BITS-1:0] ring_q[DEPTH];
  logic [AT_BITS-1:0] at_q;
  always_ff @(posedge clk_i) begin
    if (rst_i) at_q <= '0;
    else if (en_i) at_q <= at_q == AT_BITS'(DEPTH - 1) ? '0 : at_q + AT_BITS'(1);
    if (en_i) begin
      ring_q[at_q] <= value_i;
      value_o      <= ring_q[at_q];
    end
  end
endmodule
