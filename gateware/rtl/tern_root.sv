// ROOT of docs/fpga-numerics.md: sqrt(S) ~ mantissa 2^(7 - shift / 2), 1 <= S < 2^48. Two bits of S a cycle until it begins in
// the highest two, then the digits of the root, one a cycle.
module tern_root (
  input  logic        clk_i,
  input  logic        rst_i,
  input  logic        in_valid_i,
  output logic        in_ready_o,
  input  logic [47:0] square_i,
  output logic        out_valid_o,
  input  logic        out_ready_i,
  output logic [16:0] mantissa_o,
  output logic [5:0]  shift_o
);
  localparam logic [1:0] IDLE = 2'd0, ALIGN = 2'd1, DIGITS = 2'd2, DONE = 2'd3;
  localparam int STEPS = 18;
  logic [1:0] state_q;
  logic [47:0] square_q;
  logic [4:0] left_q;
  logic [17:0] root_q;
  logic [19:0] rest_q;

  logic [21:0] with_pair;
  logic [22:0] trial;
  assign with_pair = {rest_q, square_q[47:46]};
  assign trial = {1'b0, with_pair} - {3'b000, root_q, 2'b01};

  logic [17:0] rounded;
  assign rounded     = {1'b0, root_q[17:1]} + {17'b0, root_q[0]};
  assign mantissa_o  = rounded[17] ? '1 : rounded[16:0];
  assign in_ready_o  = state_q == IDLE;
  assign out_valid_o = state_q == DONE;

  always_ff @(posedge clk_i) begin
    if (rst_i) state_q <= IDLE;
    else begin
      case (state_q)
        IDLE: begin
          if (in_valid_i) begin
            state_q  <= ALIGN;
            square_q <= square_i;
            shift_o  <= '0;
          end
          root_q <= '0;
          rest_q <= '0;
          left_q <= 5'(STEPS);
        end
        ALIGN: begin
          // A square of 0 is not allowed; it would be aligned for ever.
          if (square_q[47:46] != 2'b00 || shift_o == 6'd48) state_q <= DIGITS;
          else begin
            square_q <= {square_q[45:0], 2'b00};
            shift_o  <= shift_o + 6'd2;
          end
        end
        DIGITS: begin
          square_q <= {square_q[45:0], 2'b00};
          root_q   <= {root_q[16:0], !trial[22]};
          rest_q   <= trial[22] ? with_pair[19:0] : trial[19:0];
          left_q   <= left_q - 5'd1;
          if (left_q == 5'd1) state_q <= DONE;
        end
        default: if (out_ready_i) state_q <= IDLE;
      endcase
    end
  end

  logic unused;
  assign unused = &{1'b0, trial[21:20]};
endmodule
