// Frames out of a stream of bytes: A5 5A, version, opcode, flags, seq, length (16), CRC16 of these, payload, CRC32 of the payload.
// It hunts with a window of ten bytes, so that no start is missed after rubbish; SILENCE cycles without a byte inside a frame
// drop it to hunting. A frame, or what was wrong with it, is on offer until it is taken; meanwhile bytes wait.
module tern_frame_parser #(
  parameter int SILENCE = 1200000,
  parameter int MOST_BYTES = 4096,
  localparam int AT_BITS = $clog2(MOST_BYTES)
) (
  input  logic               clk_i,
  input  logic               rst_i,
  input  logic               byte_valid_i,
  output logic               byte_ready_o,
  input  logic [7:0]         byte_i,
  output logic               payload_write_o,
  output logic [AT_BITS-1:0] payload_at_o,
  output logic [7:0]         payload_o,
  output logic               frame_valid_o,
  input  logic               frame_ready_i,
  output logic [7:0]         version_o,
  output logic [7:0]         opcode_o,
  output logic [7:0]         flags_o,
  output logic [7:0]         sequence_o,
  output logic [AT_BITS:0]   length_o,
  output logic               is_bad_length_o,
  output logic               is_bad_crc_o,
  output logic               is_hunting_o
);
  localparam logic [2:0] HUNT = 3'd0, LOOK = 3'd1, DECIDE = 3'd2, PAYLOAD = 3'd3, CRC = 3'd4, OFFER = 3'd5;
  localparam int SILENCE_BITS = $clog2(SILENCE + 1);
  logic [2:0] state_q;
  // The oldest byte is the highest.
  logic [79:0] window_q;
  logic [15:0] header_crc, header_crc_q;
  logic [31:0] crc_q, crc_next;
  logic [23:0] received_q;
  logic [AT_BITS:0] at_q;
  logic [1:0] crc_at_q;
  logic [SILENCE_BITS-1:0] silence_q;
  logic is_silent;
  tern_crc16 u_header (.bytes_i(window_q[63:16]), .crc_o(header_crc));
  tern_crc32 u_payload (.crc_i(crc_q), .value_i(byte_i), .crc_o(crc_next));

  logic takes, is_header;
  logic [15:0] length;
  assign length       = {window_q[23:16], window_q[31:24]};
  assign is_header    = window_q[79:64] == 16'ha55a && window_q[15:0] == {header_crc_q[7:0], header_crc_q[15:8]};
  assign byte_ready_o = state_q == HUNT || state_q == PAYLOAD || state_q == CRC;
  assign takes        = byte_valid_i && byte_ready_o;
  assign is_silent    = silence_q == SILENCE_BITS'(SILENCE);
  assign is_hunting_o = state_q == HUNT || state_q == LOOK || state_q == DECIDE;
  assign payload_write_o = takes && state_q == PAYLOAD;
  assign payload_at_o    = at_q[AT_BITS-1:0];
  assign payload_o       = byte_i;
  assign frame_valid_o   = state_q == OFFER;

  always_ff @(posedge clk_i) begin
    header_crc_q <= header_crc;
    silence_q    <= takes || is_hunting_o ? '0 : is_silent ? silence_q : silence_q + SILENCE_BITS'(1);
    case (state_q)
      HUNT: begin
        if (takes) begin
          window_q <= {window_q[71:0], byte_i};
          state_q  <= LOOK;
        end
      end
      LOOK: state_q <= DECIDE;
      DECIDE: begin
        {version_o, opcode_o, flags_o, sequence_o} <= window_q[63:32];
        is_bad_length_o <= length > 16'(MOST_BYTES);
        is_bad_crc_o    <= 1'b0;
        length_o        <= length[AT_BITS:0];
        at_q            <= '0;
        crc_at_q        <= '0;
        crc_q           <= '1;
        if (!is_header) state_q <= HUNT;
        else begin
          window_q <= '0;
          state_q  <= length > 16'(MOST_BYTES) ? OFFER : length == '0 ? CRC : PAYLOAD;
        end
      end
      PAYLOAD: begin
        if (takes) begin
          crc_q <= crc_next;
          at_q  <= at_q + (AT_BITS+1)'(1);
          if (at_q + (AT_BITS+1)'(1) == length_o) state_q <= CRC;
        end else if (is_silent) state_q <= HUNT;
      end
      CRC: begin
        if (takes) begin
          received_q <= {byte_i, received_q[23:8]};
          crc_at_q   <= crc_at_q + 2'd1;
          if (crc_at_q == 2'd3) begin
            is_bad_crc_o <= {byte_i, received_q} != ~crc_q;
            state_q      <= OFFER;
          end
        end else if (is_silent) state_q <= HUNT;
      end
      default: if (frame_ready_i) state_q <= HUNT;
    endcase
    if (rst_i) begin
      state_q   <= HUNT;
      window_q  <= '0;
      silence_q <= '0;
    end
  end

`ifdef FORMAL
  // How long no byte was taken, and how long none could be; counted beside the parser.
  logic [15:0] f_silent_q;
  logic [3:0] f_refused_q;
  initial assume (rst_i);
  always_ff @(posedge clk_i) begin
    f_silent_q  <= rst_i || takes ? '0 : f_silent_q == '1 ? f_silent_q : f_silent_q + 16'd1;
    f_refused_q <= rst_i || byte_ready_o || frame_valid_o ? '0 : f_refused_q + 4'd1;
    if (!rst_i) begin
      assert (state_q <= OFFER);
      // Always hunts again: after SILENCE cycles a frame is whole or forgotten.
      if (f_silent_q > 16'(SILENCE + 4)) assert (is_hunting_o || frame_valid_o);
      if (f_silent_q != '1 && !is_hunting_o && !frame_valid_o) begin
        assert (silence_q <= SILENCE_BITS'(SILENCE));
        assert (is_silent || f_silent_q <= 16'(silence_q) + 16'd3);
        assert (f_silent_q <= 16'(SILENCE + 4));
      end
      if (f_silent_q == '1) assert (is_hunting_o || frame_valid_o);
      if (is_hunting_o) assert (silence_q <= SILENCE_BITS'(SILENCE));
      // A byte is taken within three cycles.
      assert (f_refused_q <= 4'd2);
      if (state_q == LOOK) assert (f_refused_q == 4'd0);
      if (state_q == DECIDE) assert (f_refused_q == 4'd1);
      if (state_q == HUNT || state_q == OFFER) assert (f_refused_q <= 4'd2);
      if (state_q == PAYLOAD) assert (at_q < length_o && length_o <= (AT_BITS+1)'(MOST_BYTES));
      if (state_q == CRC) assert (length_o <= (AT_BITS+1)'(MOST_BYTES));
      if (state_q == OFFER && !is_bad_length_o) assert (length_o <= (AT_BITS+1)'(MOST_BYTES));
    end
  end
`endif
endmodule
