// Norm weights and bounds out of memory into the weight buffer: one word an element (w1, lower bounds) or two (w12, low word
// first, 18 bits used).
module tern_load_op #(
  parameter int INPUTS = 4096,
  localparam int AT_BITS = $clog2(INPUTS)
) (
  input  logic               clk_i,
  input  logic               rst_i,
  input  logic               start_i,
  output logic               is_idle_o,
  input  logic [AT_BITS:0]   width_i,
  input  logic               is_double_i,
  input  logic               word_valid_i,
  output logic               word_ready_o,
  input  logic [15:0]        word_i,
  output logic               write_o,
  output logic [AT_BITS-1:0] write_at_o,
  output logic [17:0]        value_o
);
  logic is_busy_q, is_high_q, has_low;
  logic [AT_BITS:0] at_q;
  logic [15:0] low_q;
  assign is_idle_o    = !is_busy_q;
  assign word_ready_o = is_busy_q;
  assign has_low      = !is_double_i || is_high_q;
  assign write_o      = is_busy_q && word_valid_i && has_low;
  assign write_at_o   = at_q[AT_BITS-1:0];
  assign value_o      = is_double_i ? {word_i[1:0], low_q} : {2'b00, word_i};
  always_ff @(posedge clk_i) begin
    if (rst_i) is_busy_q <= 1'b0;
    else if (start_i) begin
      is_busy_q <= 1'b1;
      is_high_q <= 1'b0;
      at_q      <= '0;
    end else if (is_busy_q && word_valid_i) begin
      is_high_q <= !is_high_q;
      low_q     <= word_i;
      if (has_low) begin
        at_q <= at_q + (AT_BITS+1)'(1);
        if (at_q + (AT_BITS+1)'(1) == width_i) is_busy_q <= 1'b0;
      end
    end
  end
endmodule
