// Drives a stream with the vectors of a file, four times over: without a pause, with few, with many, and then again with few.
// The pauses come from a shift register, so that every simulator sees the same ones.
module vector_source #(
  parameter int BITS = 8,
  parameter int COUNT = 1,
  parameter FILE = "",
  parameter logic [15:0] SEED = 16'h1
) (
  input  logic            clk_i,
  input  logic            rst_i,
  output logic            valid_o,
  input  logic            ready_i,
  output logic [BITS-1:0] data_o
);
  logic [BITS-1:0] vectors[COUNT];
  initial $readmemh(FILE, vectors);

  logic [15:0] random_q;
  logic [1:0] pass_q;
  integer at_q;
  logic is_over_q, pauses;
  assign pauses = pass_q == 2'd0 ? 1'b0 : pass_q == 2'd2 ? random_q[2:0] != 3'd0 : random_q[1:0] == 2'd0;

  // A word on offer stays until it is taken.
  always_ff @(posedge clk_i) begin
    random_q <= {random_q[14:0], random_q[15] ^ random_q[13] ^ random_q[12] ^ random_q[10]};
    if (rst_i) begin
      random_q  <= SEED;
      pass_q    <= '0;
      at_q      <= 0;
      valid_o   <= 1'b0;
      is_over_q <= 1'b0;
    end else if (!valid_o || ready_i) begin
      valid_o <= !is_over_q && !pauses;
      // What is offered without being valid must not matter.
      data_o  <= {BITS{1'bx}};
      if (!is_over_q && !pauses) begin
        data_o <= vectors[at_q];
        at_q   <= at_q + 1;
        if (at_q == COUNT - 1) begin
          at_q   <= 0;
          pass_q <= pass_q + 2'd1;
          if (pass_q == 2'd3) is_over_q <= 1'b1;
        end
      end
    end
  end
endmodule
