// Benches of the arithmetic: each a module between a source and a check, with its vectors of the golden model
// (test/gateware/vectors.ts). FILE is without its ending.

module bench_multiply #(
  parameter int COUNT = 1, A_BITS = 32, B_BITS = 18,
  parameter IN = "", OUT = ""
) (input logic clk_i, rst_i, output logic is_done_o, output integer errors_o);
  logic in_valid, in_ready, out_valid, out_ready, en;
  logic [A_BITS-1:0] a;
  logic [B_BITS-1:0] b;
  logic [A_BITS+B_BITS-1:0] product;
  vector_source #(.BITS(A_BITS + B_BITS), .COUNT(COUNT), .FILE(IN), .SEED(16'hace1)) u_source (
    .clk_i, .rst_i, .valid_o(in_valid), .ready_i(in_ready), .data_o({a, b}));
  tern_valid #(.LATENCY(4)) u_valid (.clk_i, .rst_i, .in_valid_i(in_valid), .in_ready_o(in_ready), .out_valid_o(out_valid),
    .out_ready_i(out_ready), .en_o(en));
  tern_multiply #(.A_BITS(A_BITS), .B_BITS(B_BITS)) dut (.clk_i, .en_i(en), .a_i(a), .b_i(b), .product_o(product));
  vector_check #(.BITS(A_BITS + B_BITS), .COUNT(COUNT), .FILE(OUT), .SEED(16'h1d0d)) u_check (
    .clk_i, .rst_i, .valid_i(out_valid), .ready_o(out_ready), .data_i(product), .is_done_o, .errors_o);
endmodule

module bench_round_shift #(
  parameter int COUNT = 1, IN_BITS = 50, SHIFT_BITS = 6, OUT_BITS = 18,
  parameter IN = "", OUT = ""
) (input logic clk_i, rst_i, output logic is_done_o, output integer errors_o);
  logic in_valid, in_ready, out_valid, out_ready, en, is_clamped;
  logic [IN_BITS-1:0] value;
  logic [SHIFT_BITS-1:0] shift;
  logic [OUT_BITS-1:0] result;
  vector_source #(.BITS(IN_BITS + SHIFT_BITS), .COUNT(COUNT), .FILE(IN), .SEED(16'hbee1)) u_source (
    .clk_i, .rst_i, .valid_o(in_valid), .ready_i(in_ready), .data_o({value, shift}));
  tern_valid #(.LATENCY(4)) u_valid (.clk_i, .rst_i, .in_valid_i(in_valid), .in_ready_o(in_ready), .out_valid_o(out_valid),
    .out_ready_i(out_ready), .en_o(en));
  tern_round_shift #(.IN_BITS(IN_BITS), .SHIFT_BITS(SHIFT_BITS), .OUT_BITS(OUT_BITS)) dut (
    .clk_i, .en_i(en), .value_i(value), .shift_i(shift), .value_o(result), .is_clamped_o(is_clamped));
  vector_check #(.BITS(OUT_BITS + 1), .COUNT(COUNT), .FILE(OUT), .SEED(16'h2d0d)) u_check (
    .clk_i, .rst_i, .valid_i(out_valid), .ready_o(out_ready), .data_i({result, is_clamped}), .is_done_o, .errors_o);
endmodule

module bench_divide #(
  parameter int COUNT = 1,
  parameter IN = "", OUT = ""
) (input logic clk_i, rst_i, output logic is_done_o, output integer errors_o);
  logic in_valid, in_ready, out_valid, out_ready;
  logic [35:0] numerator, quotient;
  logic [16:0] divisor;
  vector_source #(.BITS(53), .COUNT(COUNT), .FILE(IN), .SEED(16'h3ee1)) u_source (
    .clk_i, .rst_i, .valid_o(in_valid), .ready_i(in_ready), .data_o({numerator, divisor}));
  tern_divide dut (.clk_i, .rst_i, .in_valid_i(in_valid), .in_ready_o(in_ready), .numerator_i(numerator),
    .divisor_i(divisor), .out_valid_o(out_valid), .out_ready_i(out_ready), .quotient_o(quotient));
  vector_check #(.BITS(36), .COUNT(COUNT), .FILE(OUT), .SEED(16'h3d0d)) u_check (
    .clk_i, .rst_i, .valid_i(out_valid), .ready_o(out_ready), .data_i(quotient), .is_done_o, .errors_o);
endmodule

