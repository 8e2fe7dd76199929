// The int8 inputs of a ternary matrix and the scale of its outputs (LINEAR of docs/fpga-numerics.md but for the sums): a pass
// for the largest product, then one that writes the inputs, LANES at a time, filled up with zeros to a multiple of 64.
module tern_inputs_op #(
  parameter int LANES = 16,
  parameter int INPUTS = 4096,
  localparam int AT_BITS = $clog2(INPUTS),
  localparam int BEAT_BITS = $clog2(INPUTS / LANES)
) (
  input  logic                 clk_i,
  input  logic                 rst_i,
  input  logic                 start_i,
  output logic                 is_idle_o,
  input  logic [AT_BITS:0]     width_i,
  input  logic [AT_BITS:0]     padded_i,
  // C 2^ce, and the site's root.
  input  logic [15:0]          factor_i,
  input  logic signed [7:0]    factor_power_i,
  input  logic [16:0]          root_i,
  input  logic [5:0]           root_shift_i,
  input  logic [4:0]           v_shift_i,
  // Values arrive two cycles after their place.
  output logic [AT_BITS-1:0]   at_o,
  input  logic signed [31:0]   v_i,
  input  logic signed [17:0]   w12_i,
  output logic                 q_write_o,
  output logic [BEAT_BITS-1:0] q_beat_o,
  output logic [8*LANES-1:0]   q_o,
  output logic [15:0]          mantissa_o,
  output logic [5:0]           shift_o,
  output logic                 is_scale_clamped_o
);
  localparam logic [2:0] IDLE = 3'd0, LARGEST = 3'd1, ALIGN = 3'd2, ROUND = 3'd3, RECIPROCAL = 3'd4, QUANTISE = 3'd5,
    SCALE = 3'd6, FINISH = 3'd7;
  logic [2:0] state_q;
  logic [AT_BITS:0] at_q, seen_q, end_of_pass;
  logic issues;
  logic [1:0] issued_q, is_padding_q;
  assign at_o        = at_q[AT_BITS-1:0];
  assign is_idle_o   = state_q == IDLE;
  assign end_of_pass = state_q == LARGEST ? width_i : padded_i;
  assign issues      = (state_q == LARGEST || state_q == QUANTISE) && at_q != end_of_pass;

  logic element_valid, unused_ready;
  logic [48:0] magnitude, largest_q;
  logic [7:0] q;
  logic [5:0] align_q, p_shift_q;
  logic [16:0] reciprocal_q, m_q;
  tern_quantise_element u_element (
    .clk_i, .rst_i, .in_valid_i(issued_q[1]), .in_ready_o(unused_ready), .v_i(is_padding_q[1] ? '0 : v_i), .w12_i,
    .shift_i(p_shift_q), .reciprocal_i(reciprocal_q), .out_valid_o(element_valid), .out_ready_i(1'b1),
    .magnitude_o(magnitude), .q_o(q)
  );

  // First 127 2^26 / M, then 8 C M / root beside the second pass.
  logic divide_start_q, divide_ready, divide_valid;
  logic [35:0] numerator_q, quotient;
  logic [16:0] divisor_q;
  tern_divide u_divide (
    .clk_i, .rst_i, .in_valid_i(divide_start_q), .in_ready_o(divide_ready), .numerator_i(numerator_q),
    .divisor_i(divisor_q), .out_valid_o(divide_valid), .out_ready_i(1'b1), .quotient_o(quotient)
  );
  logic [20:0] scale_q;
  logic has_scale_q;

  logic [17:0] rounded_m;
  assign rounded_m = {1'b0, largest_q[48:32]} + {17'b0, largest_q[31]};

  // The scale has 18 to 21 bits.
  logic [2:0] cut;
  logic [16:0] mantissa;
  logic [2:0] cut_of_carry;
  logic signed [10:0] shift;
  always_comb begin
    if (scale_q[20]) begin
      cut      = 3'd5;
      mantissa = {1'b0, scale_q[20:5]} + {16'b0, scale_q[4]};
    end else if (scale_q[19]) begin
      cut      = 3'd4;
      mantissa = {1'b0, scale_q[19:4]} + {16'b0, scale_q[3]};
    end else if (scale_q[18]) begin
      cut      = 3'd3;
      mantissa = {1'b0, scale_q[18:3]} + {16'b0, scale_q[2]};
    end else begin
      cut      = 3'd2;
      mantissa = {1'b0, scale_q[17:2]} + {16'b0, scale_q[1]};
    end
  end
  assign cut_of_carry = cut + {2'b0, mantissa[16]};
  logic signed [10:0] wanted_q;
  logic [16:0] wanted_mantissa_q;
  // The largest product's shift is p_shift_q - 16. All but the cut stands still during the second pass.
  logic signed [10:0] known_1q, known_2q, known_3q;
  always_ff @(posedge clk_i) begin
    known_1q <= 11'sd26 - 11'(factor_power_i);
    known_2q <= 11'($signed({1'b0, v_shift_i})) - 11'($signed({1'b0, root_shift_i[5:1]})) - 11'($signed({1'b0, p_shift_q}));
    known_3q <= known_1q + known_2q;
  end
  assign shift = known_3q - 11'($signed({1'b0, cut_of_carry}));

  assign q_write_o = element_valid && state_q == QUANTISE && (seen_q & (AT_BITS+1)'(LANES - 1)) == (AT_BITS+1)'(LANES - 1);
  assign q_beat_o  = seen_q[AT_BITS-1:AT_BITS-BEAT_BITS];
  logic [8*LANES-1:0] collected_q;
  assign q_o = {q, collected_q[8*LANES-1:8]};

  always_ff @(posedge clk_i) begin
    issued_q       <= {issued_q[0], issues};
    is_padding_q   <= {is_padding_q[0], at_q >= width_i};
    divide_start_q <= 1'b0;
    if (issues) at_q <= at_q + (AT_BITS+1)'(1);
    if (element_valid) begin
      seen_q      <= seen_q + (AT_BITS+1)'(1);
      collected_q <= q_o;
    end
    case (state_q)
      IDLE: begin
        at_q               <= '0;
        seen_q             <= '0;
        largest_q          <= '0;
        align_q            <= 6'd48;
        has_scale_q        <= 1'b0;
        is_scale_clamped_o <= 1'b0;
        if (start_i) state_q <= LARGEST;
      end
      LARGEST: begin
        if (element_valid && magnitude > largest_q) largest_q <= magnitude;
        if (seen_q == width_i) state_q <= ALIGN;
      end
      ALIGN: begin
        at_q      <= '0;
        seen_q    <= '0;
        p_shift_q <= align_q;
        if (largest_q == '0) begin
          // All inputs are zero and so are all outputs.
          reciprocal_q <= '0;
          scale_q      <= '0;
          state_q      <= QUANTISE;
        end else if (largest_q[48]) state_q <= ROUND;
        else begin
          largest_q <= largest_q << 1;
          align_q   <= align_q - 6'd1;
        end
      end
      ROUND: begin
        m_q            <= rounded_m[17] ? '1 : rounded_m[16:0];
        divisor_q      <= rounded_m[17] ? '1 : rounded_m[16:0];
        numerator_q    <= 36'd127 << 26;
        divide_start_q <= 1'b1;
        state_q        <= RECIPROCAL;
      end
      RECIPROCAL: begin
        // The product is ready long before the first quotient.
        numerator_q <= {33'(factor_i) * 33'(m_q), 3'b000};
        if (divide_valid) begin
          reciprocal_q   <= quotient[16:0];
          divisor_q      <= root_i;
          divide_start_q <= 1'b1;
          state_q        <= QUANTISE;
        end
      end
      QUANTISE: if (seen_q == padded_i) state_q <= largest_q == '0 || has_scale_q ? SCALE : QUANTISE;
      SCALE: begin
        wanted_q          <= shift;
        wanted_mantissa_q <= mantissa;
        state_q           <= FINISH;
      end
      default: begin
        state_q <= IDLE;
        if (largest_q == '0) begin
          mantissa_o <= '0;
          shift_o    <= 6'd1;
        end else begin
          mantissa_o         <= wanted_mantissa_q[16] ? 16'h8000 : wanted_mantissa_q[15:0];
          shift_o            <= wanted_q < 0 ? 6'd0 : wanted_q > 11'sd62 ? 6'd62 : wanted_q[5:0];
          is_scale_clamped_o <= wanted_q < 0;
        end
      end
    endcase
    if (state_q == QUANTISE && divide_valid && !divide_start_q) begin
      scale_q     <= quotient[20:0];
      has_scale_q <= 1'b1;
    end
    if (rst_i) begin
      state_q  <= IDLE;
      issued_q <= '0;
    end
  end
  logic unused;
  assign unused = &{1'b0, unused_ready, divide_ready, quotient[35:21], root_shift_i[0], scale_q[0], collected_q[7:0]};
endmodule
