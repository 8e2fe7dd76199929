// CRC-32 (0xEDB88320, lowest bit first) one step on, by one byte or by two. The register begins with all ones; its complement is
// the CRC.
module tern_crc32 #(
  parameter int BITS = 8
) (
  input  logic [31:0]     crc_i,
  input  logic [BITS-1:0] value_i,
  output logic [31:0]     crc_o
);
  function automatic logic [31:0] next(input logic [31:0] crc, input logic [BITS-1:0] value);
    integer at;
    next = crc;
    for (at = 0; at < BITS; at = at + 1) next = {1'b0, next[31:1]} ^ (next[0] ^ value[at] ? 32'hedb88320 : 32'h0);
  endfunction
  assign crc_o = next(crc_i, value_i);
endmodule