module bench_root #(
  parameter int COUNT = 1,
  parameter IN = "", OUT = ""
) (input logic clk_i, rst_i, output logic is_done_o, output integer errors_o);
  logic in_valid, in_ready, out_valid, out_ready;
  logic [47:0] square;
  logic [16:0] mantissa;
  logic [5:0] shift;
  vector_source #(.BITS(48), .COUNT(COUNT), .FILE(IN), .SEED(16'h4ee1)) u_source (
    .clk_i, .rst_i, .valid_o(in_valid), .ready_i(in_ready), .data_o(square));
  tern_root dut (.clk_i, .rst_i, .in_valid_i(in_valid), .in_ready_o(in_ready), .square_i(square),
    .out_valid_o(out_valid), .out_ready_i(out_ready), .mantissa_o(mantissa), .shift_o(shift));
  vector_check #(.BITS(23), .COUNT(COUNT), .FILE(OUT), .SEED(16'h4d0d)) u_check (
    .clk_i, .rst_i, .valid_i(out_valid), .ready_o(out_ready), .data_i({mantissa, shift}), .is_done_o, .errors_o);
endmodule

module bench_silu #(
  parameter int COUNT = 1,
  parameter IN = "", OUT = ""
) (input logic clk_i, rst_i, output logic is_done_o, output integer errors_o);
  logic in_valid, in_ready, out_valid, out_ready, en;
  logic [23:0] x;
  logic [16:0] sigmoid, sigmoid_late;
  logic [27:0] silu;
  vector_source #(.BITS(24), .COUNT(COUNT), .FILE(IN), .SEED(16'h5ee1)) u_source (
    .clk_i, .rst_i, .valid_o(in_valid), .ready_i(in_ready), .data_o(x));
  tern_valid #(.LATENCY(15)) u_valid (.clk_i, .rst_i, .in_valid_i(in_valid), .in_ready_o(in_ready), .out_valid_o(out_valid),
    .out_ready_i(out_ready), .en_o(en));
  tern_silu dut (.clk_i, .rst_i, .en_i(en), .x_i(x), .y_o(silu));
  tern_sigmoid dut_sigmoid (.clk_i, .en_i(en), .x_i(x), .y_o(sigmoid));
  tern_delay #(.BITS(17), .CYCLES(8)) u_late (.clk_i, .rst_i, .en_i(en), .value_i(sigmoid), .value_o(sigmoid_late));
  vector_check #(.BITS(45), .COUNT(COUNT), .FILE(OUT), .SEED(16'h5d0d)) u_check (
    .clk_i, .rst_i, .valid_i(out_valid), .ready_o(out_ready), .data_i({sigmoid_late, silu}), .is_done_o, .errors_o);
endmodule

module bench_mlgru_element #(
  parameter int COUNT = 1,
  parameter IN = "", OUT = ""
) (input logic clk_i, rst_i, output logic is_done_o, output integer errors_o);
  logic in_valid, in_ready, out_valid, out_ready, is_clamped;
  logic [23:0] i, f, g;
  logic [15:0] lower_bound;
  logic [27:0] h, h_after;
  logic [31:0] v, g_square;
  vector_source #(.BITS(116), .COUNT(COUNT), .FILE(IN), .SEED(16'h6ee1)) u_source (
    .clk_i, .rst_i, .valid_o(in_valid), .ready_i(in_ready), .data_o({i, f, g, lower_bound, h}));
  tern_mlgru_element dut (.clk_i, .rst_i, .in_valid_i(in_valid), .in_ready_o(in_ready), .i_i(i), .f_i(f), .g_i(g),
    .lower_bound_i(lower_bound), .h_i(h), .out_valid_o(out_valid), .out_ready_i(out_ready), .h_o(h_after), .v_o(v),
    .is_v_clamped_o(is_clamped), .g_square_o(g_square));
  vector_check #(.BITS(93), .COUNT(COUNT), .FILE(OUT), .SEED(16'h6d0d)) u_check (.clk_i, .rst_i, .valid_i(out_valid),
    .ready_o(out_ready), .data_i({h_after, v, is_clamped, g_square}), .is_done_o, .errors_o);
endmodule

