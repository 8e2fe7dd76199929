// CRC-16/CCITT-FALSE (0x1021, start ffff, highest bit first) of the six bytes of a header between the sync and the CRC.
module tern_crc16 (
  input  logic [47:0] bytes_i,
  output logic [15:0] crc_o
);
  function automatic logic [15:0] crc_of(input logic [47:0] bytes);
    integer at;
    crc_of = '1;
    for (at = 47; at >= 0; at = at - 1) crc_of = {crc_of[14:0], 1'b0} ^ (crc_of[15] ^ bytes[at] ? 16'h1021 : 16'h0);
  endfunction
  // The first byte is the highest.
  assign crc_o = crc_of(bytes_i);
endmodule
