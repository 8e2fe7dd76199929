// First in, first out, 2^DEPTH_BITS words, in LUT RAM. A word is on offer the cycle after it came.
module tern_fifo #(
  parameter int BITS = 16,
  parameter int DEPTH_BITS = 5
) (
  input  logic                clk_i,
  input  logic                rst_i,
  input  logic                in_valid_i,
  output logic                in_ready_o,
  input  logic [BITS-1:0]     value_i,
  output logic                out_valid_o,
  input  logic                out_ready_i,
  output logic [BITS-1:0]     value_o,
  output logic [DEPTH_BITS:0] count_o
);
  localparam int DEPTH = 1 << DEPTH_BITS;
  logic [BITS-1:0] values_q[DEPTH];
  logic [DEPTH_BITS:0] written_q, read_q;
  assign count_o     = written_q - read_q;
  assign in_ready_o  = !count_o[DEPTH_BITS];
  assign out_valid_o = count_o != '0;
  assign value_o     = values_q[read_q[DEPTH_BITS-1:0]];
  always_ff @(posedge clk_i) begin
    if (in_valid_i && in_ready_o) values_q[written_q[DEPTH_BITS-1:0]] <= value_i;
    if (rst_i) begin
      written_q <= '0;
      read_q    <= '0;
    end else begin
      if (in_valid_i && in_ready_o) written_q <= written_q + (DEPTH_BITS+1)'(1);
      if (out_valid_o && out_ready_i) read_q <= read_q + (DEPTH_BITS+1)'(1);
    end
  end
endmodule