module bench_glu_element #(
  parameter int COUNT = 1,
  parameter IN = "", OUT = ""
) (input logic clk_i, rst_i, output logic is_done_o, output integer errors_o);
  logic in_valid, in_ready, out_valid, out_ready, is_clamped;
  logic [23:0] gate, up;
  logic [31:0] z;
  vector_source #(.BITS(48), .COUNT(COUNT), .FILE(IN), .SEED(16'h7ee1)) u_source (
    .clk_i, .rst_i, .valid_o(in_valid), .ready_i(in_ready), .data_o({gate, up}));
  tern_glu_element dut (.clk_i, .rst_i, .in_valid_i(in_valid), .in_ready_o(in_ready), .gate_i(gate), .up_i(up),
    .out_valid_o(out_valid), .out_ready_i(out_ready), .z_o(z), .is_clamped_o(is_clamped));
  vector_check #(.BITS(33), .COUNT(COUNT), .FILE(OUT), .SEED(16'h7d0d)) u_check (
    .clk_i, .rst_i, .valid_i(out_valid), .ready_o(out_ready), .data_i({z, is_clamped}), .is_done_o, .errors_o);
endmodule

module bench_square_term #(
  parameter int COUNT = 1, SHIFT = 0,
  parameter IN = "", OUT = ""
) (input logic clk_i, rst_i, output logic is_done_o, output integer errors_o);
  logic in_valid, in_ready, out_valid, out_ready;
  logic [31:0] v;
  logic [15:0] w1;
  logic [34:0] square;
  vector_source #(.BITS(48), .COUNT(COUNT), .FILE(IN), .SEED(16'h8ee1)) u_source (
    .clk_i, .rst_i, .valid_o(in_valid), .ready_i(in_ready), .data_o({v, w1}));
  tern_square_term dut (.clk_i, .rst_i, .in_valid_i(in_valid), .in_ready_o(in_ready), .v_i(v), .w1_i(w1),
    .shift_i(5'(SHIFT)), .out_valid_o(out_valid), .out_ready_i(out_ready), .square_o(square));
  vector_check #(.BITS(35), .COUNT(COUNT), .FILE(OUT), .SEED(16'h8d0d)) u_check (
    .clk_i, .rst_i, .valid_i(out_valid), .ready_o(out_ready), .data_i(square), .is_done_o, .errors_o);
endmodule

module bench_quantise_element #(
  parameter int COUNT = 1, SHIFT = 0, RECIPROCAL = 1,
  parameter IN = "", OUT = ""
) (input logic clk_i, rst_i, output logic is_done_o, output integer errors_o);
  logic in_valid, in_ready, out_valid, out_ready;
  logic [31:0] v;
  logic [17:0] w12;
  logic [48:0] magnitude;
  logic [7:0] q;
  vector_source #(.BITS(50), .COUNT(COUNT), .FILE(IN), .SEED(16'h9ee1)) u_source (
    .clk_i, .rst_i, .valid_o(in_valid), .ready_i(in_ready), .data_o({v, w12}));
  tern_quantise_element dut (.clk_i, .rst_i, .in_valid_i(in_valid), .in_ready_o(in_ready), .v_i(v), .w12_i(w12),
    .shift_i(6'(SHIFT + 16)), .reciprocal_i(17'(RECIPROCAL)), .out_valid_o(out_valid), .out_ready_i(out_ready),
    .magnitude_o(magnitude), .q_o(q));
  vector_check #(.BITS(57), .COUNT(COUNT), .FILE(OUT), .SEED(16'h9d0d)) u_check (
    .clk_i, .rst_i, .valid_i(out_valid), .ready_o(out_ready), .data_i({magnitude, q}), .is_done_o, .errors_o);
endmodule

module bench_requantise_element #(
  parameter int COUNT = 1,
  parameter IN = "", OUT = ""
) (input logic clk_i, rst_i, output logic is_done_o, output integer errors_o);
  logic in_valid, in_ready, out_valid, out_ready, is_residual, is_clamped;
  logic [20:0] sum;
  logic [15:0] mantissa;
  logic [5:0] shift;
  logic [31:0] residual, value;
  logic [7:0] tag, tag_out;
  vector_source #(.BITS(84), .COUNT(COUNT), .FILE(IN), .SEED(16'haee1)) u_source (
    .clk_i, .rst_i, .valid_o(in_valid), .ready_i(in_ready),
    .data_o({sum, mantissa, shift, is_residual, residual, tag}));
  tern_requantise_element #(.TAG_BITS(8)) dut (.clk_i, .rst_i, .in_valid_i(in_valid), .in_ready_o(in_ready),
    .sum_i(sum), .mantissa_i(mantissa), .shift_i(shift), .is_residual_i(is_residual), .residual_i(residual),
    .tag_i(tag), .out_valid_o(out_valid), .out_ready_i(out_ready), .value_o(value), .is_clamped_o(is_clamped),
    .tag_o(tag_out));
  vector_check #(.BITS(41), .COUNT(COUNT), .FILE(OUT), .SEED(16'had0d)) u_check (
    .clk_i, .rst_i, .valid_i(out_valid), .ready_o(out_ready), .data_i({value, is_clamped, tag_out}), .is_done_o,
    .errors_o);
