// Ternary weights out of 16 bit words of memory: groups of 64 codes, in 16 bytes of 2 bits a code or in 13 bytes of 5 base-3
// digits each (the last byte has 4). Out go LANES codes a beat as two bits, nonzero below and negative above.
module tern_unpack #(
  parameter int LANES = 16
) (
  input  logic               clk_i,
  input  logic               rst_i,
  // Between matrices: forgets what is left of the last one.
  input  logic               clear_i,
  input  logic               is_base3_i,
  input  logic               in_valid_i,
  output logic               in_ready_o,
  input  logic [15:0]        word_i,
  output logic               out_valid_o,
  input  logic               out_ready_i,
  output logic [2*LANES-1:0] codes_o
);
  localparam int HELD = LANES + 10;
  localparam int FILL_BITS = $clog2(HELD + 1);

  // Decoded once, registered: a word's codes and how many they are.
  logic [19:0] decoded, word_codes_q;
  logic [3:0] decoded_count, word_count_q;
  logic word_valid_q;
  logic [9:0] low_digits, high_digits;
  logic [3:0] byte_q;
  tern_base3 u_low (.byte_i(word_i[7:0]), .codes_o(low_digits));
  tern_base3 u_high (.byte_i(word_i[15:8]), .codes_o(high_digits));

  // In a group of 13 bytes the last has four digits: it is the low byte of one word, and in the next group the high byte.
  logic low_is_last, high_is_last;
  assign low_is_last  = byte_q == 4'd12;
  assign high_is_last = byte_q == 4'd11;
  always_comb begin
    if (!is_base3_i) begin
      decoded       = {4'b0, word_i};
      decoded_count = 4'd8;
    end else if (low_is_last) begin
      decoded       = {2'b0, high_digits, low_digits[7:0]};
      decoded_count = 4'd9;
    end else begin
      decoded       = {high_digits, low_digits};
      decoded_count = high_is_last ? 4'd9 : 4'd10;
    end
  end

  logic [2*HELD-1:0] held_q, after_out, inserted;
  logic [FILL_BITS-1:0] fill_q, fill_after;
  logic take_word, emits;
  assign out_valid_o = fill_q >= FILL_BITS'(LANES);
  assign codes_o     = held_q[2*LANES-1:0];
  assign emits       = out_valid_o && out_ready_i;
  // A word of ten codes has room beside a whole beat that waits, so that beats used twice do not hold memory up.
  assign take_word   = word_valid_q && fill_after <= FILL_BITS'(LANES);
  assign fill_after  = emits ? fill_q - FILL_BITS'(LANES) : fill_q;
  assign after_out   = emits ? held_q >> (2 * LANES) : held_q;
  assign inserted    = (2*HELD)'(word_codes_q) << {fill_after, 1'b0};
  assign in_ready_o  = !word_valid_q || take_word;

  always_ff @(posedge clk_i) begin
    if (rst_i || clear_i) begin
      word_valid_q <= 1'b0;
      byte_q       <= '0;
      fill_q       <= '0;
      held_q       <= '0;
    end else begin
      if (in_ready_o) begin
        word_valid_q <= in_valid_i;
        if (in_valid_i) byte_q <= low_is_last ? 4'd1 : high_is_last ? 4'd0 : byte_q + 4'd2;
      end
      fill_q <= fill_after + (take_word ? FILL_BITS'(word_count_q) : '0);
      held_q <= take_word ? after_out | inserted : after_out;
    end
    if (in_ready_o) begin
      word_codes_q <= high_is_last && is_base3_i ? {2'b0, decoded[17:0]} : decoded;
      word_count_q <= decoded_count;
    end
  end
endmodule
