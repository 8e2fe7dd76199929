// z = silu(gate) up, s24.12 to s32.14. A stream, one element every cycle.
module tern_glu_element (
  input  logic               clk_i,
  input  logic               rst_i,
  input  logic               in_valid_i,
  output logic               in_ready_o,
  input  logic signed [23:0] gate_i,
  input  logic signed [23:0] up_i,
  output logic               out_valid_o,
  input  logic               out_ready_i,
  output logic signed [31:0] z_o,
  output logic               is_clamped_o
);
  logic en;
  logic signed [27:0] silu;
  logic [23:0] up_late;
  logic signed [51:0] product;
  tern_valid #(.LATENCY(23)) u_valid (
    .clk_i, .rst_i, .in_valid_i, .in_ready_o, .out_valid_o, .out_ready_i, .en_o(en)
  );
  tern_silu u_silu (.clk_i, .rst_i, .en_i(en), .x_i(gate_i), .y_o(silu));
  tern_delay #(.BITS(24), .CYCLES(15)) u_up (.clk_i, .rst_i, .en_i(en), .value_i(up_i), .value_o(up_late));
  tern_multiply #(.A_BITS(28), .B_BITS(24)) u_product (
    .clk_i, .en_i(en), .a_i(silu), .b_i(up_late), .product_o(product)
  );
  tern_round_shift #(.IN_BITS(52), .SHIFT_BITS(4), .OUT_BITS(32)) u_round (
    .clk_i, .en_i(en), .value_i(product), .shift_i(4'd14), .value_o(z_o), .is_clamped_o
  );
endmodule
