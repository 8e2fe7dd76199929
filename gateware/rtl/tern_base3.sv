// Five ternary digits of a byte (0..242, the first digit is the lowest; digit 0, 1, 2 is weight -1, 0, 1) as codes of two bits:
// nonzero below, negative above. A byte above 242 gives digits of 242.
module tern_base3 (
  input  logic [7:0] byte_i,
  output logic [9:0] codes_o
);
  function automatic logic [9:0] codes_of(input integer from);
    integer rest, digit;
    rest  = from > 242 ? 242 : from;
    codes_of = '0;
    for (digit = 0; digit < 5; digit = digit + 1) begin
      codes_of[2*digit]   = rest % 3 != 1;
      codes_of[2*digit+1] = rest % 3 == 0;
      rest = rest / 3;
    end
  endfunction

  logic [9:0] table_q[256];
  integer value;
  initial begin
    for (value = 0; value < 256; value = value + 1) table_q[value] = codes_of(value);
  end
  assign codes_o = table_q[byte_i];
endmodule
