// Runs the descriptors of a model (gateware/README.md gives their fields): fetches one after the other from memory, checks it
// against the device's own buffers, and starts the ops, each for every token of the batch. It can also only check them all.
module tern_sequencer #(
  parameter int LANES = 16,
  parameter int BATCH = 2,
  parameter int WIDTH = 1024,
  parameter int INPUTS = 4096,
  parameter int GATES = 8192,
  parameter int STATES = 16384,
  parameter int ADDRESS_BITS = 24,
  localparam int AT_BITS = $clog2(INPUTS),
  localparam int BEAT_BITS = $clog2(INPUTS / LANES),
  localparam int TOKEN_BITS = BATCH > 1 ? $clog2(BATCH) : 1
) (
  input  logic                    clk_i,
  input  logic                    rst_i,
  input  logic                    start_i,
  input  logic                    is_check_i,
  input  logic [ADDRESS_BITS-1:0] program_i,
  input  logic [15:0]             count_i,
  input  logic [TOKEN_BITS-1:0]   last_token_i,
  output logic                    is_idle_o,
  // Of the last run: a descriptor was out of range, and it and all after it did not run.
  output logic                    is_refused_o,
  // Memory.
  output logic                    read_start_o,
  output logic [ADDRESS_BITS-1:0] read_from_o,
  output logic [ADDRESS_BITS:0]   read_count_o,
  input  logic                    word_valid_i,
  output logic                    word_ready_o,
  input  logic [15:0]             word_i,
  // One start a token; the token holds until the op is idle again.
  output logic                    load_start_o,
  output logic                    site_start_o,
  output logic                    inputs_start_o,
  output logic                    rows_start_o,
  output logic                    state_start_o,
  output logic                    glu_start_o,
  input  logic                    is_op_idle_i,
  output logic [TOKEN_BITS-1:0]   token_o,
  // 0 between descriptors, else the phase: 1 fetch, 2 load, 3 site, 4 inputs, 5 rows, 6 state, 7 glu.
  output logic [2:0]              phase_o,
  // The descriptor's fields.
  output logic                    is_from_v_o,
  output logic                    is_to_residual_o,
  output logic                    is_base3_o,
  output logic                    is_constant_w1_o,
  output logic                    is_double_o,
  output logic [1:0]              epsilon_mode_o,
  output logic [2:0]              flag_o,
  output logic [AT_BITS:0]        width_o,
  output logic [AT_BITS:0]        padded_o,
  output logic [BEAT_BITS:0]      beats_o,
  output logic [13:0]             rows_o,
  output logic [15:0]             gates_at_o,
  output logic [15:0]             factor_o,
  output logic signed [7:0]       factor_power_o,
  output logic [15:0]             epsilon_o,
  output logic signed [15:0]      epsilon_power_o,
  output logic [15:0]             state_at_o
);
  localparam logic [3:0] OP_NORM = 4'd1, OP_LINEAR = 4'd2, OP_STATE = 4'd3, OP_GLU = 4'd4;
  localparam logic [3:0] IDLE = 4'd0, FETCH = 4'd1, PARSE = 4'd2, MEASURE = 4'd3, CHECK = 4'd4, LOAD = 4'd5, LOAD_WAIT = 4'd6,
    TOKEN = 4'd7, TOKEN_WAIT = 4'd8, ROWS = 4'd9, ROWS_WAIT = 4'd10, NEXT = 4'd11, ENDS = 4'd12, MEASURE_2 = 4'd13;
  logic [3:0] state_q;
  logic [255:0] fields_q;
  logic [3:0] parsed_q;
  logic [15:0] left_q;
  logic [ADDRESS_BITS-1:0] at_q;
  logic is_check_q;
  // An op begins one cycle after its start.
  logic started_q;

  function automatic logic [15:0] field(input logic [255:0] fields, input integer word);
    field = fields[16*word+:16];
  endfunction

  logic [3:0] op;
  logic [15:0] flags, width, rows, gates_at;
  logic [31:0] vector_at, codes_at, state_at;
  assign flags            = field(fields_q, 0);
  assign op               = flags[3:0];
  assign is_from_v_o      = flags[4];
  assign is_to_residual_o = flags[5];
  assign is_base3_o       = flags[6];
  assign is_constant_w1_o = flags[7];
  assign epsilon_mode_o   = flags[9:8];
  assign flag_o           = flags[12:10];
  assign is_double_o      = op == OP_LINEAR;
  assign width            = field(fields_q, 1);
  assign rows             = field(fields_q, 2);
  assign gates_at         = field(fields_q, 3);
  assign vector_at        = fields_q[16*4+:32];
  assign codes_at         = fields_q[16*6+:32];
  assign factor_o         = field(fields_q, 8);
  assign factor_power_o   = fields_q[16*9+:8];
  assign epsilon_o        = field(fields_q, 10);
  assign epsilon_power_o  = field(fields_q, 11);
  assign state_at         = fields_q[16*12+:32];
  assign width_o          = width[AT_BITS:0];
  assign rows_o           = rows[13:0];
  assign gates_at_o       = gates_at;
  assign state_at_o       = state_at[15:0];

  // Groups of 64 inputs; words of the matrix.
  logic [9:0] groups_q;
  logic [25:0] all_groups_q;
  logic [29:0] code_words_q, vector_words_q, twelve_q, thirteen_q;
  logic [1:0] steps_q;
  logic [32:0] vector_end_q, codes_end_q;
  assign padded_o = (AT_BITS+1)'({groups_q, 6'b0});
  assign beats_o  = (BEAT_BITS+1)'({groups_q, 6'b0} >> $clog2(LANES));

  // What an op reads and writes lies inside the buffers and the memory.
  localparam logic [32:0] MEMORY = 33'(1) << ADDRESS_BITS;
  logic fits_q, is_op, has_vector, has_codes, fits_input, fits_output, fits_memory;
  assign is_op       = op >= OP_NORM && op <= OP_GLU;
  assign has_codes   = op == OP_LINEAR;
  assign has_vector  = op == OP_LINEAR || op == OP_STATE || op == OP_NORM && !is_constant_w1_o;
  always_comb begin
    fits_input  = 1'b0;
    fits_output = 1'b1;
    case (op)
      OP_NORM: fits_input = width <= (is_from_v_o ? 16'(INPUTS) : 16'(WIDTH));
      OP_LINEAR: begin
        fits_input  = width <= (is_from_v_o ? 16'(INPUTS) : 16'(WIDTH)) && rows != 16'd0;
        fits_output = is_to_residual_o ? rows <= 16'(WIDTH) : 17'(rows) + 17'(gates_at) <= 17'(GATES);
      end
      OP_STATE: begin
        fits_input  = width <= 16'(WIDTH) && 18'(width) + 18'(width) + 18'(width) <= 18'(GATES);
        fits_output = 33'(state_at) + 33'(width) <= 33'(STATES);
      end
      OP_GLU: fits_input = width <= 16'(INPUTS) && 17'(width) + 17'(width) <= 17'(GATES);
      default: ;
    endcase
  end
  assign fits_memory = (!has_vector || vector_end_q <= MEMORY) && (!has_codes || codes_end_q <= MEMORY);

  logic is_last_token;
  assign is_last_token = token_o == last_token_i;
  assign is_idle_o     = state_q == IDLE;
  assign word_ready_o  = state_q == PARSE;

  always_comb begin
    case (state_q)
      FETCH, PARSE, MEASURE, MEASURE_2, CHECK: phase_o = 3'd1;
      LOAD, LOAD_WAIT: phase_o = 3'd2;
      TOKEN, TOKEN_WAIT: phase_o = op == OP_NORM ? 3'd3 : op == OP_LINEAR ? 3'd4 : op == OP_STATE ? 3'd6 : 3'd7;
      ROWS, ROWS_WAIT: phase_o = 3'd5;
      default: phase_o = 3'd0;
    endcase
  end

  always_ff @(posedge clk_i) begin
    read_start_o   <= 1'b0;
    load_start_o   <= 1'b0;
    site_start_o   <= 1'b0;
    inputs_start_o <= 1'b0;
    rows_start_o   <= 1'b0;
    state_start_o  <= 1'b0;
    glu_start_o    <= 1'b0;
    started_q      <= 1'b0;
    case (state_q)
      IDLE: begin
        at_q   <= program_i;
        left_q <= count_i;
        if (start_i) begin
          is_check_q   <= is_check_i;
          is_refused_o <= 1'b0;
          state_q      <= NEXT;
        end
      end
      NEXT: state_q <= left_q == '0 ? ENDS : FETCH;
      FETCH: begin
        read_start_o <= 1'b1;
        read_from_o  <= at_q;
        read_count_o <= (ADDRESS_BITS+1)'(16);
        at_q         <= at_q + ADDRESS_BITS'(16);
        left_q       <= left_q - 16'd1;
        parsed_q     <= '0;
        state_q      <= PARSE;
      end
      PARSE: begin
        if (word_valid_i) begin
          fields_q <= {word_i, fields_q[255:16]};
          parsed_q <= parsed_q + 4'd1;
          if (parsed_q == 4'd15) state_q <= MEASURE;
        end
      end
      MEASURE: begin
        groups_q <= 10'((17'(width) + 17'd63) >> 6);
        token_o  <= '0;
        steps_q  <= 2'd3;
        state_q  <= MEASURE_2;
      end
      MEASURE_2: begin
        // The product, and step by step what follows from it: 8 or 6.5 words a group.
        steps_q        <= steps_q - 2'd1;
        all_groups_q   <= 26'(rows) * 26'(groups_q);
        twelve_q       <= {1'b0, all_groups_q, 3'b000} + {2'b00, all_groups_q, 2'b00};
        thirteen_q     <= twelve_q + 30'(all_groups_q) + 30'd1;
        code_words_q   <= is_base3_o ? {1'b0, thirteen_q[29:1]} : {1'b0, all_groups_q, 3'b000};
        vector_words_q <= is_double_o ? {13'b0, width, 1'b0} : {14'b0, width};
        if (steps_q == 2'd0) state_q <= CHECK;
      end
      CHECK: begin
        vector_end_q <= 33'(vector_at) + 33'(vector_words_q);
        codes_end_q  <= 33'(codes_at) + 33'(code_words_q);
        started_q    <= 1'b1;
        fits_q       <= is_op && width != '0 && fits_input && fits_output;
        if (started_q) begin
          if (!fits_q || !fits_memory) begin
            is_refused_o <= 1'b1;
            state_q      <= ENDS;
          end else if (is_check_q) state_q <= NEXT;
          else state_q <= has_vector ? LOAD : TOKEN;
          started_q <= 1'b0;
        end
      end
      LOAD: begin
        read_start_o <= 1'b1;
        read_from_o  <= vector_at[ADDRESS_BITS-1:0];
        read_count_o <= (ADDRESS_BITS+1)'(vector_words_q);
        load_start_o <= 1'b1;
        started_q    <= 1'b1;
        state_q      <= LOAD_WAIT;
      end
      LOAD_WAIT: if (is_op_idle_i && !started_q) state_q <= TOKEN;
      TOKEN: begin
        site_start_o   <= op == OP_NORM;
        inputs_start_o <= op == OP_LINEAR;
        state_start_o  <= op == OP_STATE;
        glu_start_o    <= op == OP_GLU;
        started_q      <= 1'b1;
        state_q        <= TOKEN_WAIT;
      end
      TOKEN_WAIT: begin
        if (is_op_idle_i && !started_q) begin
          token_o <= is_last_token ? '0 : token_o + TOKEN_BITS'(1);
          state_q <= !is_last_token ? TOKEN : op == OP_LINEAR ? ROWS : NEXT;
        end
      end
      ROWS: begin
        read_start_o <= 1'b1;
        read_from_o  <= codes_at[ADDRESS_BITS-1:0];
        read_count_o <= (ADDRESS_BITS+1)'(code_words_q);
        rows_start_o <= 1'b1;
        started_q    <= 1'b1;
        state_q      <= ROWS_WAIT;
      end
      ROWS_WAIT: if (is_op_idle_i && !started_q) state_q <= NEXT;
      default: state_q <= IDLE;
    endcase
    if (rst_i) begin
      state_q      <= IDLE;
      read_start_o <= 1'b0;
      is_refused_o <= 1'b0;
      token_o      <= '0;
    end
  end
  logic unused;
  assign unused = &{1'b0, flags[15:13], rows[15:14], vector_at[31:ADDRESS_BITS], codes_at[31:ADDRESS_BITS],
    state_at[31:16], vector_words_q[29:ADDRESS_BITS+1], code_words_q[29:ADDRESS_BITS+1], fields_q[16*9+8+:8],
    fields_q[16*14+:32], thirteen_q[0]};
endmodule
