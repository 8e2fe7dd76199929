// The rows of a ternary matrix for a batch of tokens: words of memory become codes, codes become sums, sums become gates or are
// added to the residual.
module tern_rows_op #(
  parameter int LANES = 16,
  parameter int BATCH = 2,
  parameter int INPUTS = 4096,
  parameter int ROW_BITS = 14,
  localparam int BEAT_BITS = $clog2(INPUTS / LANES),
  localparam int TOKEN_BITS = BATCH > 1 ? $clog2(BATCH) : 1
) (
  input  logic                  clk_i,
  input  logic                  rst_i,
  input  logic                  start_i,
  output logic                  is_idle_o,
  input  logic [ROW_BITS-1:0]   rows_i,
  input  logic [BEAT_BITS:0]    beats_i,
  input  logic [TOKEN_BITS-1:0] last_token_i,
  input  logic                  is_base3_i,
  input  logic                  is_residual_i,
  // The scale of the token whose inputs were written.
  input  logic                  scale_write_i,
  input  logic [15:0]           mantissa_i,
  input  logic [5:0]            shift_i,
  input  logic                  q_write_i,
  input  logic [TOKEN_BITS-1:0] q_token_i,
  input  logic [BEAT_BITS-1:0]  q_beat_i,
  input  logic [8*LANES-1:0]    q_i,
  input  logic                  word_valid_i,
  output logic                  word_ready_o,
  input  logic [15:0]           word_i,
  // The residual arrives two cycles after its place.
  output logic [TOKEN_BITS-1:0] residual_token_o,
  output logic [ROW_BITS-1:0]   residual_row_o,
  input  logic signed [31:0]    residual_i,
  output logic                  write_o,
  output logic [TOKEN_BITS-1:0] write_token_o,
  output logic [ROW_BITS-1:0]   write_row_o,
  output logic signed [31:0]    value_o,
  output logic                  is_clamped_o
);
  logic is_busy_q;
  logic [ROW_BITS-1:0] left_q;
  logic code_valid, code_ready, sum_valid, unused_ready, result_valid, is_clamped;
  logic [2*LANES-1:0] codes;
  logic signed [20:0] sum;
  logic word_ready;
  assign is_idle_o = !is_busy_q;
  // Words between matrices are not for the lanes.
  assign word_ready_o = is_busy_q && word_ready;

  tern_unpack #(.LANES(LANES)) u_unpack (
    .clk_i, .rst_i, .clear_i(start_i), .is_base3_i, .in_valid_i(is_busy_q && word_valid_i), .in_ready_o(word_ready),
    .word_i, .out_valid_o(code_valid), .out_ready_i(code_ready), .codes_o(codes)
  );
  tern_ternary_matvec #(.LANES(LANES), .BATCH(BATCH), .INPUTS(INPUTS), .ROW_BITS(ROW_BITS)) u_matvec (
    .clk_i, .rst_i, .clear_i(start_i), .beats_i, .last_token_i, .q_write_i, .q_token_i, .q_beat_i, .q_i,
    .in_valid_i(code_valid), .in_ready_o(code_ready), .codes_i(codes), .out_valid_o(sum_valid), .out_ready_i(1'b1),
    .out_token_o(residual_token_o), .out_row_o(residual_row_o), .out_sum_o(sum)
  );

  logic [21:0] scales_q[BATCH];
  logic [21:0] scale_q;
  logic [1:0] valid_q;
  logic [20:0] sum_1q, sum_2q;
  logic [TOKEN_BITS-1:0] token_1q, token_2q;
  logic [ROW_BITS-1:0] row_1q, row_2q;
  tern_requantise_element #(.TAG_BITS(TOKEN_BITS + ROW_BITS)) u_requantise (
    .clk_i, .rst_i, .in_valid_i(valid_q[1]), .in_ready_o(unused_ready), .sum_i(sum_2q),
    .mantissa_i(scale_q[21:6]), .shift_i(scale_q[5:0]), .is_residual_i, .residual_i,
    .tag_i({token_2q, row_2q}), .out_valid_o(result_valid), .out_ready_i(1'b1), .value_o, .is_clamped_o(is_clamped),
    .tag_o({write_token_o, write_row_o})
  );
  assign write_o      = result_valid && is_busy_q;
  assign is_clamped_o = write_o && is_clamped;

  always_ff @(posedge clk_i) begin
    if (scale_write_i) scales_q[q_token_i] <= {mantissa_i, shift_i};
    scale_q  <= scales_q[token_1q];
    sum_1q   <= sum;
    sum_2q   <= sum_1q;
    token_1q <= residual_token_o;
    token_2q <= token_1q;
    row_1q   <= residual_row_o;
    row_2q   <= row_1q;
    if (rst_i || start_i) valid_q <= '0;
    else valid_q <= {valid_q[0], sum_valid};
    if (rst_i) is_busy_q <= 1'b0;
    else if (start_i) begin
      is_busy_q <= 1'b1;
      left_q    <= rows_i;
    end else if (write_o && write_token_o == last_token_i) begin
      left_q <= left_q - ROW_BITS'(1);
      if (left_q == ROW_BITS'(1)) is_busy_q <= 1'b0;
    end
  end
  logic unused;
  assign unused = &{1'b0, unused_ready};
endmodule
