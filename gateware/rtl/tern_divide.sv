// floor(n / d + 1/2), n of 36 bits, d of 17 and not 0: one more bit of the quotient, add one, halve. Restoring, one bit a cycle.
module tern_divide (
  input  logic        clk_i,
  input  logic        rst_i,
  input  logic        in_valid_i,
  output logic        in_ready_o,
  input  logic [35:0] numerator_i,
  input  logic [16:0] divisor_i,
  output logic        out_valid_o,
  input  logic        out_ready_i,
  output logic [35:0] quotient_o
);
  localparam int STEPS = 37;
  logic [5:0] left_q;
  logic is_busy_q;
  logic [16:0] divisor_q;
  logic [17:0] rest_q;
  // The numerator leaves at the top while the quotient enters below.
  logic [36:0] bits_q;

  logic [18:0] trial;
  assign trial = {1'b0, rest_q[16:0], bits_q[36]} - {2'b00, divisor_q};

  assign in_ready_o  = !is_busy_q && !out_valid_o;
  assign quotient_o  = bits_q[36:1] + {35'b0, bits_q[0]};

  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      is_busy_q   <= 1'b0;
      out_valid_o <= 1'b0;
    end else if (is_busy_q) begin
      left_q <= left_q - 6'd1;
      rest_q <= trial[18] ? {rest_q[16:0], bits_q[36]} : trial[17:0];
      bits_q <= {bits_q[35:0], !trial[18]};
      if (left_q == 6'd1) begin
        is_busy_q   <= 1'b0;
        out_valid_o <= 1'b1;
      end
    end else if (in_valid_i && in_ready_o) begin
      is_busy_q <= 1'b1;
      left_q    <= 6'(STEPS);
      divisor_q <= divisor_i;
      rest_q    <= '0;
      bits_q    <= {numerator_i, 1'b0};
    end else if (out_ready_i) out_valid_o <= 1'b0;
  end

  logic unused;
  assign unused = &{1'b0, rest_q[17]};
endmodule
