// Serial bytes, 8 data bits, no parity: a cycle count a bit, sampled in the middle. A frame without its stop bit is dropped.
module tern_uart_receive #(
  parameter int CYCLES_A_BIT = 40,
  localparam int BITS = $clog2(CYCLES_A_BIT + 1)
) (
  input  logic       clk_i,
  input  logic       rst_i,
  input  logic       line_i,
  output logic       valid_o,
  output logic [7:0] byte_o
);
  logic [1:0] line_q;
  logic [BITS-1:0] wait_q;
  logic [3:0] bit_q;
  logic is_busy_q;
  always_ff @(posedge clk_i) begin
    line_q  <= {line_q[0], line_i};
    valid_o <= 1'b0;
    if (!is_busy_q) begin
      bit_q  <= '0;
      wait_q <= BITS'(CYCLES_A_BIT / 2);
      if (!line_q[1]) is_busy_q <= 1'b1;
    end else if (wait_q != '0) wait_q <= wait_q - BITS'(1);
    else begin
      wait_q <= BITS'(CYCLES_A_BIT - 1);
      bit_q  <= bit_q + 4'd1;
      if (bit_q == 4'd0 && line_q[1]) is_busy_q <= 1'b0;
      if (bit_q >= 4'd1 && bit_q <= 4'd8) byte_o <= {line_q[1], byte_o[7:1]};
      if (bit_q == 4'd9) begin
        is_busy_q <= 1'b0;
        valid_o   <= line_q[1];
      end
    end
    if (rst_i) begin
      is_busy_q <= 1'b0;
      line_q    <= 2'b11;
      valid_o   <= 1'b0;
    end
  end
endmodule
