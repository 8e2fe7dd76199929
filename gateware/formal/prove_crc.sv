// The CRCs against their definition as a division, bit by bit, and the property that they are there for: one wrong bit, and any
// two wrong bits of a byte, change them.
module prove_crc (
  input logic [31:0] crc_i,
  input logic [7:0]  byte_i,
  input logic [7:0]  second_i,
  input logic [47:0] header_i,
  input logic [5:0]  bit_i,
  input logic [7:0]  damage_i
);
  logic [31:0] by_byte, by_byte_2, by_word, damaged;
  tern_crc32 #(.BITS(8)) u_first (.crc_i(crc_i), .value_i(byte_i), .crc_o(by_byte));
  tern_crc32 #(.BITS(8)) u_second (.crc_i(by_byte), .value_i(second_i), .crc_o(by_byte_2));
  tern_crc32 #(.BITS(16)) u_word (.crc_i(crc_i), .value_i({second_i, byte_i}), .crc_o(by_word));
  tern_crc32 #(.BITS(8)) u_damaged (.crc_i(crc_i), .value_i(byte_i ^ damage_i), .crc_o(damaged));
  logic [15:0] header_crc, header_damaged;
  tern_crc16 u_header (.bytes_i(header_i), .crc_o(header_crc));
  tern_crc16 u_header_damaged (.bytes_i(header_i ^ (48'd1 << bit_i)), .crc_o(header_damaged));
  always_comb begin
    // Memory's words of two bytes are the same as byte by byte.
    assert (by_word == by_byte_2);
    if (damage_i != '0) assert (damaged != by_byte);
    if (bit_i < 48) assert (header_crc != header_damaged);
    // The known value of nine digits' first byte, and of an empty header.
    if (crc_i == '1 && byte_i == 8'h31) assert (~by_byte == 32'h83dcefb7);
  end
endmodule
