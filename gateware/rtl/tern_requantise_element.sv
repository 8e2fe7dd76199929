// A row's output: RSH(sum mant, so), clamped to 24 bits as a gate, or added to the residual and clamped to 32. A stream, one
// row every cycle. The row's tag (where it goes) comes along, so does the residual.
module tern_requantise_element #(
  parameter int TAG_BITS = 1
) (
  input  logic                clk_i,
  input  logic                rst_i,
  input  logic                in_valid_i,
  output logic                in_ready_o,
  input  logic signed [20:0]  sum_i,
  input  logic [15:0]         mantissa_i,
  input  logic [5:0]          shift_i,
  input  logic                is_residual_i,
  input  logic signed [31:0]  residual_i,
  input  logic [TAG_BITS-1:0] tag_i,
  output logic                out_valid_o,
  input  logic                out_ready_i,
  output logic signed [31:0]  value_o,
  output logic                is_clamped_o,
  output logic [TAG_BITS-1:0] tag_o
);
  logic en, unused_clamp;
  logic signed [38:0] product;
  logic signed [38:0] change;
  logic [5:0] shift_late;
  logic is_residual;
  logic [31:0] residual;
  logic signed [39:0] exact_q;
  logic is_residual_q, is_over, is_under;
  localparam logic signed [39:0] MOST_32 = 40'sh7fffffff, MOST_24 = 40'sh7fffff;
  logic signed [39:0] most;

  tern_valid #(.LATENCY(10)) u_valid (
    .clk_i, .rst_i, .in_valid_i, .in_ready_o, .out_valid_o, .out_ready_i, .en_o(en)
  );
  tern_multiply #(.A_BITS(21), .B_BITS(18)) u_product (
    .clk_i, .en_i(en), .a_i(sum_i), .b_i({2'b00, mantissa_i}), .product_o(product)
  );
  tern_delay #(.BITS(6), .CYCLES(4)) u_shift (.clk_i, .rst_i, .en_i(en), .value_i(shift_i), .value_o(shift_late));
  // As wide as its input: nothing is clamped before the residual is added.
  tern_round_shift #(.IN_BITS(39), .SHIFT_BITS(6), .OUT_BITS(39)) u_round (
    .clk_i, .en_i(en), .value_i(product), .shift_i(shift_late), .value_o(change), .is_clamped_o(unused_clamp)
  );
  tern_delay #(.BITS(33), .CYCLES(8)) u_residual (
    .clk_i, .rst_i, .en_i(en), .value_i({is_residual_i, residual_i}), .value_o({is_residual, residual})
  );
  tern_delay #(.BITS(TAG_BITS), .CYCLES(10)) u_tag (.clk_i, .rst_i, .en_i(en), .value_i(tag_i), .value_o(tag_o));

  assign most     = is_residual_q ? MOST_32 : MOST_24;
  assign is_over  = exact_q > most;
  assign is_under = exact_q < -most;
  always_ff @(posedge clk_i) begin
    if (en) begin
      exact_q       <= 40'(change) + (is_residual ? 40'($signed(residual)) : 40'sd0);
      is_residual_q <= is_residual;
      is_clamped_o  <= is_over || is_under;
      value_o       <= is_over ? most[31:0] : is_under ? 32'(-most) : exact_q[31:0];
    end
  end
  logic unused;
  assign unused = &{1'b0, unused_clamp};
endmodule