endmodule

module bench_unpack #(
  parameter int COUNT = 1, OUT_COUNT = 1, LANES = 16, BASE3 = 0,
  parameter IN = "", OUT = ""
) (input logic clk_i, rst_i, output logic is_done_o, output integer errors_o);
  logic in_valid, in_ready, out_valid, out_ready;
  logic [15:0] word;
  logic [2*LANES-1:0] codes;
  vector_source #(.BITS(16), .COUNT(COUNT), .FILE(IN), .SEED(16'hbee2)) u_source (
    .clk_i, .rst_i, .valid_o(in_valid), .ready_i(in_ready), .data_o(word));
  tern_unpack #(.LANES(LANES)) dut (.clk_i, .rst_i, .clear_i(1'b0), .is_base3_i(BASE3 != 0), .in_valid_i(in_valid),
    .in_ready_o(in_ready), .word_i(word), .out_valid_o(out_valid), .out_ready_i(out_ready), .codes_o(codes));
  vector_check #(.BITS(2 * LANES), .COUNT(OUT_COUNT), .FILE(OUT), .SEED(16'hbd0d)) u_check (
    .clk_i, .rst_i, .valid_i(out_valid), .ready_o(out_ready), .data_i(codes), .is_done_o, .errors_o);
endmodule

// The first vectors of INPUTS are the int8 inputs, which are written before anything else comes.
module bench_ternary_matvec #(
  parameter int COUNT = 1, OUT_COUNT = 1, LANES = 16, BATCH = 2, BEATS = 4, TOKENS = 1, INPUTS = 256,
  parameter IN = "", OUT = "", Q = ""
) (input logic clk_i, rst_i, output logic is_done_o, output integer errors_o);
  localparam int TOKEN_BITS = BATCH > 1 ? $clog2(BATCH) : 1;
  localparam int BEAT_BITS = $clog2(INPUTS / LANES);
  logic in_valid, in_ready, out_valid, out_ready, is_loaded_q;
  logic [2*LANES-1:0] codes;
  logic [TOKEN_BITS-1:0] token;
  logic [13:0] row;
  logic [20:0] sum;
  logic [8*LANES-1:0] inputs[TOKENS*BEATS];
  integer at_q;
  initial $readmemh(Q, inputs);
  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      at_q        <= 0;
      is_loaded_q <= 1'b0;
    end else if (at_q < TOKENS * BEATS) at_q <= at_q + 1;
    else is_loaded_q <= 1'b1;
  end
  vector_source #(.BITS(2 * LANES), .COUNT(COUNT), .FILE(IN), .SEED(16'hcee1)) u_source (
    .clk_i, .rst_i(rst_i || !is_loaded_q), .valid_o(in_valid), .ready_i(in_ready), .data_o(codes));
  tern_ternary_matvec #(.LANES(LANES), .BATCH(BATCH), .INPUTS(INPUTS)) dut (
    .clk_i, .rst_i, .clear_i(!is_loaded_q), .beats_i((BEAT_BITS+1)'(BEATS)), .last_token_i(TOKEN_BITS'(TOKENS - 1)),
    .q_write_i(!rst_i && at_q < TOKENS * BEATS), .q_token_i(TOKEN_BITS'(at_q / BEATS)),
    .q_beat_i(BEAT_BITS'(at_q % BEATS)), .q_i(inputs[at_q]), .in_valid_i(in_valid), .in_ready_o(in_ready),
    .codes_i(codes), .out_valid_o(out_valid), .out_ready_i(out_ready), .out_token_o(token), .out_row_o(row),
    .out_sum_o(sum));
  vector_check #(.BITS(23), .COUNT(OUT_COUNT), .FILE(OUT), .SEED(16'hcd0d)) u_check (
    .clk_i, .rst_i(rst_i || !is_loaded_q), .valid_i(out_valid), .ready_o(out_ready), .data_i({2'(token), sum}),
    .is_done_o, .errors_o);
endmodule
