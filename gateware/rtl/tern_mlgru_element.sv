// One channel of MLGRU and what the state shows (docs/fpga-numerics.md 6): h goes towards silu(i) by 1 - f, v = g h sigmoid(h),
// and the square of g that the epsilon of v's norm needs. A stream, one channel every cycle.
module tern_mlgru_element (
  input  logic               clk_i,
  input  logic               rst_i,
  input  logic               in_valid_i,
  output logic               in_ready_o,
  input  logic signed [23:0] i_i,
  input  logic signed [23:0] f_i,
  input  logic signed [23:0] g_i,
  input  logic [15:0]        lower_bound_i,
  input  logic signed [27:0] h_i,
  output logic               out_valid_o,
  input  logic               out_ready_i,
  output logic signed [27:0] h_o,
  output logic signed [31:0] v_o,
  output logic               is_v_clamped_o,
  output logic [31:0]        g_square_o
);
  localparam int AT_C = 15, AT_H = 25, AT_SHOWN = 44, LATENCY = 52;
  logic en;
  tern_valid #(.LATENCY(LATENCY)) u_valid (
    .clk_i, .rst_i, .in_valid_i, .in_ready_o, .out_valid_o, .out_ready_i, .en_o(en)
  );

  // c = silu(i) and nf = 1 - f, both AT_C.
  logic signed [27:0] c;
  tern_silu u_silu (.clk_i, .rst_i, .en_i(en), .x_i(i_i), .y_o(c));
  logic [16:0] sigmoid_f;
  logic [15:0] lower_bound_late;
  logic signed [35:0] open_product;
  logic signed [17:0] nf;
  logic unused_nf;
  tern_sigmoid u_sigmoid_f (.clk_i, .en_i(en), .x_i(f_i), .y_o(sigmoid_f));
  tern_delay #(.BITS(16), .CYCLES(7)) u_lower_bound (
    .clk_i, .rst_i, .en_i(en), .value_i(lower_bound_i), .value_o(lower_bound_late)
  );
  tern_multiply #(.A_BITS(18), .B_BITS(18)) u_open (
    .clk_i, .en_i(en), .a_i(18'sh10000 - 18'({2'b0, lower_bound_late})), .b_i(18'sh10000 - {1'b0, sigmoid_f}),
    .product_o(open_product)
  );
  tern_round_shift #(.IN_BITS(36), .SHIFT_BITS(5), .OUT_BITS(18)) u_nf (
    .clk_i, .en_i(en), .value_i(open_product), .shift_i(5'd16), .value_o(nf), .is_clamped_o(unused_nf)
  );

  // h + RSH((c - h) nf, 16), AT_H.
  logic [27:0] h_at_c, h_before;
  tern_delay #(.BITS(28), .CYCLES(AT_C)) u_h_at_c (.clk_i, .rst_i, .en_i(en), .value_i(h_i), .value_o(h_at_c));
  tern_delay #(.BITS(28), .CYCLES(AT_H - 1 - AT_C)) u_h_before (
    .clk_i, .rst_i, .en_i(en), .value_i(h_at_c), .value_o(h_before)
  );
  logic signed [28:0] way_q;
  logic signed [17:0] nf_q;
  logic signed [46:0] step_product;
  logic signed [28:0] step;
  logic unused_step;
  tern_multiply #(.A_BITS(29), .B_BITS(18)) u_step_product (
    .clk_i, .en_i(en), .a_i(way_q), .b_i(nf_q), .product_o(step_product)
  );
  tern_round_shift #(.IN_BITS(47), .SHIFT_BITS(5), .OUT_BITS(29)) u_step (
    .clk_i, .en_i(en), .value_i(step_product), .shift_i(5'd16), .value_o(step), .is_clamped_o(unused_step)
  );
  logic signed [27:0] h_q;
  always_ff @(posedge clk_i) begin
    if (en) begin
      way_q <= 29'($signed(c)) - 29'($signed(h_at_c));
      nf_q  <= nf;
      h_q   <= $signed(h_before) + step[27:0];
    end
  end

  // hs = h sigmoid(h), AT_SHOWN.
  logic signed [23:0] h24;
  logic [16:0] sigmoid_h;
  logic [27:0] h_late;
  logic signed [45:0] shown_product;
  logic signed [27:0] shown;
  logic unused_h24, unused_shown;
  tern_round_shift #(.IN_BITS(28), .SHIFT_BITS(3), .OUT_BITS(24)) u_h24 (
    .clk_i, .en_i(en), .value_i(h_q), .shift_i(3'd4), .value_o(h24), .is_clamped_o(unused_h24)
  );
  tern_sigmoid u_sigmoid_h (.clk_i, .en_i(en), .x_i(h24), .y_o(sigmoid_h));
  tern_delay #(.BITS(28), .CYCLES(11)) u_h_late (.clk_i, .rst_i, .en_i(en), .value_i(h_q), .value_o(h_late));
  tern_multiply #(.A_BITS(28), .B_BITS(18)) u_shown_product (
    .clk_i, .en_i(en), .a_i(h_late), .b_i({1'b0, sigmoid_h}), .product_o(shown_product)
  );
  tern_round_shift #(.IN_BITS(46), .SHIFT_BITS(5), .OUT_BITS(28)) u_shown (
    .clk_i, .en_i(en), .value_i(shown_product), .shift_i(5'd16), .value_o(shown), .is_clamped_o(unused_shown)
  );

  // v and the square of g, at LATENCY.
  logic [23:0] g_late;
  logic signed [51:0] v_product;
  logic signed [16:0] g7;
  logic signed [33:0] g_square;
  logic unused_g7;
  tern_delay #(.BITS(24), .CYCLES(AT_SHOWN)) u_g (.clk_i, .rst_i, .en_i(en), .value_i(g_i), .value_o(g_late));
  tern_multiply #(.A_BITS(28), .B_BITS(24)) u_v_product (
    .clk_i, .en_i(en), .a_i(shown), .b_i(g_late), .product_o(v_product)
  );
  tern_round_shift #(.IN_BITS(52), .SHIFT_BITS(4), .OUT_BITS(32)) u_v (
    .clk_i, .en_i(en), .value_i(v_product), .shift_i(4'd14), .value_o(v_o), .is_clamped_o(is_v_clamped_o)
  );
  tern_round_shift #(.IN_BITS(24), .SHIFT_BITS(3), .OUT_BITS(17)) u_g7 (
    .clk_i, .en_i(en), .value_i(g_late), .shift_i(3'd5), .value_o(g7), .is_clamped_o(unused_g7)
  );
  tern_multiply #(.A_BITS(17), .B_BITS(17)) u_g_square (.clk_i, .en_i(en), .a_i(g7), .b_i(g7), .product_o(g_square));
  assign g_square_o = g_square[31:0];
  tern_delay #(.BITS(28), .CYCLES(LATENCY - AT_H)) u_h_out (.clk_i, .rst_i, .en_i(en), .value_i(h_q), .value_o(h_o));

  logic unused;
  assign unused = &{1'b0, unused_nf, unused_step, step[28], unused_h24, unused_shown, unused_g7, g_square[33:32]};
endmodule
