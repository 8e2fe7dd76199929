// Validity beside a pipeline of LATENCY stages that holds still while its last stage is full and nobody takes it:
// valid and ready on both sides, and the pipeline's enable.
module tern_valid #(
  parameter int LATENCY = 4
) (
  input  logic clk_i,
  input  logic rst_i,
  input  logic in_valid_i,
  output logic in_ready_o,
  output logic out_valid_o,
  input  logic out_ready_i,
  output logic en_o
);
  logic [LATENCY-1:0] valid_q;
  assign out_valid_o = valid_q[LATENCY-1];
  assign en_o        = out_ready_i || !out_valid_o;
  assign in_ready_o  = en_o;
  always_ff @(posedge clk_i) begin
    if (rst_i) valid_q <= '0;
    else if (en_o) valid_q <= {valid_q[LATENCY-2:0], in_valid_i};
  end
endmodule
