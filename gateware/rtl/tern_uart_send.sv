// Bytes on a serial line: a start bit, 8 data bits, a stop bit.
module tern_uart_send #(
  parameter int CYCLES_A_BIT = 40,
  localparam int BITS = $clog2(CYCLES_A_BIT + 1)
) (
  input  logic       clk_i,
  input  logic       rst_i,
  input  logic       valid_i,
  output logic       ready_o,
  input  logic [7:0] byte_i,
  output logic       line_o
);
  logic [BITS-1:0] wait_q;
  logic [3:0] left_q;
  logic [9:0] bits_q;
  assign ready_o = left_q == '0;
  assign line_o  = bits_q[0];
  always_ff @(posedge clk_i) begin
    if (left_q == '0) begin
      if (valid_i) begin
        bits_q <= {1'b1, byte_i, 1'b0};
        left_q <= 4'd10;
        wait_q <= BITS'(CYCLES_A_BIT - 1);
      end
    end else if (wait_q != '0) wait_q <= wait_q - BITS'(1);
    else begin
      wait_q <= BITS'(CYCLES_A_BIT - 1);
      bits_q <= {1'b1, bits_q[9:1]};
      left_q <= left_q - 4'd1;
    end
    if (rst_i) begin
      left_q <= '0;
      bits_q <= '1;
    end
  end
endmodule
