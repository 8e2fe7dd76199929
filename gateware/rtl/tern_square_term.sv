// A term of SITE: t^2, t = SAT(RSH(v w1, shift), 18). A stream, one element every cycle.
module tern_square_term (
  input  logic               clk_i,
  input  logic               rst_i,
  input  logic               in_valid_i,
  output logic               in_ready_o,
  input  logic signed [31:0] v_i,
  input  logic [15:0]        w1_i,
  // Holds still while elements are on their way.
  input  logic [4:0]         shift_i,
  output logic               out_valid_o,
  input  logic               out_ready_i,
  output logic [34:0]        square_o
);
  logic en, unused_clamp;
  logic signed [49:0] product;
  logic signed [17:0] t;
  logic signed [35:0] square;
  tern_valid #(.LATENCY(12)) u_valid (
    .clk_i, .rst_i, .in_valid_i, .in_ready_o, .out_valid_o, .out_ready_i, .en_o(en)
  );
  tern_multiply #(.A_BITS(32), .B_BITS(18)) u_product (
    .clk_i, .en_i(en), .a_i(v_i), .b_i({2'b00, w1_i}), .product_o(product)
  );
  tern_round_shift #(.IN_BITS(50), .SHIFT_BITS(5), .OUT_BITS(18)) u_t (
    .clk_i, .en_i(en), .value_i(product), .shift_i, .value_o(t), .is_clamped_o(unused_clamp)
  );
  tern_multiply #(.A_BITS(18), .B_BITS(18)) u_square (.clk_i, .en_i(en), .a_i(t), .b_i(t), .product_o(square));
  assign square_o = square[34:0];
  logic unused;
  assign unused = &{1'b0, unused_clamp, square[35]};
endmodule
