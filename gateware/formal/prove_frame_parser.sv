// The frame parser, whatever comes: after SILENCE cycles without a byte it hunts or offers a frame; an offered frame ends when it
// is taken; no byte is written outside the payload; a byte is taken within three cycles unless a frame is on offer.
module prove_frame_parser (
  input logic       clk_i,
  input logic       byte_valid_i,
  input logic [7:0] byte_i,
  input logic       frame_ready_i
);
  localparam int SILENCE = 5;
  logic rst = 1'b1;
  logic byte_ready, payload_write, frame_valid, is_bad_length, is_bad_crc, is_hunting;
  logic [2:0] payload_at;
  logic [7:0] payload, version, opcode, flags, sequence_number;
  logic [3:0] length;
  always_ff @(posedge clk_i) rst <= 1'b0;
  tern_frame_parser #(.SILENCE(SILENCE), .MOST_BYTES(8)) dut (
    .clk_i, .rst_i(rst), .byte_valid_i, .byte_ready_o(byte_ready), .byte_i, .payload_write_o(payload_write),
    .payload_at_o(payload_at), .payload_o(payload), .frame_valid_o(frame_valid), .frame_ready_i, .version_o(version),
    .opcode_o(opcode), .flags_o(flags), .sequence_o(sequence_number), .length_o(length), .is_bad_length_o(is_bad_length),
    .is_bad_crc_o(is_bad_crc), .is_hunting_o(is_hunting)
  );

  logic taken_q = 1'b0;
  always_ff @(posedge clk_i) taken_q <= frame_valid && frame_ready_i && !rst;
  always_comb begin
    if (!rst) begin
      if (taken_q) assert (is_hunting);
      if (payload_write) assert (payload_at < length);
      if (frame_valid && !is_bad_length) assert (length <= 8);
      assert (!(frame_valid && byte_ready));
    end
  end
endmodule
