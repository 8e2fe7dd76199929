// A stretch of memory as a stream of words. It asks for a word only when there is room for it.
module tern_reader #(
  parameter int ADDRESS_BITS = 24,
  parameter int DEPTH_BITS = 5
) (
  input  logic                    clk_i,
  input  logic                    rst_i,
  // Only while idle. A stretch of 0 words is none.
  input  logic                    start_i,
  input  logic [ADDRESS_BITS-1:0] from_i,
  input  logic [ADDRESS_BITS:0]   count_i,
  output logic                    request_valid_o,
  input  logic                    request_ready_i,
  output logic [ADDRESS_BITS-1:0] address_o,
  input  logic                    value_valid_i,
  input  logic [15:0]             value_i,
  output logic                    out_valid_o,
  input  logic                    out_ready_i,
  output logic [15:0]             word_o,
  output logic                    is_idle_o
);
  logic [ADDRESS_BITS:0] left_q;
  // Asked for and not yet taken.
  logic [DEPTH_BITS:0] owed_q, unused_count;
  logic asks, takes, fifo_ready;
  assign request_valid_o = left_q != '0 && !owed_q[DEPTH_BITS];
  assign asks            = request_valid_o && request_ready_i;
  assign takes           = out_valid_o && out_ready_i;
  assign is_idle_o       = left_q == '0 && owed_q == '0;
  tern_fifo #(.BITS(16), .DEPTH_BITS(DEPTH_BITS)) u_fifo (
    .clk_i, .rst_i, .in_valid_i(value_valid_i), .in_ready_o(fifo_ready), .value_i, .out_valid_o, .out_ready_i,
    .value_o(word_o), .count_o(unused_count)
  );
  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      left_q <= '0;
      owed_q <= '0;
    end else begin
      if (start_i) begin
        left_q    <= count_i;
        address_o <= from_i;
      end else if (asks) begin
        left_q    <= left_q - (ADDRESS_BITS+1)'(1);
        address_o <= address_o + ADDRESS_BITS'(1);
      end
      owed_q <= owed_q + {{DEPTH_BITS{1'b0}}, asks} - {{DEPTH_BITS{1'b0}}, takes};
    end
  end
  logic unused;
  assign unused = &{1'b0, unused_count, fifo_ready};
endmodule
