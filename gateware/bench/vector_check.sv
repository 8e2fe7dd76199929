// Takes a stream and compares it with the vectors of a file, four times over, with and without backpressure. An unknown bit is
// an error.
module vector_check #(
  parameter int BITS = 8,
  parameter int COUNT = 1,
  parameter FILE = "",
  parameter logic [15:0] SEED = 16'h1
) (
  input  logic            clk_i,
  input  logic            rst_i,
  input  logic            valid_i,
  output logic            ready_o,
  input  logic [BITS-1:0] data_i,
  output logic            is_done_o,
  output integer          errors_o
);
  logic [BITS-1:0] expected[COUNT];
  initial $readmemh(FILE, expected);

  logic [15:0] random_q;
  logic [1:0] pass_q;
  integer at_q;
  assign ready_o = pass_q == 2'd0 ? 1'b1 : pass_q == 2'd3 ? random_q[2:0] == 3'd0 : random_q[1:0] != 2'd0;

  always_ff @(posedge clk_i) begin
    random_q <= {random_q[14:0], random_q[15] ^ random_q[13] ^ random_q[12] ^ random_q[10]};
    if (rst_i) begin
      random_q  <= SEED ^ 16'h5a5a;
      pass_q    <= '0;
      at_q      <= 0;
      is_done_o <= 1'b0;
      errors_o  <= 0;
    end else if (valid_i === 1'bx) errors_o <= errors_o + 1;
    else if (valid_i && ready_o) begin
      if (is_done_o || data_i !== expected[at_q]) begin
        errors_o <= errors_o + 1;
        if (errors_o < 3) $display("ERROR %m at %0d: %h, expected %h", at_q, data_i, expected[at_q]);
      end
      at_q <= at_q + 1;
      if (at_q == COUNT - 1) begin
        at_q   <= 0;
        pass_q <= pass_q + 2'd1;
        if (pass_q == 2'd3) is_done_o <= 1'b1;
      end
    end
  end
endmodule
