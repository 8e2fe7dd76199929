// SIG of docs/fpga-numerics.md: s24.12 to u17.16 by a table of 1024 segments, linearly interpolated. One every cycle, LATENCY 7.
module tern_sigmoid (
  input  logic               clk_i,
  input  logic               en_i,
  input  logic signed [23:0] x_i,
  output logic [16:0]        y_o
);
  logic [23:0] magnitude_q;
  logic sign_q, sign_2q, end_q;
  logic [5:0] fraction_q, fraction_2q, fraction_3q;
  logic [9:0] segment_q;
  // A segment's start in the upper 17 bits, its height in the lower 9.
  logic [25:0] entry, entry_q;
  logic [14:0] product_q;
  logic [16:0] start_q, interpolated_q, magnitude_y;
  logic [3:0] signs_q, ends_q;

  tern_sigmoid_table u_table (.clk_i, .en_i, .segment_i(segment_q), .entry_o(entry));

  assign magnitude_y = ends_q[3] ? 17'h10000 : interpolated_q;

  always_ff @(posedge clk_i) begin
    if (en_i) begin
      magnitude_q    <= x_i[23] ? -x_i : x_i;
      sign_q         <= x_i[23];
      segment_q      <= magnitude_q[15:6];
      fraction_q     <= magnitude_q[5:0];
      end_q          <= |magnitude_q[23:16];
      sign_2q        <= sign_q;
      fraction_2q    <= fraction_q;
      fraction_3q    <= fraction_2q;
      entry_q        <= entry;
      product_q      <= 15'(entry_q[8:0]) * 15'(fraction_3q);
      start_q        <= entry_q[25:9];
      interpolated_q <= start_q + 17'((17'(product_q) + 17'd32) >> 6);
      signs_q        <= {signs_q[2:0], sign_2q};
      ends_q         <= {ends_q[2:0], end_q};
      y_o            <= signs_q[3] ? 17'h10000 - magnitude_y : magnitude_y;
    end
  end
endmodule
