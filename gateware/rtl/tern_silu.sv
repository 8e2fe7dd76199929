// SILU of docs/fpga-numerics.md: x SIG(x), s24.12 to s28.16. One every cycle, LATENCY 15.
module tern_silu (
  input  logic               clk_i,
  input  logic               rst_i,
  input  logic               en_i,
  input  logic signed [23:0] x_i,
  output logic signed [27:0] y_o
);
  logic [16:0] sigmoid;
  logic [23:0] x_late;
  logic signed [41:0] product;
  logic unused;

  tern_sigmoid u_sigmoid (.clk_i, .en_i, .x_i, .y_o(sigmoid));
  tern_delay #(.BITS(24), .CYCLES(7)) u_x (.clk_i, .rst_i, .en_i, .value_i(x_i), .value_o(x_late));
  tern_multiply #(.A_BITS(24), .B_BITS(18)) u_product (
    .clk_i, .en_i, .a_i(x_late), .b_i({1'b0, sigmoid}), .product_o(product)
  );
  tern_round_shift #(.IN_BITS(42), .SHIFT_BITS(4), .OUT_BITS(28)) u_round (
    .clk_i, .en_i, .value_i(product), .shift_i(4'd12), .value_o(y_o), .is_clamped_o(unused)
  );
endmodule
