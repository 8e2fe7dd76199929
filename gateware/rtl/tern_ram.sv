// A memory with a port to write and one to read. A value read is there two cycles after its address: block RAM and its output
// register, without which no ECP5 clock above 90 MHz was reached.
module tern_ram #(
  parameter int BITS = 32,
  parameter int DEPTH = 1024,
  localparam int AT_BITS = $clog2(DEPTH)
) (
  input  logic               clk_i,
  input  logic               write_i,
  input  logic [AT_BITS-1:0] write_at_i,
  input  logic [BITS-1:0]    value_i,
  input  logic [AT_BITS-1:0] read_at_i,
  output logic [BITS-1:0]    value_o
);
  logic [BITS-1:0] values_q[DEPTH];
  logic [BITS-1:0] read_q;
  always_ff @(posedge clk_i) begin
    if (write_i) values_q[write_at_i] <= value_i;
    read_q  <= values_q[read_at_i];
    value_o <= read_q;
  end
endmodule
