// z = silu(gate) up of one token: two reads an element, so an element every other cycle.
module tern_glu_op #(
  parameter int INPUTS = 4096,
  parameter int GATES = 8192,
  localparam int AT_BITS = $clog2(INPUTS),
  localparam int GATE_BITS = $clog2(GATES)
) (
  input  logic                 clk_i,
  input  logic                 rst_i,
  input  logic                 start_i,
  output logic                 is_idle_o,
  input  logic [AT_BITS:0]     width_i,
  // Values arrive two cycles after their place: gate from 0, up from `width`.
  output logic [GATE_BITS-1:0] gate_at_o,
  input  logic signed [23:0]   gate_i,
  output logic                 write_o,
  output logic [AT_BITS-1:0]   write_at_o,
  output logic signed [31:0]   z_o,
  output logic                 is_clamped_o
);
  localparam logic [1:0] IDLE = 2'd0, RUN = 2'd1, LAST = 2'd2;
  logic [1:0] state_q;
  logic is_up_q;
  logic [1:0] phase_1q, phase_2q;
  logic [AT_BITS:0] at_q, seen_q;
  logic [GATE_BITS-1:0] up_at_q;
  logic [23:0] gate_q;
  logic element_valid, unused_ready, is_clamped;
  assign is_idle_o = state_q == IDLE;
  assign gate_at_o = is_up_q ? up_at_q : GATE_BITS'(at_q);
  tern_glu_element u_element (
    .clk_i, .rst_i, .in_valid_i(phase_2q == 2'd2), .in_ready_o(unused_ready), .gate_i(gate_q), .up_i(gate_i),
    .out_valid_o(element_valid), .out_ready_i(1'b1), .z_o, .is_clamped_o(is_clamped)
  );
  assign write_o      = element_valid;
  assign write_at_o   = seen_q[AT_BITS-1:0];
  assign is_clamped_o = element_valid && is_clamped;

  always_ff @(posedge clk_i) begin
    phase_1q <= state_q == RUN ? {is_up_q, !is_up_q} : 2'd0;
    phase_2q <= phase_1q;
    if (phase_2q == 2'd1) gate_q <= gate_i;
    if (element_valid) seen_q <= seen_q + (AT_BITS+1)'(1);
    case (state_q)
      IDLE: begin
        at_q    <= '0;
        up_at_q <= GATE_BITS'(width_i);
        seen_q  <= '0;
        is_up_q <= 1'b0;
        if (start_i) state_q <= RUN;
      end
      RUN: begin
        is_up_q <= !is_up_q;
        if (is_up_q) begin
          at_q    <= at_q + (AT_BITS+1)'(1);
          up_at_q <= up_at_q + GATE_BITS'(1);
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
