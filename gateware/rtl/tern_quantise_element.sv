// An int8 input of a ternary matrix: P = v w12, then q = RSH(SAT(RSH(P, shift), 18) R, 26) within +-127. A stream, one element
// every cycle. |P| comes along for the pass before, which looks for the largest.
module tern_quantise_element (
  input  logic               clk_i,
  input  logic               rst_i,
  input  logic               in_valid_i,
  output logic               in_ready_o,
  input  logic signed [31:0] v_i,
  input  logic signed [17:0] w12_i,
  // The shift and 16: 0..47. Both hold still while elements are on their way.
  input  logic [5:0]         shift_i,
  input  logic [16:0]        reciprocal_i,
  output logic               out_valid_o,
  input  logic               out_ready_i,
  output logic [48:0]        magnitude_o,
  output logic signed [7:0]  q_o
);
  logic en, unused_p, unused_q;
  logic signed [49:0] product;
  logic signed [17:0] p;
  logic signed [35:0] scaled;
  logic [48:0] magnitude_q;
  tern_valid #(.LATENCY(16)) u_valid (
    .clk_i, .rst_i, .in_valid_i, .in_ready_o, .out_valid_o, .out_ready_i, .en_o(en)
  );
  tern_multiply #(.A_BITS(32), .B_BITS(18)) u_product (
    .clk_i, .en_i(en), .a_i(v_i), .b_i(w12_i), .product_o(product)
  );
  tern_round_shift #(.IN_BITS(66), .SHIFT_BITS(6), .OUT_BITS(18)) u_p (
    .clk_i, .en_i(en), .value_i({product, 16'b0}), .shift_i, .value_o(p), .is_clamped_o(unused_p)
  );
  tern_multiply #(.A_BITS(18), .B_BITS(18)) u_scaled (
    .clk_i, .en_i(en), .a_i(p), .b_i({1'b0, reciprocal_i}), .product_o(scaled)
  );
  tern_round_shift #(.IN_BITS(36), .SHIFT_BITS(5), .OUT_BITS(8)) u_q (
    .clk_i, .en_i(en), .value_i(scaled), .shift_i(5'd26), .value_o(q_o), .is_clamped_o(unused_q)
  );
  always_ff @(posedge clk_i) if (en) magnitude_q <= product[49] ? 49'(-product) : product[48:0];
  tern_delay #(.BITS(49), .CYCLES(11)) u_magnitude (
    .clk_i, .rst_i, .en_i(en), .value_i(magnitude_q), .value_o(magnitude_o)
  );
  logic unused;
  assign unused = &{1'b0, unused_p, unused_q};
endmodule
