// A signed product, one every cycle, LATENCY 4. Each factor is split into a signed high and an unsigned low part of 17 bits, so
// that every partial product fits one 18 x 18 block; unused parts are constant and vanish.
module tern_multiply #(
  parameter int A_BITS = 32,
  parameter int B_BITS = 18
) (
  input  logic                            clk_i,
  input  logic                            en_i,
  input  logic signed [A_BITS-1:0]        a_i,
  input  logic signed [B_BITS-1:0]        b_i,
  output logic signed [A_BITS+B_BITS-1:0] product_o
);
  localparam int P_BITS = A_BITS + B_BITS;
  localparam bit SPLIT_A = A_BITS > 18;
  localparam bit SPLIT_B = B_BITS > 18;

  logic signed [17:0] a_high, a_low, b_high, b_low;
  generate
    if (SPLIT_A) begin : g_split_a
      assign a_high = 18'($signed(a_i[A_BITS-1:17]));
      assign a_low  = {1'b0, a_i[16:0]};
    end else begin : g_whole_a
      assign a_high = '0;
      assign a_low  = 18'(a_i);
    end
    if (SPLIT_B) begin : g_split_b
      assign b_high = 18'($signed(b_i[B_BITS-1:17]));
      assign b_low  = {1'b0, b_i[16:0]};
    end else begin : g_whole_b
      assign b_high = '0;
      assign b_low  = 18'(b_i);
    end
  endgenerate

  logic signed [17:0] a_high_q, a_low_q, b_high_q, b_low_q;
  logic signed [35:0] low_low_q, high_low_q, low_high_q, high_high_q;
  logic signed [53:0] low_q, high_q;
  logic signed [70:0] sum_q;

  always_ff @(posedge clk_i) begin
    if (en_i) begin
      a_high_q    <= a_high;
      a_low_q     <= a_low;
      b_high_q    <= b_high;
      b_low_q     <= b_low;
      low_low_q   <= a_low_q * b_low_q;
      high_low_q  <= a_high_q * b_low_q;
      low_high_q  <= a_low_q * b_high_q;
      high_high_q <= a_high_q * b_high_q;
      low_q       <= 54'(low_low_q) + (54'(high_low_q) <<< 17);
      high_q      <= 54'(low_high_q) + (54'(high_high_q) <<< 17);
      sum_q       <= 71'(low_q) + (71'(high_q) <<< 17);
    end
  end
  assign product_o = sum_q[P_BITS-1:0];

  // Above the product's own bits there is only its sign.
  logic unused;
  assign unused = &{1'b0, sum_q[70:P_BITS]};
endmodule
