// What a frame asks for: checks it, moves words between its payload and residuals, states or memory, runs a step, and answers.
// The last reply is kept: a request that comes again with the same sequence number is answered with it and done only once.
module tern_command #(
  parameter int WIDTH = 1024,
  parameter int STATES = 16384,
  parameter int BATCH = 2,
  parameter int ADDRESS_BITS = 24,
  parameter int MOST_BYTES = 4096,
  parameter int WATCHDOG = 200000000,
  // What INFO says, the first byte highest.
  parameter int INFO_BYTES = 4,
  parameter logic [8*INFO_BYTES-1:0] INFO = '0,
  localparam int PAYLOAD_BITS = $clog2(MOST_BYTES),
  localparam int WIDTH_BITS = $clog2(WIDTH),
  localparam int STATE_BITS = $clog2(STATES),
  localparam int TOKEN_BITS = BATCH > 1 ? $clog2(BATCH) : 1
) (
  input  logic                             clk_i,
  input  logic                             rst_i,
  // The request.
  input  logic                             frame_valid_i,
  output logic                             frame_ready_o,
  input  logic [7:0]                       opcode_i,
  input  logic [7:0]                       sequence_i,
  input  logic [PAYLOAD_BITS:0]            length_i,
  input  logic                             is_bad_length_i,
  input  logic                             is_bad_crc_i,
  input  logic                             is_overrun_i,
  output logic [PAYLOAD_BITS-1:0]          request_at_o,
  input  logic [7:0]                       request_i,
  // The reply.
  output logic                             reply_write_o,
  output logic [PAYLOAD_BITS-1:0]          reply_at_o,
  output logic [7:0]                       reply_o,
  output logic                             reply_start_o,
  input  logic                             is_reply_idle_i,
  output logic [7:0]                       reply_opcode_o,
  output logic [7:0]                       reply_flags_o,
  // An error's payload is this byte, so that the last reply's own payload stays where it is.
  output logic [7:0]                       reply_error_o,
  output logic [7:0]                       reply_sequence_o,
  output logic [PAYLOAD_BITS:0]            reply_length_o,
  // The core.
  output logic                             core_rst_o,
  output logic                             core_start_o,
  output logic                             is_check_o,
  output logic [ADDRESS_BITS-1:0]          program_o,
  output logic [15:0]                      count_o,
  output logic [TOKEN_BITS-1:0]            last_token_o,
  input  logic                             is_core_idle_i,
  input  logic                             is_refused_i,
  input  logic                             progress_i,
  output logic                             flags_clear_o,
  input  logic [7:0]                       clamped_i,
  output logic                             x_write_o,
  output logic [TOKEN_BITS+WIDTH_BITS-1:0] x_at_o,
  input  logic [31:0]                      x_i,
  output logic                             h_write_o,
  output logic [STATE_BITS-1:0]            h_at_o,
  output logic [27:0]                      h_o,
  input  logic [27:0]                      h_i,
  output logic [31:0]                      word_o,
  // Memory, read as a stream of 16 bits, written word by word.
  output logic                             host_start_o,
  output logic [ADDRESS_BITS-1:0]          host_from_o,
  output logic [ADDRESS_BITS:0]            host_count_o,
  input  logic                             host_valid_i,
  output logic                             host_ready_o,
  input  logic [15:0]                      host_word_i,
  output logic                             write_valid_o,
  input  logic                             write_ready_i,
  output logic [ADDRESS_BITS-1:0]          write_address_o,
  output logic [15:0]                      write_value_o,
  // Nothing is asked for, and nothing on its way.
  output logic                             is_idle_o,
  // Counters of the last step, read by number.
  output logic [3:0]                       counter_at_o,
  input  logic [31:0]                      counter_i
);
  localparam logic [7:0] PING = 8'h00, INFORM = 8'h01, STATUS = 8'h02, SOFT_RESET = 8'h04, MEM_WRITE = 8'h10, MEM_READ = 8'h11,
    MEM_CRC = 8'h12, MODEL_DESC = 8'h13, MODEL_COMMIT = 8'h14, STATE_RESET = 8'h20, STATE_SAVE = 8'h21, STATE_LOAD = 8'h22,
    STEP = 8'h31, PREFILL = 8'h33, SENSORS = 8'h40, CYCLES = 8'h50;
  localparam logic [7:0] BAD_CRC = 8'd1, BAD_LEN = 8'd2, BAD_OP = 8'd3, BAD_SEQ = 8'd4, NOT_LOADED = 8'd6, RANGE = 8'd7,
    DRAM_FAIL = 8'd8, OVERRUN = 8'd9, EXPIRED = 8'd10;
  localparam int COUNTERS = 10;

  localparam logic [4:0] IDLE = 5'd0, ARGUMENTS = 5'd1, CHECK = 5'd2, BYTES = 5'd3, STORE = 5'd4, STORE_HIGH = 5'd5, RUN = 5'd6,
    RUN_WAIT = 5'd7, GATHER = 5'd8, GATHER_WAIT = 5'd9, GATHER_HIGH = 5'd10, EMIT = 5'd11, SUM = 5'd12, SUMMED = 5'd13, CLEAR = 5'd14,
    REPLY = 5'd15, REPLY_WAIT = 5'd16, FAIL = 5'd17, DONE = 5'd18;
  logic [4:0] state_q, after_bytes_q;

  logic [7:0] opcode_q, error_q;
  // The last request that was done or refused, and its reply. Damaged frames and those out of order leave it alone.
  logic has_last_q, is_transient_q;
  logic [7:0] last_sequence_q, last_opcode_q, last_flags_q, last_error_q;
  logic [PAYLOAD_BITS:0] last_length_q;
  // Where in the request and the reply; words still to move.
  logic [PAYLOAD_BITS:0] at_q, out_at_q;
  logic [1:0] byte_q, wait_q;
  logic [1:0] arguments_left_q, argument_q;
  logic [31:0] word_q, first_q, second_q, third_q;
  logic [13:0] words_left_q;
  logic [31:0] place_q;
  logic [5:0] recover_q;

  // The model and the state.
  logic is_committed_q, is_state_valid_q, has_description_q;
  logic [WIDTH_BITS:0] width_q;
  logic [TOKEN_BITS-1:0] token_q;

  logic [1:0] arguments;
  always_comb begin
    case (opcode_i)
      MEM_WRITE, STATE_LOAD, PREFILL: arguments = 2'd1;
      MEM_READ, MEM_CRC, STATE_SAVE: arguments = 2'd2;
      MODEL_DESC, MODEL_COMMIT: arguments = 2'd3;
      default: arguments = 2'd0;
    endcase
  end
  // Words of the payload after the arguments.
  logic [PAYLOAD_BITS:0] argument_bytes;
  logic [13:0] words;
  assign argument_bytes = (PAYLOAD_BITS+1)'({arguments, 2'b00});
  assign words          = 14'((length_i - argument_bytes) >> 2);

  // All of it stands still long before a frame is on offer, so it may come late.
  logic is_known, is_length_right, is_embedding_right, is_known_q, is_length_right_q;
  logic [1:0] arguments_q;
  logic [13:0] words_q;
  always_ff @(posedge clk_i) begin
    arguments_q        <= arguments;
    words_q            <= words;
    is_embedding_right <= words_q == 14'(width_q);
    is_known_q         <= is_known;
    is_length_right_q  <= is_length_right;
  end
  always_comb begin
    is_known = 1'b1;
    case (opcode_i)
      PING: is_length_right = 1'b1;
      INFORM, STATUS, SOFT_RESET, STATE_RESET, SENSORS, CYCLES: is_length_right = length_i == '0;
      MEM_WRITE, STATE_LOAD: is_length_right = length_i[1:0] == 2'b00 && length_i > (PAYLOAD_BITS+1)'(4);
      MEM_READ, MEM_CRC, STATE_SAVE, MODEL_DESC, MODEL_COMMIT: is_length_right = length_i == argument_bytes;
      // How wide an embedding is only a model says.
      STEP: is_length_right = !has_description_q || length_i[1:0] == 2'b00 && is_embedding_right;
      PREFILL: is_length_right = !has_description_q || length_i[1:0] == 2'b00 && length_i > (PAYLOAD_BITS+1)'(4)
        && is_embedding_right;
      default: begin
        is_length_right = 1'b1;
        is_known        = 1'b0;
      end
    endcase
  end

  // Stretches: bytes of memory (even in words of four), words of state.
  logic [33:0] end_of_read, end_of_write;
  logic [16:0] end_of_save, end_of_load;
  logic is_in_range_q;
  localparam logic [33:0] MEMORY_BYTES = 34'd2 << ADDRESS_BITS;
  always_ff @(posedge clk_i) begin
    end_of_read  <= 34'(first_q) + 34'(second_q);
    end_of_write <= 34'(first_q) + {18'b0, words_q, 2'b00};
    end_of_save  <= 17'(first_q[15:0]) + 17'(second_q[15:0]);
    end_of_load  <= 17'(first_q[15:0]) + 17'(words_q);
    is_in_range_q <= is_in_range;
  end
  logic is_in_range, is_state_range;
  assign is_state_range = first_q[31:16] == '0 && second_q[31:16] == '0;
  always_comb begin
    case (opcode_q)
      MEM_WRITE: is_in_range = end_of_write <= MEMORY_BYTES && first_q[1:0] == '0;
      MEM_READ: is_in_range = end_of_read <= MEMORY_BYTES && first_q[1:0] == '0 && second_q[1:0] == '0
        && second_q <= 32'(MOST_BYTES) && second_q != '0;
      MEM_CRC, MODEL_COMMIT: is_in_range = end_of_read <= MEMORY_BYTES && !first_q[0] && !second_q[0] && second_q != '0;
      MODEL_DESC: is_in_range = 34'(first_q) < MEMORY_BYTES && !first_q[0] && second_q[31:16] == '0 && second_q != '0
        && third_q != '0 && third_q <= 32'(WIDTH) && third_q <= 32'(MOST_BYTES / 4 - 1);
      STATE_SAVE: is_in_range = is_state_range && end_of_save <= 17'(STATES) && second_q != '0
        && second_q <= 32'(MOST_BYTES / 4);
      STATE_LOAD: is_in_range = first_q[31:16] == '0 && end_of_load <= 17'(STATES);
      // How many tokens, and which this is.
      PREFILL: is_in_range = first_q[7:0] != '0 && first_q[7:0] <= 8'(BATCH) && first_q[15:8] < first_q[7:0];
      default: is_in_range = 1'b1;
    endcase
  end
  logic is_last_of_batch;
  assign is_last_of_batch = opcode_q == STEP || first_q[15:8] + 8'd1 == first_q[7:0];

  logic [31:0] sum_q, sum_next;
  tern_crc32 #(.BITS(16)) u_sum (.crc_i(sum_q), .value_i(host_word_i), .crc_o(sum_next));
  logic [25:0] summed_left_q;

  logic watchdog_fires;
  tern_watchdog #(.CYCLES(WATCHDOG)) u_watchdog (
    .clk_i, .rst_i, .is_running_i(state_q == RUN_WAIT || state_q == SUM || state_q == GATHER_WAIT || state_q == GATHER_HIGH
      || state_q == STORE || state_q == STORE_HIGH),
    .progress_i(progress_i || host_valid_i), .fires_o(watchdog_fires)
  );

  // Every byte of a word as it is sent.
  logic [31:0] info_word;
  logic [31:0] info;
  assign info      = 32'((INFO << {place_q[7:0], 3'b000}) >> (8 * INFO_BYTES - 32));
  assign info_word = {info[7:0], info[15:8], info[23:16], info[31:24]};

  assign frame_ready_o    = state_q == DONE;
  assign is_idle_o        = state_q == IDLE && !frame_valid_i;
  assign request_at_o     = at_q[PAYLOAD_BITS-1:0];
  assign word_o           = word_q;
  assign x_write_o        = state_q == STORE && (opcode_q == STEP || opcode_q == PREFILL);
  assign x_at_o           = {token_q, place_q[WIDTH_BITS-1:0]};
  // A cycle late, on the way to many blocks. Beyond what a state can be it is clamped.
  always_ff @(posedge clk_i) begin
    h_write_o <= !rst_i && (state_q == STORE && opcode_q == STATE_LOAD || state_q == CLEAR);
    h_at_o    <= place_q[STATE_BITS-1:0];
    h_o <= state_q == CLEAR ? '0 : $signed(word_q) > 32'sd134217727 ? 28'h7ffffff
      : $signed(word_q) < -32'sd134217727 ? 28'h8000001 : word_q[27:0];
  end
  assign write_valid_o   = (state_q == STORE || state_q == STORE_HIGH) && opcode_q == MEM_WRITE;
  assign write_address_o = place_q[ADDRESS_BITS:1];
  assign write_value_o   = state_q == STORE ? word_q[15:0] : word_q[31:16];
  assign host_ready_o    = state_q == SUM || state_q == GATHER_WAIT && opcode_q == MEM_READ || state_q == GATHER_HIGH;
  assign counter_at_o    = place_q[3:0];
  assign reply_write_o   = state_q == EMIT;
  assign reply_at_o      = out_at_q[PAYLOAD_BITS-1:0];
  assign reply_o         = word_q[7:0];

  always_ff @(posedge clk_i) begin
    reply_start_o <= 1'b0;
    core_start_o  <= 1'b0;
    host_start_o  <= 1'b0;
    flags_clear_o <= 1'b0;
    core_rst_o    <= 1'b0;
    case (state_q)
      IDLE: begin
        at_q             <= '0;
        byte_q           <= '0;
        wait_q           <= '0;
        out_at_q         <= '0;
        place_q          <= '0;
        arguments_left_q <= arguments_q;
        argument_q       <= '0;
        words_left_q     <= words_q;
        if (frame_valid_i) begin
          opcode_q         <= opcode_i;
          reply_opcode_o   <= opcode_i;
          reply_sequence_o <= sequence_i;
          is_transient_q   <= 1'b1;
          state_q          <= FAIL;
          if (is_bad_crc_i) error_q <= is_overrun_i ? OVERRUN : BAD_CRC;
          else if (is_bad_length_i) error_q <= BAD_LEN;
          else if (has_last_q && sequence_i == last_sequence_q) begin
            // Again: the reply that is still there. Another request under an old number is a fault of order.
            error_q <= BAD_SEQ;
            if (opcode_i == last_opcode_q) begin
              reply_flags_o  <= last_flags_q;
              reply_length_o <= last_length_q;
              reply_error_o  <= last_error_q;
              reply_start_o  <= 1'b1;
              state_q        <= REPLY_WAIT;
            end
          end else begin
            is_transient_q  <= 1'b0;
            has_last_q      <= 1'b1;
            last_sequence_q <= sequence_i;
            last_opcode_q   <= opcode_i;
            if (!is_known_q) error_q <= BAD_OP;
            else if (!is_length_right_q) error_q <= BAD_LEN;
            else if ((opcode_i == STEP || opcode_i == PREFILL) && !(is_committed_q && is_state_valid_q)) error_q <= NOT_LOADED;
            else state_q <= arguments_q == '0 ? CHECK : ARGUMENTS;
          end
        end
      end
      ARGUMENTS: begin
        after_bytes_q <= ARGUMENTS;
        if (arguments_left_q == '0) state_q <= CHECK;
        else begin
          state_q          <= BYTES;
          arguments_left_q <= arguments_left_q - 2'd1;
        end
      end
      BYTES: begin
        // Four bytes, each two cycles after its place.
        wait_q <= wait_q + 2'd1;
        if (wait_q == 2'd3) begin
          word_q <= {request_i, word_q[31:8]};
          at_q   <= at_q + (PAYLOAD_BITS+1)'(1);
          byte_q <= byte_q + 2'd1;
          if (byte_q == 2'd3) begin
            state_q <= after_bytes_q;
            if (after_bytes_q == ARGUMENTS) begin
              argument_q <= argument_q + 2'd1;
              case (argument_q)
                2'd0: first_q <= {request_i, word_q[31:8]};
                2'd1: second_q <= {request_i, word_q[31:8]};
                default: third_q <= {request_i, word_q[31:8]};
              endcase
            end
          end
        end
      end
      CHECK: begin
        // A cycle for the ends of stretches, and one for what follows from them.
        wait_q        <= wait_q + 2'd1;
        after_bytes_q <= STORE;
        state_q       <= wait_q != 2'd2 ? CHECK : REPLY;
        if (wait_q == 2'd2) wait_q <= '0;
        if (wait_q == 2'd2 && !is_in_range_q) begin
          error_q <= RANGE;
          state_q <= FAIL;
        end else if (wait_q == 2'd2) begin
          case (opcode_q)
            PING: begin
              words_left_q <= 14'((length_i + (PAYLOAD_BITS+1)'(3)) >> 2);
              if (length_i != '0) state_q <= BYTES;
              after_bytes_q <= EMIT;
            end
            INFORM: begin
              words_left_q <= 14'(INFO_BYTES / 4);
              state_q      <= GATHER;
            end
            STATUS: begin
              words_left_q <= 14'd1;
              state_q      <= GATHER;
            end
            CYCLES: begin
              words_left_q <= 14'(COUNTERS);
              state_q      <= GATHER;
            end
            SOFT_RESET: begin
              is_state_valid_q <= 1'b0;
              flags_clear_o    <= 1'b1;
              core_rst_o       <= 1'b1;
            end
            MEM_WRITE: begin
              is_committed_q <= 1'b0;
              place_q        <= first_q;
              state_q        <= BYTES;
            end
            MEM_READ: begin
              host_start_o <= 1'b1;
              host_from_o  <= first_q[ADDRESS_BITS:1];
              host_count_o <= second_q[ADDRESS_BITS+1:1];
              words_left_q <= second_q[15:2];
              state_q      <= GATHER;
            end
            MEM_CRC, MODEL_COMMIT: begin
              host_start_o  <= 1'b1;
              host_from_o   <= first_q[ADDRESS_BITS:1];
              host_count_o  <= second_q[ADDRESS_BITS+1:1];
              summed_left_q <= second_q[26:1];
              sum_q         <= '1;
              state_q       <= SUM;
              if (opcode_q == MODEL_COMMIT && !has_description_q) begin
                host_start_o <= 1'b0;
                error_q      <= NOT_LOADED;
                state_q      <= FAIL;
              end
            end
            MODEL_DESC: begin
              is_committed_q    <= 1'b0;
              has_description_q <= 1'b1;
              program_o         <= first_q[ADDRESS_BITS:1];
              count_o           <= second_q[15:0];
              width_q           <= third_q[WIDTH_BITS:0];
            end
            STATE_RESET: state_q <= CLEAR;
            STATE_SAVE: begin
              place_q      <= first_q;
              words_left_q <= second_q[13:0];
              state_q      <= GATHER;
            end
            STATE_LOAD: begin
              place_q          <= first_q;
              is_state_valid_q <= 1'b1;
              state_q          <= BYTES;
            end
            STEP: begin
              token_q <= '0;
              state_q <= BYTES;
            end
            PREFILL: begin
              token_q <= TOKEN_BITS'(first_q[15:8]);
              state_q <= BYTES;
            end
            default: ;
          endcase
        end
      end
      STORE: begin
        if (opcode_q == MEM_WRITE) begin
          if (write_ready_i) begin
            state_q <= STORE_HIGH;
            place_q <= place_q + 32'd2;
          end
        end else begin
          place_q      <= place_q + 32'd1;
          words_left_q <= words_left_q - 14'd1;
          state_q      <= words_left_q != 14'd1 ? BYTES : opcode_q == STATE_LOAD ? REPLY : RUN;
        end
      end
      STORE_HIGH: begin
        if (write_ready_i) begin
          place_q      <= place_q + 32'd2;
          words_left_q <= words_left_q - 14'd1;
          state_q      <= words_left_q == 14'd1 ? REPLY : BYTES;
        end
      end
      RUN: begin
        if (!is_last_of_batch) state_q <= REPLY;
        else begin
          core_start_o <= 1'b1;
          is_check_o   <= 1'b0;
          last_token_o <= opcode_q == STEP ? '0 : TOKEN_BITS'(first_q[7:0] - 8'd1);
          wait_q       <= '0;
          state_q      <= RUN_WAIT;
        end
      end
      RUN_WAIT: begin
        wait_q <= wait_q == 2'd3 ? 2'd3 : wait_q + 2'd1;
        if (wait_q == 2'd3 && is_core_idle_i) begin
          wait_q  <= '0;
          place_q <= '0;
          if (is_refused_i) begin
            error_q <= RANGE;
            state_q <= FAIL;
          end else if (is_check_o) begin
            is_committed_q <= 1'b1;
            state_q        <= REPLY;
          end else begin
            token_q      <= last_token_o;
            words_left_q <= 14'(width_q);
            state_q      <= GATHER;
          end
        end
      end
      GATHER: begin
        byte_q  <= '0;
        wait_q  <= '0;
        state_q <= GATHER_WAIT;
      end
      GATHER_WAIT: begin
        // Buffers answer after two cycles, memory when it does.
        wait_q <= wait_q + 2'd1;
        if (opcode_q == MEM_READ) begin
          if (host_valid_i) begin
            word_q[15:0] <= host_word_i;
            state_q      <= GATHER_HIGH;
          end
        end else if (wait_q == 2'd3) begin
          case (opcode_q)
            INFORM: word_q <= info_word;
            STATUS: word_q <= {16'b0, clamped_i, 5'b0, is_state_valid_q, is_committed_q, has_description_q};
            CYCLES: word_q <= counter_i;
            STATE_SAVE: word_q <= {{4{h_i[27]}}, h_i};
            default: word_q <= x_i;
          endcase
          place_q <= place_q + (opcode_q == INFORM ? 32'd4 : 32'd1);
          state_q <= EMIT;
        end
      end
      GATHER_HIGH: begin
        if (host_valid_i) begin
          word_q[31:16] <= host_word_i;
          state_q       <= EMIT;
        end
      end
      EMIT: begin
        out_at_q <= out_at_q + (PAYLOAD_BITS+1)'(1);
        word_q   <= {8'b0, word_q[31:8]};
        byte_q   <= byte_q + 2'd1;
        wait_q   <= '0;
        if (byte_q == 2'd3) begin
          words_left_q <= words_left_q - 14'd1;
          state_q      <= words_left_q == 14'd1 ? REPLY : opcode_q == PING ? BYTES : GATHER;
        end
      end
      SUM: begin
        if (host_valid_i) begin
          sum_q         <= sum_next;
          summed_left_q <= summed_left_q - 26'd1;
          if (summed_left_q == 26'd1) state_q <= SUMMED;
        end
      end
      SUMMED: begin
        word_q       <= ~sum_q;
        words_left_q <= 14'd1;
        byte_q       <= '0;
        wait_q       <= '0;
        if (opcode_q == MEM_CRC) state_q <= EMIT;
        else if (~sum_q != third_q) begin
          error_q <= DRAM_FAIL;
          state_q <= FAIL;
        end else begin
          core_start_o <= 1'b1;
          is_check_o   <= 1'b1;
          state_q      <= RUN_WAIT;
        end
      end
      CLEAR: begin
        place_q <= place_q + 32'd1;
        if (place_q[STATE_BITS-1:0] == STATE_BITS'(STATES - 1)) begin
          is_state_valid_q <= 1'b1;
          state_q          <= REPLY;
        end
      end
      FAIL: begin
        // A core that was stopped gets time for words still on their way.
        core_rst_o <= error_q == EXPIRED;
        recover_q  <= recover_q + 6'd1;
        if (recover_q == '1) begin
          reply_flags_o  <= 8'hc0;
          reply_length_o <= (PAYLOAD_BITS+1)'(1);
          reply_error_o  <= error_q;
          reply_start_o  <= 1'b1;
          state_q        <= REPLY_WAIT;
        end
      end
      REPLY: begin
        reply_flags_o  <= 8'h80;
        reply_length_o <= opcode_q == PING ? length_i : out_at_q;
        reply_start_o  <= 1'b1;
        state_q        <= REPLY_WAIT;
      end
      REPLY_WAIT: begin
        if (!is_transient_q) begin
          last_flags_q  <= reply_flags_o;
          last_length_q <= reply_length_o;
          last_error_q  <= reply_error_o;
        end
        if (!reply_start_o && is_reply_idle_i) state_q <= DONE;
      end
      default: state_q <= IDLE;
    endcase
    if (watchdog_fires) begin
      error_q          <= EXPIRED;
      is_state_valid_q <= 1'b0;
      core_rst_o       <= 1'b1;
      state_q          <= FAIL;
    end
    if (rst_i) begin
      state_q           <= IDLE;
      has_last_q        <= 1'b0;
      is_committed_q    <= 1'b0;
      is_state_valid_q  <= 1'b0;
      has_description_q <= 1'b0;
      width_q           <= '0;
      token_q           <= '0;
      recover_q         <= '0;
      reply_flags_o     <= '0;
      core_rst_o        <= 1'b1;
    end
  end
endmodule
