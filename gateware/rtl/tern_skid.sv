// A stream cut in two: neither side's logic reaches through to the other, and a value still goes every cycle.
module tern_skid #(
  parameter int BITS = 8
) (
  input  logic            clk_i,
  input  logic            rst_i,
  input  logic            in_valid_i,
  output logic            in_ready_o,
  input  logic [BITS-1:0] value_i,
  output logic            out_valid_o,
  input  logic            out_ready_i,
  output logic [BITS-1:0] value_o
);
  // What came in the cycle in which the other side stopped.
  logic has_spare_q;
  logic [BITS-1:0] spare_q;
  assign in_ready_o = !has_spare_q;
  always_ff @(posedge clk_i) begin
    if (in_ready_o) spare_q <= value_i;
    if (out_ready_i || !out_valid_o) value_o <= has_spare_q ? spare_q : value_i;
    if (rst_i) begin
      out_valid_o <= 1'b0;
      has_spare_q <= 1'b0;
    end else if (out_ready_i || !out_valid_o) begin
      out_valid_o <= has_spare_q || in_valid_i;
      has_spare_q <= 1'b0;
    end else if (in_ready_o) has_spare_q <= in_valid_i;
  end
endmodule
