// The whole device, played a file of bytes and held to a file of bytes that it has to answer. For a simulator in which an
// unknown bit spreads: the memory chip's content is unknown until it was written.
module bench_device #(
  parameter int IN_COUNT = 1,
  parameter int OUT_COUNT = 1,
  parameter int CYCLES_AT_MOST = 2000000,
  parameter IN = "",
  parameter OUT = ""
);
  logic clk = 1'b0, rst = 1'b1;
  always #5 clk = ~clk;
  logic [7:0] requests[IN_COUNT];
  logic [7:0] replies[OUT_COUNT];
  initial $readmemh(IN, requests);
  initial $readmemh(OUT, replies);

  integer cycle = 0, sent_q = 0, got_q = 0, wrong_q = 0;
  logic byte_ready, reply_valid, unused_idle;
  logic [7:0] reply;
  integer chip_errors;
  // Pauses between bytes, and a line that is busy now and then.
  logic [15:0] random_q = 16'hace1;
  logic offers;
  assign offers = sent_q < IN_COUNT && !rst && random_q[0];
  virtual_board #(
    .LANES(16), .BATCH(2), .WIDTH(64), .INPUTS(128), .GATES(256), .STATES(256), .ROW_BITS(11), .WATCHDOG(100000)
  ) u_board (
    .clk_i(clk), .rst_i(rst), .byte_valid_i(offers), .byte_ready_o(byte_ready),
    .byte_i(offers ? requests[sent_q] : 8'hxx), .byte_valid_o(reply_valid), .byte_o(reply), .is_idle_o(unused_idle),
    .errors_o(chip_errors)
  );
  always @(posedge clk) begin
    cycle    <= cycle + 1;
    random_q <= {random_q[14:0], random_q[15] ^ random_q[13] ^ random_q[12] ^ random_q[10]};
    if (cycle == 6) rst <= 1'b0;
    if (offers && byte_ready === 1'b1) sent_q <= sent_q + 1;
    if (!rst && reply_valid !== 1'b0) begin
      got_q <= got_q + 1;
      if (reply_valid !== 1'b1 || reply !== replies[got_q]) begin
        wrong_q <= wrong_q + 1;
        if (wrong_q < 5) $display("ERROR byte %0d is %h, expected %h", got_q, reply, replies[got_q]);
      end
    end
    if (got_q == OUT_COUNT && sent_q == IN_COUNT || cycle == CYCLES_AT_MOST) begin
      $display("replies %0d of %0d wrong %0d chip errors %0d cycles %0d", got_q, OUT_COUNT, wrong_q, chip_errors, cycle);
      $finish;
    end
  end
endmodule
