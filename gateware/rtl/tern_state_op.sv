// The channels of MLGRU: gates and state in, state and v out. Three reads of the gates a channel, so a channel every third cycle.
module tern_state_op #(
  parameter int WIDTH = 1024,
  parameter int GATES = 8192,
  parameter int STATES = 16384,
  localparam int AT_BITS = $clog2(WIDTH),
  localparam int GATE_BITS = $clog2(GATES),
  localparam int STATE_BITS = $clog2(STATES)
) (
  input  logic                 clk_i,
  input  logic                 rst_i,
  input  logic                 start_i,
  output logic                 is_idle_o,
  input  logic [AT_BITS:0]     width_i,
  // Where the layer's states begin.
  input  logic [STATE_BITS-1:0] state_at_i,
  output logic [STATE_BITS-1:0] h_at_o,
  output logic [STATE_BITS-1:0] h_write_at_o,
  // Values arrive two cycles after their place. i, f and g lie one after the other, `width` each.
  output logic [GATE_BITS-1:0] gate_at_o,
  input  logic signed [23:0]   gate_i,
  output logic [AT_BITS-1:0]   at_o,
  input  logic [15:0]          lower_bound_i,
  input  logic signed [27:0]   h_i,
  output logic                 write_o,
  output logic [AT_BITS-1:0]   write_at_o,
  output logic signed [27:0]   h_o,
  output logic signed [31:0]   v_o,
  output logic                 is_v_clamped_o,
  // Of g with seven bits after the point; holds until the next start.
  output logic [43:0]          sum_of_g_o
);
  localparam logic [1:0] IDLE = 2'd0, RUN = 2'd1, LAST = 2'd2;
  logic [1:0] state_q, phase_q;
  logic [AT_BITS:0] at_q, seen_q;
  logic [GATE_BITS-1:0] gate_at_q;
  // Which of the three a value is, beside the read.
  logic [1:0] phase_1q, phase_2q;
  logic [23:0] i_q, f_q;
  logic element_valid, unused_ready, is_clamped;
  logic [31:0] g_square;
  assign gate_at_o = gate_at_q;
  assign at_o      = at_q[AT_BITS-1:0];
  assign is_idle_o = state_q == IDLE;

  tern_mlgru_element u_element (
    .clk_i, .rst_i, .in_valid_i(phase_2q == 2'd3), .in_ready_o(unused_ready), .i_i(i_q), .f_i(f_q), .g_i(gate_i),
    .lower_bound_i, .h_i, .out_valid_o(element_valid), .out_ready_i(1'b1), .h_o, .v_o, .is_v_clamped_o(is_clamped),
    .g_square_o(g_square)
  );
  assign write_o        = element_valid;
  assign write_at_o     = seen_q[AT_BITS-1:0];
  assign is_v_clamped_o = element_valid && is_clamped;

  always_ff @(posedge clk_i) begin
    phase_1q <= state_q == RUN ? phase_q : 2'd0;
    phase_2q <= phase_1q;
    if (phase_2q == 2'd1) i_q <= gate_i;
    if (phase_2q == 2'd2) f_q <= gate_i;
    if (element_valid) begin
      seen_q     <= seen_q + (AT_BITS+1)'(1);
      h_write_at_o <= h_write_at_o + STATE_BITS'(1);
      sum_of_g_o <= sum_of_g_o + 44'(g_square);
    end
    case (state_q)
      IDLE: begin
        at_q      <= '0;
        seen_q    <= '0;
        gate_at_q <= '0;
        phase_q   <= 2'd1;
        h_at_o       <= state_at_i;
        h_write_at_o <= state_at_i;
        if (start_i) begin
          state_q    <= RUN;
          sum_of_g_o <= '0;
        end
      end
      RUN: begin
        if (phase_q != 2'd3) begin
          phase_q   <= phase_q + 2'd1;
          gate_at_q <= gate_at_q + GATE_BITS'(width_i);
        end else begin
          phase_q   <= 2'd1;
          at_q      <= at_q + (AT_BITS+1)'(1);
          h_at_o    <= h_at_o + STATE_BITS'(1);
          gate_at_q <= GATE_BITS'(at_q) + GATE_BITS'(1);
          if (at_q + (AT_BITS+1)'(1) == width_i) state_q <= LAST;
        end
      end
      default: if (seen_q == width_i) state_q <= IDLE;
    endcase
    if (rst_i) begin
      state_q  <= IDLE;
      phase_1q <= '0;
      phase_2q <= '0;
    end
  end
  logic unused;
  assign unused = &{1'b0, unused_ready};
endmodule
