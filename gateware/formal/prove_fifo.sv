// The FIFO gives every word once, in order, for any use of it: a word that the prover picks comes out as it went in, when it is its turn.
module prove_fifo (
  input logic       clk_i,
  input logic       in_valid_i,
  input logic [3:0] value_i,
  input logic       out_ready_i
);
  localparam int DEPTH_BITS = 2;
  logic rst = 1'b1;
  logic in_ready, out_valid;
  logic [3:0] value;
  logic [DEPTH_BITS:0] count;
  always_ff @(posedge clk_i) rst <= 1'b0;
  tern_fifo #(.BITS(4), .DEPTH_BITS(DEPTH_BITS)) dut (
    .clk_i, .rst_i(rst), .in_valid_i(in_valid_i && !rst), .in_ready_o(in_ready), .value_i, .out_valid_o(out_valid),
    .out_ready_i, .value_o(value), .count_o(count)
  );

  // A word is followed through: how many are before it, and whether it is inside.
  (* anyconst *) logic [3:0] followed;
  logic is_inside_q = 1'b0, was_chosen_q = 1'b0;
  logic [DEPTH_BITS:0] before_q;
  (* anyseq *) logic chooses;
  logic enters, leaves;
  assign enters = in_valid_i && in_ready && !rst;
  assign leaves = out_valid && out_ready_i && !rst;
  always_ff @(posedge clk_i) begin
    if (enters && chooses && !was_chosen_q && value_i == followed) begin
      was_chosen_q <= 1'b1;
      is_inside_q  <= 1'b1;
      before_q     <= count - {2'b0, leaves};
    end else if (is_inside_q && leaves) begin
      if (before_q == '0) is_inside_q <= 1'b0;
      else before_q <= before_q - 3'd1;
    end
  end
  always_comb begin
    if (!rst) begin
      assert (count <= 3'd4);
      assert (out_valid == (count != 0));
      assert (in_ready == (count != 4));
      if (is_inside_q) begin
        assert (count > before_q);
        if (before_q == '0) assert (value == followed);
      end
    end
  end
endmodule
