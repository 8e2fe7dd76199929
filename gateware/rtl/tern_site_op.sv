// SITE: the root of the mean square of one vector, in two passes over it: the highest bit of all magnitudes, then the squares.
module tern_site_op #(
  parameter int INPUTS = 4096,
  localparam int AT_BITS = $clog2(INPUTS)
) (
  input  logic               clk_i,
  input  logic               rst_i,
  input  logic               start_i,
  output logic               is_idle_o,
  input  logic [AT_BITS:0]   width_i,
  // A norm without a weight of its own: 2^15 everywhere.
  input  logic               is_constant_w1_i,
  // cm 2^cx is added to the sum of squares.
  input  logic [50:0]        epsilon_i,
  input  logic signed [15:0] epsilon_power_i,
  // Values arrive two cycles after their place.
  output logic [AT_BITS-1:0] at_o,
  input  logic signed [31:0] v_i,
  input  logic [15:0]        w1_i,
  output logic [16:0]        mantissa_o,
  output logic [5:0]         shift_o,
  output logic [4:0]         v_shift_o
);
  localparam logic [2:0] IDLE = 3'd0, HIGHEST = 3'd1, SHIFT = 3'd2, SQUARES = 3'd3, EPSILON = 3'd4, SUM = 3'd5, ROOT = 3'd6;
  logic [2:0] state_q;
  logic [AT_BITS:0] at_q, seen_q;
  logic issues;
  logic [1:0] issued_q;
  assign at_o      = at_q[AT_BITS-1:0];
  assign is_idle_o = state_q == IDLE;
  assign issues    = (state_q == HIGHEST || state_q == SQUARES) && at_q != width_i;

  logic [31:0] magnitude_q, ors_q;
  logic magnitude_valid_q;

  logic term_valid, unused_ready;
  logic [34:0] square;
  tern_square_term u_term (
    .clk_i, .rst_i, .in_valid_i(issued_q[1] && state_q == SQUARES), .in_ready_o(unused_ready), .v_i,
    .w1_i(is_constant_w1_i ? 16'h8000 : w1_i), .shift_i(v_shift_o), .out_valid_o(term_valid), .out_ready_i(1'b1),
    .square_o(square)
  );

  // 2^51 and above is more than the sum may be, whatever follows.
  logic [51:0] epsilon_q;
  logic signed [16:0] epsilon_shift_q;
  logic half_q;
  logic [48:0] sum_q;
  logic [51:0] total_q;
  logic root_start_q, root_ready, root_valid;
  logic [47:0] square_sum;
  assign square_sum = total_q == '0 ? 48'd1 : |total_q[51:48] ? '1 : total_q[47:0];
  tern_root u_root (
    .clk_i, .rst_i, .in_valid_i(root_start_q), .in_ready_o(root_ready), .square_i(square_sum), .out_valid_o(root_valid),
    .out_ready_i(1'b1), .mantissa_o(root_mantissa), .shift_o(root_shift)
  );
  logic [16:0] root_mantissa;
  logic [5:0] root_shift;

  always_ff @(posedge clk_i) begin
    issued_q          <= {issued_q[0], issues};
    magnitude_valid_q <= issued_q[1] && state_q == HIGHEST;
    magnitude_q       <= v_i[31] ? -v_i : v_i;
    if (magnitude_valid_q) ors_q <= ors_q | magnitude_q;
    if (issues) at_q <= at_q + (AT_BITS+1)'(1);
    root_start_q <= 1'b0;
    case (state_q)
      IDLE: begin
        at_q   <= '0;
        seen_q <= '0;
        ors_q  <= '0;
        sum_q  <= '0;
        if (start_i) state_q <= HIGHEST;
      end
      HIGHEST: begin
        v_shift_o <= 5'd31;
        if (at_q == width_i && issued_q == '0 && !magnitude_valid_q) state_q <= SHIFT;
      end
      SHIFT: begin
        // The highest bit's place, one a cycle.
        at_q <= '0;
        if (ors_q[31] || v_shift_o == '0) state_q <= SQUARES;
        else begin
          ors_q     <= ors_q << 1;
          v_shift_o <= v_shift_o - 5'd1;
        end
      end
      SQUARES: begin
        if (term_valid) begin
          sum_q  <= sum_q + 49'(square);
          seen_q <= seen_q + (AT_BITS+1)'(1);
        end
        epsilon_q       <= {1'b0, epsilon_i};
        half_q          <= 1'b0;
        epsilon_shift_q <= 17'($signed({11'b0, v_shift_o, 1'b0})) - 17'(epsilon_power_i);
        if (seen_q == width_i) state_q <= EPSILON;
      end
      EPSILON: begin
        // One bit a cycle; what has left or has grown over its range stays as it is.
        if (epsilon_q == '0 && !half_q || epsilon_shift_q == '0 || epsilon_shift_q < 0 && epsilon_q[51]) begin
          state_q <= SUM;
        end else if (epsilon_shift_q > 0) begin
          {epsilon_q, half_q} <= {1'b0, epsilon_q};
          epsilon_shift_q     <= epsilon_shift_q - 17'sd1;
        end else begin
          epsilon_q       <= epsilon_q << 1;
          epsilon_shift_q <= epsilon_shift_q + 17'sd1;
        end
      end
      SUM: begin
        total_q      <= 52'(sum_q) + (|epsilon_q[51:48] ? 52'hffffffffffff : epsilon_q + 52'(half_q));
        root_start_q <= 1'b1;
        state_q      <= ROOT;
      end
      default: begin
        if (root_valid) begin
          mantissa_o <= root_mantissa;
          shift_o    <= root_shift;
          state_q    <= IDLE;
        end
      end
    endcase
    if (rst_i) begin
      state_q           <= IDLE;
      issued_q          <= '0;
      magnitude_valid_q <= 1'b0;
    end
  end
  logic unused;
  assign unused = &{1'b0, unused_ready, root_ready};
endmodule
