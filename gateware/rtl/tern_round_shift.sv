// RSH and SAT of docs/fpga-numerics.md: floor(v / 2^shift + 1/2), clamped to +-(2^(OUT_BITS - 1) - 1). One every cycle, LATENCY 4.
// A bit below the point is carried along: after the shift it is the half that is to be added.
module tern_round_shift #(
  parameter int IN_BITS = 50,
  parameter int SHIFT_BITS = 6,
  parameter int OUT_BITS = 18
) (
  input  logic                       clk_i,
  input  logic                       en_i,
  input  logic signed [IN_BITS-1:0]  value_i,
  input  logic [SHIFT_BITS-1:0]      shift_i,
  output logic signed [OUT_BITS-1:0] value_o,
  output logic                       is_clamped_o
);
  localparam int COARSE_BITS = SHIFT_BITS > 3 ? SHIFT_BITS - 3 : 1;
  // At least as wide as the output, so that a narrow input needs no case of its own.
  localparam int WIDE = (IN_BITS > OUT_BITS ? IN_BITS : OUT_BITS) + 2;
  localparam logic signed [WIDE-1:0] MOST = (WIDE'(1) <<< (OUT_BITS - 1)) - WIDE'(1);

  logic [COARSE_BITS-1:0] coarse;
  logic [2:0] fine, fine_q;
  generate
    if (SHIFT_BITS > 3) begin : g_two_steps
      assign coarse = shift_i[SHIFT_BITS-1:3];
      assign fine   = shift_i[2:0];
    end else begin : g_one_step
      assign coarse = '0;
      assign fine   = 3'(shift_i);
    end
  endgenerate

  logic signed [WIDE-1:0] wide, coarse_q, fine_value_q, rounded_q;
  assign wide = WIDE'(value_i) <<< 1;

  logic is_over, is_under;
  assign is_over  = rounded_q > MOST;
  assign is_under = rounded_q < -MOST;

  always_ff @(posedge clk_i) begin
    if (en_i) begin
      coarse_q     <= wide >>> {coarse, 3'b000};
      fine_q       <= fine;
      fine_value_q <= coarse_q >>> fine_q;
      rounded_q    <= (fine_value_q >>> 1) + $signed(WIDE'({1'b0, fine_value_q[0]}));
      is_clamped_o <= is_over || is_under;
      if (is_over) value_o <= MOST[OUT_BITS-1:0];
      else if (is_under) value_o <= -MOST[OUT_BITS-1:0];
      else value_o <= rounded_q[OUT_BITS-1:0];
    end
  end
endmodule
