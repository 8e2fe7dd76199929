// The watchdog fires after CYCLES without progress, never before, and never while nothing runs.
module prove_watchdog (
  input logic clk_i,
  input logic is_running_i,
  input logic progress_i
);
  localparam int CYCLES = 6;
  logic rst = 1'b1;
  logic fires;
  always_ff @(posedge clk_i) rst <= 1'b0;
  tern_watchdog #(.CYCLES(CYCLES)) dut (.clk_i, .rst_i(rst), .is_running_i, .progress_i, .fires_o(fires));
  // The contract itself is in the module.
  always_comb if (!rst && !is_running_i) assert (!fires);
endmodule
