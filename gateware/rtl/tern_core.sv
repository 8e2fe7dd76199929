// The layer stack: buffers, ops and the sequencer. A host port reads and writes residuals, states and memory while no step runs.
module tern_core #(
  parameter int LANES = 16,
  parameter int BATCH = 2,
  parameter int WIDTH = 1024,
  parameter int INPUTS = 4096,
  parameter int GATES = 8192,
  parameter int STATES = 16384,
  parameter int ADDRESS_BITS = 24,
  localparam int AT_BITS = $clog2(INPUTS),
  localparam int WIDTH_BITS = $clog2(WIDTH),
  localparam int GATE_BITS = $clog2(GATES),
  localparam int STATE_BITS = $clog2(STATES),
  localparam int BEAT_BITS = $clog2(INPUTS / LANES),
  localparam int TOKEN_BITS = BATCH > 1 ? $clog2(BATCH) : 1
) (
  input  logic                             clk_i,
  input  logic                             rst_i,
  input  logic                             start_i,
  input  logic                             is_check_i,
  input  logic [ADDRESS_BITS-1:0]          program_i,
  input  logic [15:0]                      count_i,
  input  logic [TOKEN_BITS-1:0]            last_token_i,
  output logic                             is_idle_o,
  output logic                             is_refused_o,
  // One bit a name, sticky: x, i, f, g, gate and up, v, z, scale.
  input  logic                             flags_clear_i,
  output logic [7:0]                       flags_o,
  // The phase, for counters: the sequencer's.
  output logic [2:0]                       phase_o,
  // Host: residual of a token, and states. Values arrive two cycles after their place.
  input  logic                             x_write_i,
  input  logic [TOKEN_BITS+WIDTH_BITS-1:0] x_at_i,
  input  logic [31:0]                      x_i,
  output logic [31:0]                      x_o,
  input  logic                             h_write_i,
  input  logic [STATE_BITS-1:0]            h_at_i,
  input  logic [27:0]                      h_i,
  output logic [27:0]                      h_o,
  // Host: a stretch of memory as a stream.
  input  logic                             host_start_i,
  input  logic [ADDRESS_BITS-1:0]          host_from_i,
  input  logic [ADDRESS_BITS:0]            host_count_i,
  output logic                             host_valid_o,
  input  logic                             host_ready_i,
  output logic [15:0]                      host_word_o,
  // Memory.
  output logic                             request_valid_o,
  input  logic                             request_ready_i,
  output logic [ADDRESS_BITS-1:0]          address_o,
  input  logic                             value_valid_i,
  input  logic [15:0]                      value_i
);
  logic load_start, site_start, inputs_start, rows_start, state_start, glu_start;
  logic load_idle, site_idle, inputs_idle, rows_idle, state_idle, glu_idle;
  logic [TOKEN_BITS-1:0] token;
  logic is_from_v, is_to_residual, is_base3, is_constant_w1, is_double, sequencer_idle;
  logic [1:0] epsilon_mode;
  logic [2:0] flag;
  logic [AT_BITS:0] width, padded;
  logic [BEAT_BITS:0] beats;
  logic [13:0] rows;
  logic [15:0] gates_at, factor, epsilon, state_at;
  logic signed [7:0] factor_power;
  logic signed [15:0] epsilon_power;

  // Words of memory: to the sequencer, the weight buffer or the lanes, else to the host.
  logic read_start, word_valid, word_ready, reader_idle, sequencer_ready, load_ready, rows_ready;
  logic [ADDRESS_BITS-1:0] read_from;
  logic [ADDRESS_BITS:0] read_count;
  logic [15:0] word;
  assign word_ready   = sequencer_idle ? host_ready_i : sequencer_ready || load_ready || rows_ready;
  assign host_valid_o = sequencer_idle && word_valid;
  assign host_word_o  = word;
  assign is_idle_o    = sequencer_idle;
  tern_reader #(.ADDRESS_BITS(ADDRESS_BITS)) u_reader (
    .clk_i, .rst_i, .start_i(sequencer_idle ? host_start_i : read_start),
    .from_i(sequencer_idle ? host_from_i : read_from), .count_i(sequencer_idle ? host_count_i : read_count),
    .request_valid_o, .request_ready_i, .address_o, .value_valid_i, .value_i, .out_valid_o(word_valid),
    .out_ready_i(word_ready), .word_o(word), .is_idle_o(reader_idle)
  );

  tern_sequencer #(
    .LANES(LANES), .BATCH(BATCH), .WIDTH(WIDTH), .INPUTS(INPUTS), .GATES(GATES), .STATES(STATES),
    .ADDRESS_BITS(ADDRESS_BITS)
  ) u_sequencer (
    .clk_i, .rst_i, .start_i, .is_check_i, .program_i, .count_i, .last_token_i, .is_idle_o(sequencer_idle),
    .is_refused_o, .read_start_o(read_start), .read_from_o(read_from), .read_count_o(read_count),
    .word_valid_i(word_valid), .word_ready_o(sequencer_ready), .word_i(word), .load_start_o(load_start),
    .site_start_o(site_start), .inputs_start_o(inputs_start), .rows_start_o(rows_start), .state_start_o(state_start),
    .glu_start_o(glu_start),
    .is_op_idle_i(load_idle && site_idle && inputs_idle && rows_idle && state_idle && glu_idle), .token_o(token),
    .phase_o, .is_from_v_o(is_from_v), .is_to_residual_o(is_to_residual), .is_base3_o(is_base3),
    .is_constant_w1_o(is_constant_w1), .is_double_o(is_double), .epsilon_mode_o(epsilon_mode), .flag_o(flag),
    .width_o(width), .padded_o(padded), .beats_o(beats), .rows_o(rows), .gates_at_o(gates_at), .factor_o(factor),
    .factor_power_o(factor_power), .epsilon_o(epsilon), .epsilon_power_o(epsilon_power), .state_at_o(state_at)
  );

  // Buffers.
  logic x_write, v_write, g_write, h_write, w_write;
  logic [TOKEN_BITS+WIDTH_BITS-1:0] x_write_at, x_read_at;
  logic [31:0] x_new, x, v_new, v;
  logic [TOKEN_BITS+AT_BITS-1:0] v_write_at;
  logic [TOKEN_BITS+GATE_BITS-1:0] g_write_at;
  logic [23:0] g, g_new;
  logic [STATE_BITS-1:0] h_write_at, h_read_at;
  logic [27:0] h_new, h;
  logic [AT_BITS-1:0] w_write_at, k_at;
  logic [17:0] w_new, w;
  logic [GATE_BITS-1:0] gate_at;
  // Without a batch there is one token more than needed in the address, and it is never used.
  localparam int TOKENS = BATCH > 1 ? BATCH : 2;
  tern_ram #(.BITS(32), .DEPTH(TOKENS * WIDTH)) u_x (
    .clk_i, .write_i(x_write), .write_at_i(x_write_at), .value_i(x_new), .read_at_i(x_read_at), .value_o(x)
  );
  tern_ram #(.BITS(32), .DEPTH(TOKENS * INPUTS)) u_v (
    .clk_i, .write_i(v_write), .write_at_i(v_write_at), .value_i(v_new), .read_at_i({token, k_at}), .value_o(v)
  );
  tern_ram #(.BITS(24), .DEPTH(TOKENS * GATES)) u_g (
    .clk_i, .write_i(g_write), .write_at_i(g_write_at), .value_i(g_new), .read_at_i({token, gate_at}), .value_o(g)
  );
  tern_ram #(.BITS(28), .DEPTH(STATES)) u_h (
    .clk_i, .write_i(h_write), .write_at_i(h_write_at), .value_i(h_new), .read_at_i(h_read_at), .value_o(h)
  );
  tern_ram #(.BITS(18), .DEPTH(INPUTS)) u_w (
    .clk_i, .write_i(w_write), .write_at_i(w_write_at), .value_i(w_new), .read_at_i(k_at), .value_o(w)
  );
  tern_load_op #(.INPUTS(INPUTS)) u_load (
    .clk_i, .rst_i, .start_i(load_start), .is_idle_o(load_idle), .width_i(width), .is_double_i(is_double),
    .word_valid_i(word_valid), .word_ready_o(load_ready), .word_i(word), .write_o(w_write), .write_at_o(w_write_at),
    .value_o(w_new)
  );

  // What the vector passes read: one of them runs at a time.
  logic [AT_BITS-1:0] site_at, inputs_at;
  logic [WIDTH_BITS-1:0] state_op_at, state_write_at;
  logic [31:0] source;
  always_comb begin
    if (!site_idle) k_at = site_at;
    else if (!inputs_idle) k_at = inputs_at;
    else k_at = AT_BITS'(state_op_at);
  end
  assign source = is_from_v ? v : x;

  // The root of a site, one a token.
  logic [16:0] root;
  logic [5:0] root_shift;
  logic [4:0] v_shift;
  logic [27:0] sites_q[BATCH];
  logic [43:0] sums_of_g_q[BATCH];
  logic [43:0] sum_of_g_q, sum_of_g;
  logic [50:0] sum_65_q, sum_67_q, cm;
  always_comb begin
    case (epsilon_mode)
      2'd1: cm = sum_67_q;
      2'd2: cm = 51'(epsilon);
      default: cm = '0;
    endcase
  end
  // 67 times the sum of squares of g, long before it is needed.
  always_ff @(posedge clk_i) begin
    sum_of_g_q <= sums_of_g_q[token];
    sum_65_q   <= 51'(sum_of_g_q) + (51'(sum_of_g_q) << 6);
    sum_67_q   <= sum_65_q + (51'(sum_of_g_q) << 1);
  end
  tern_site_op #(.INPUTS(INPUTS)) u_site (
    .clk_i, .rst_i, .start_i(site_start), .is_idle_o(site_idle), .width_i(width), .is_constant_w1_i(is_constant_w1),
    .epsilon_i(cm), .epsilon_power_i(epsilon_power), .at_o(site_at), .v_i(source), .w1_i(w[15:0]), .mantissa_o(root),
    .shift_o(root_shift), .v_shift_o(v_shift)
  );

  logic q_write, is_scale_clamped;
  logic [BEAT_BITS-1:0] q_beat;
  logic [8*LANES-1:0] q;
  logic [15:0] mantissa;
  logic [5:0] shift;
  logic [27:0] site_of_token;
  always_ff @(posedge clk_i) site_of_token <= sites_q[token];
  tern_inputs_op #(.LANES(LANES), .INPUTS(INPUTS)) u_inputs (
    .clk_i, .rst_i, .start_i(inputs_start), .is_idle_o(inputs_idle), .width_i(width), .padded_i(padded),
    .factor_i(factor), .factor_power_i(factor_power), .root_i(site_of_token[27:11]),
    .root_shift_i(site_of_token[10:5]), .v_shift_i(site_of_token[4:0]), .at_o(inputs_at), .v_i(source), .w12_i(w),
    .q_write_o(q_write), .q_beat_o(q_beat), .q_o(q), .mantissa_o(mantissa), .shift_o(shift),
    .is_scale_clamped_o(is_scale_clamped)
  );

  // Results are kept when an op comes to its end.
  logic site_was_idle_q, inputs_were_idle_q, state_was_idle_q;
  always_ff @(posedge clk_i) begin
    site_was_idle_q    <= site_idle;
    inputs_were_idle_q <= inputs_idle;
    state_was_idle_q   <= state_idle;
    if (site_idle && !site_was_idle_q) sites_q[token] <= {root, root_shift, v_shift};
    if (state_idle && !state_was_idle_q) sums_of_g_q[token] <= sum_of_g;
  end

  logic rows_write, is_row_clamped;
  logic [TOKEN_BITS-1:0] residual_token, rows_token;
  logic [13:0] residual_row, rows_at;
  logic signed [31:0] result;
  tern_rows_op #(.LANES(LANES), .BATCH(BATCH), .INPUTS(INPUTS)) u_rows (
    .clk_i, .rst_i, .start_i(rows_start), .is_idle_o(rows_idle), .rows_i(rows), .beats_i(beats), .last_token_i,
    .is_base3_i(is_base3), .is_residual_i(is_to_residual), 
    .scale_write_i(inputs_idle && !inputs_were_idle_q), .mantissa_i(mantissa), .shift_i(shift), .q_write_i(q_write), .q_token_i(token), .q_beat_i(q_beat), .q_i(q), .word_valid_i(word_valid),
    .word_ready_o(rows_ready), .word_i(word), .residual_token_o(residual_token), .residual_row_o(residual_row),
    .residual_i(x), .write_o(rows_write), .write_token_o(rows_token), .write_row_o(rows_at), .value_o(result),
    .is_clamped_o(is_row_clamped)
  );

  logic state_write, is_v_clamped, glu_write, is_z_clamped;
  logic [GATE_BITS-1:0] state_gate_at, glu_gate_at;
  logic [27:0] state_h;
  logic [STATE_BITS-1:0] state_h_at, state_h_write_at;
  logic [31:0] state_v, z;
  logic [AT_BITS-1:0] glu_write_at;
  tern_state_op #(.WIDTH(WIDTH), .GATES(GATES), .STATES(STATES)) u_state (
    .clk_i, .rst_i, .start_i(state_start), .is_idle_o(state_idle), .width_i(width[WIDTH_BITS:0]),
    .state_at_i(state_at[STATE_BITS-1:0]), .h_at_o(state_h_at), .h_write_at_o(state_h_write_at),
    .gate_at_o(state_gate_at), .gate_i(g), .at_o(state_op_at), .lower_bound_i(w[15:0]), .h_i(h), .write_o(state_write),
    .write_at_o(state_write_at), .h_o(state_h), .v_o(state_v), .is_v_clamped_o(is_v_clamped), .sum_of_g_o(sum_of_g)
  );
  tern_glu_op #(.INPUTS(INPUTS), .GATES(GATES)) u_glu (
    .clk_i, .rst_i, .start_i(glu_start), .is_idle_o(glu_idle), .width_i(width), .gate_at_o(glu_gate_at), .gate_i(g),
    .write_o(glu_write), .write_at_o(glu_write_at), .z_o(z), .is_clamped_o(is_z_clamped)
  );
  assign gate_at = state_idle ? glu_gate_at : state_gate_at;

  // Who writes and reads which buffer.
  assign x_read_at  = sequencer_idle ? x_at_i : rows_idle ? {token, k_at[WIDTH_BITS-1:0]}
    : {residual_token, residual_row[WIDTH_BITS-1:0]};
  assign x_write    = sequencer_idle ? x_write_i : rows_write && is_to_residual;
  assign x_write_at = sequencer_idle ? x_at_i : {rows_token, rows_at[WIDTH_BITS-1:0]};
  // The lowest number has no negative: it is clamped as everything is.
  assign x_new      = !sequencer_idle ? result : x_i == 32'h80000000 ? 32'h80000001 : x_i;
  assign x_o        = x;
  // A cycle late, which nobody sees: the next op begins later.
  always_ff @(posedge clk_i) begin
    g_write    <= rows_write && !is_to_residual;
    g_write_at <= {rows_token, rows_at[GATE_BITS-1:0] + gates_at[GATE_BITS-1:0]};
    g_new      <= result[23:0];
    v_write    <= state_write || glu_write;
    v_write_at <= {token, state_write ? AT_BITS'(state_write_at) : glu_write_at};
    v_new      <= state_write ? state_v : z;
  end
  assign h_read_at  = sequencer_idle ? h_at_i : state_h_at;
  assign h_write    = sequencer_idle ? h_write_i : state_write;
  assign h_write_at = sequencer_idle ? h_at_i : state_h_write_at;
  assign h_new      = sequencer_idle ? h_i : state_h;
  assign h_o        = h;

  always_ff @(posedge clk_i) begin
    if (rst_i || flags_clear_i) flags_o <= '0;
    else begin
      if (is_row_clamped) flags_o[flag] <= 1'b1;
      if (is_v_clamped) flags_o[5] <= 1'b1;
      if (glu_write && is_z_clamped) flags_o[6] <= 1'b1;
      if (inputs_idle && !inputs_were_idle_q && is_scale_clamped) flags_o[7] <= 1'b1;
    end
  end
  logic unused;
  assign unused = &{1'b0, reader_idle, gates_at, state_at, residual_row, rows_at};
endmodule
