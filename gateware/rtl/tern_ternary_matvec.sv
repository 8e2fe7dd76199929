// Sums of int8 inputs with streamed ternary weights: LANES codes a beat, each beat used for every token of the batch. Rows come
// one after the other, `beats` beats each. A negated input is its complement and a one, which is added as a count of negatives.
module tern_ternary_matvec #(
  parameter int LANES = 16,
  parameter int BATCH = 2,
  // Inputs of a token, a multiple of LANES.
  parameter int INPUTS = 4096,
  parameter int ROW_BITS = 14,
  localparam int BEATS = INPUTS / LANES,
  localparam int BEAT_BITS = $clog2(BEATS),
  localparam int TOKEN_BITS = BATCH > 1 ? $clog2(BATCH) : 1
) (
  input  logic                  clk_i,
  input  logic                  rst_i,
  // Before a matrix: rows count from 0 again.
  input  logic                  clear_i,
  input  logic [BEAT_BITS:0]    beats_i,
  input  logic [TOKEN_BITS-1:0] last_token_i,
  // Inputs are written while no weights come.
  input  logic                  q_write_i,
  input  logic [TOKEN_BITS-1:0] q_token_i,
  input  logic [BEAT_BITS-1:0]  q_beat_i,
  input  logic [8*LANES-1:0]    q_i,
  input  logic                  in_valid_i,
  output logic                  in_ready_o,
  input  logic [2*LANES-1:0]    codes_i,
  output logic                  out_valid_o,
  input  logic                  out_ready_i,
  output logic [TOKEN_BITS-1:0] out_token_o,
  output logic [ROW_BITS-1:0]   out_row_o,
  output logic signed [20:0]    out_sum_o
);
  localparam int LEVELS = $clog2(LANES);
  localparam int STAGES = 4 + LEVELS;

  logic en;
  assign en = out_ready_i || !out_valid_o;

  // Which beat of which row is read for which token.
  logic [TOKEN_BITS-1:0] token_q;
  logic [BEAT_BITS-1:0] beat_q;
  logic [ROW_BITS-1:0] row_q;
  logic is_last_token, is_last_beat;
  assign is_last_token = token_q == last_token_i;
  assign is_last_beat  = {1'b0, beat_q} == beats_i - (BEAT_BITS+1)'(1);
  assign in_ready_o    = en && is_last_token;
  always_ff @(posedge clk_i) begin
    if (rst_i || clear_i) begin
      token_q <= '0;
      beat_q  <= '0;
      row_q   <= '0;
    end else if (en && in_valid_i) begin
      token_q <= is_last_token ? '0 : token_q + TOKEN_BITS'(1);
      if (is_last_token) begin
        beat_q <= is_last_beat ? '0 : beat_q + BEAT_BITS'(1);
        if (is_last_beat) row_q <= row_q + ROW_BITS'(1);
      end
    end
  end

  // Block RAM and its output register.
  logic [8*LANES-1:0] inputs_q[BATCH*BEATS];
  logic [8*LANES-1:0] read_q, q_q;
  logic [2*LANES-1:0] codes_1q, codes_2q;
  logic [BEAT_BITS+TOKEN_BITS-1:0] read_at, write_at;
  generate
    if (BATCH > 1) begin : g_batch
      assign read_at  = {token_q, beat_q};
      assign write_at = {q_token_i, q_beat_i};
    end else begin : g_single
      assign read_at  = {1'b0, beat_q};
      assign write_at = {1'b0, q_beat_i};
    end
  endgenerate
  always_ff @(posedge clk_i) begin
    if (q_write_i) inputs_q[write_at[$clog2(BATCH*BEATS)-1:0]] <= q_i;
    if (en) begin
      read_q   <= inputs_q[read_at[$clog2(BATCH*BEATS)-1:0]];
      q_q      <= read_q;
      codes_1q <= codes_i;
      codes_2q <= codes_1q;
    end
  end

  // Terms, and the adder tree over them: level n has LANES / 2^n partial sums of 8 + n bits, held as 16 bits each.
  logic [16*LANES*2-1:16] tree_q;
  logic [8*LANES*2-1:8] negatives_q;
  generate
    for (genvar lane = 0; lane < LANES; lane++) begin : g_lane
      logic [7:0] q, term;
      assign q    = q_q[8*lane+:8];
      assign term = codes_2q[2*lane] ? q ^ {8{codes_2q[2*lane+1]}} : 8'd0;
      always_ff @(posedge clk_i) if (en) tree_q[16*(LANES+lane)+:16] <= {{8{term[7]}}, term};
    end
    for (genvar node = 1; node < LANES; node++) begin : g_node
      always_ff @(posedge clk_i) begin
        if (en) tree_q[16*node+:16] <= tree_q[16*(2*node)+:16] + tree_q[16*(2*node+1)+:16];
      end
    end
  endgenerate

  // Negated inputs, counted by a tree of the same shape.
  generate
    for (genvar lane = 0; lane < LANES; lane++) begin : g_negative
      always_ff @(posedge clk_i) begin
        if (en) negatives_q[8*(LANES+lane)+:8] <= {7'b0, codes_2q[2*lane] & codes_2q[2*lane+1]};
      end
    end
    for (genvar node = 1; node < LANES; node++) begin : g_count
      always_ff @(posedge clk_i) begin
        if (en) negatives_q[8*node+:8] <= negatives_q[8*(2*node)+:8] + negatives_q[8*(2*node+1)+:8];
      end
    end
  endgenerate

  // What a beat is, beside it.
  localparam int NOTE_BITS = TOKEN_BITS + ROW_BITS + 3;
  logic [NOTE_BITS-1:0] note, note_late;
  logic [STAGES-2:0] valid_q;
  assign note = {beat_q == '0, is_last_beat, token_q, row_q, 1'b0};
  tern_delay #(.BITS(NOTE_BITS), .CYCLES(STAGES - 1)) u_note (
    .clk_i, .rst_i, .en_i(en), .value_i(note), .value_o(note_late)
  );
  logic is_first, is_last, unused;
  logic [TOKEN_BITS-1:0] token;
  logic [ROW_BITS-1:0] row;
  assign {is_first, is_last, token, row, unused} = note_late;

  logic [20:0] sums_q[BATCH];
  logic [20:0] partial, sum;
  logic is_used;
  assign partial = {{5{tree_q[31]}}, tree_q[31:16]} + {13'b0, negatives_q[15:8]};
  assign sum     = is_first ? partial : sums_q[token] + partial;
  assign is_used = valid_q[STAGES-2];
  always_ff @(posedge clk_i) begin
    if (rst_i || clear_i) begin
      valid_q     <= '0;
      out_valid_o <= 1'b0;
    end else if (en) begin
      valid_q     <= {valid_q[STAGES-3:0], in_valid_i};
      out_valid_o <= is_used && is_last;
    end
    if (en && is_used) begin
      sums_q[token] <= sum;
      out_token_o   <= token;
      out_row_o     <= row;
      out_sum_o     <= sum;
    end
  end
endmodule
