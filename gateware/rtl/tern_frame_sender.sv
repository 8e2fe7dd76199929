// A frame as bytes: header and its CRC16, payload out of a memory whose values arrive two cycles after their place, CRC32.
module tern_frame_sender #(
  parameter int MOST_BYTES = 4096,
  localparam int AT_BITS = $clog2(MOST_BYTES)
) (
  input  logic               clk_i,
  input  logic               rst_i,
  input  logic               start_i,
  output logic               is_idle_o,
  input  logic [7:0]         opcode_i,
  input  logic [7:0]         flags_i,
  input  logic [7:0]         sequence_i,
  input  logic [AT_BITS:0]   length_i,
  output logic [AT_BITS-1:0] payload_at_o,
  input  logic [7:0]         payload_i,
  output logic               byte_valid_o,
  input  logic               byte_ready_i,
  output logic [7:0]         byte_o
);
  localparam logic [7:0] VERSION = 8'd1;
  localparam logic [2:0] IDLE = 3'd0, HEADER = 3'd1, WAIT = 3'd2, WAIT_2 = 3'd3, PAYLOAD = 3'd4, CRC = 3'd5, WAIT_3 = 3'd6;
  logic [2:0] state_q;
  logic [AT_BITS:0] at_q;
  logic [3:0] count_q;
  logic [79:0] header_q;
  logic [31:0] crc_q, crc_next;
  logic [15:0] length, header_crc;
  logic gives;
  assign length = 16'(length_i);
  tern_crc16 u_header (
    .bytes_i({VERSION, opcode_i, flags_i, sequence_i, length[7:0], length[15:8]}), .crc_o(header_crc)
  );
  tern_crc32 u_payload (.crc_i(crc_q), .value_i(payload_i), .crc_o(crc_next));
  assign is_idle_o    = state_q == IDLE;
  assign payload_at_o = at_q[AT_BITS-1:0];
  assign byte_valid_o = state_q == HEADER || state_q == PAYLOAD || state_q == CRC;
  assign byte_o       = state_q == HEADER ? header_q[79:72] : state_q == PAYLOAD ? payload_i : ~crc_q[7:0];
  assign gives        = byte_valid_o && byte_ready_i;
  always_ff @(posedge clk_i) begin
    case (state_q)
      IDLE: begin
        at_q     <= '0;
        count_q  <= '0;
        crc_q    <= '1;
        header_q <= {16'ha55a, VERSION, opcode_i, flags_i, sequence_i, length[7:0], length[15:8], header_crc[7:0],
          header_crc[15:8]};
        if (start_i) state_q <= HEADER;
      end
      HEADER: begin
        if (gives) begin
          header_q <= {header_q[71:0], 8'h00};
          count_q  <= count_q + 4'd1;
          if (count_q == 4'd9) begin
            count_q <= '0;
            state_q <= length_i == '0 ? CRC : WAIT;
          end
        end
      end
      WAIT: state_q <= WAIT_2;
      WAIT_2: state_q <= WAIT_3;
      WAIT_3: state_q <= PAYLOAD;
      PAYLOAD: begin
        if (gives) begin
          crc_q   <= crc_next;
          at_q    <= at_q + (AT_BITS+1)'(1);
          state_q <= at_q + (AT_BITS+1)'(1) == length_i ? CRC : WAIT;
        end
      end
      default: begin
        if (gives) begin
          crc_q   <= {8'hff, crc_q[31:8]};
          count_q <= count_q + 4'd1;
          if (count_q == 4'd3) state_q <= IDLE;
        end
      end
    endcase
    if (rst_i) state_q <= IDLE;
  end
endmodule
