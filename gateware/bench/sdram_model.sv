// An SDRAM chip, strict: what the data sheet forbids is an error. Its memory begins with a file (+image=FILE, 16 bit words with
// the high byte first), else unknown.
module sdram_model #(
  parameter int ROW_BITS = 13,
  parameter int COLUMN_BITS = 9,
  // Of the chip, in cycles; the controller's own parameters are not looked at.
  parameter int T_RCD = 3,
  parameter int T_RP = 3,
  parameter int T_RAS = 6,
  parameter int T_RC = 9,
  parameter int T_WR = 2,
  parameter int REFRESH_EVERY = 937
) (
  input  logic                clk_i,
  input  logic                ras_ni,
  input  logic                cas_ni,
  input  logic                we_ni,
  input  logic [1:0]          bank_i,
  input  logic [ROW_BITS-1:0] address_i,
  output logic [15:0]         dq_o,
  input  logic [15:0]         dq_i,
  input  logic                dq_driven_i,
  output integer              errors_o
);
  localparam int WORDS = 1 << (ROW_BITS + COLUMN_BITS + 2);
  logic [15:0] cells[WORDS];
  string image;
  integer file, got;
  initial begin
    errors_o = 0;
    if ($value$plusargs("image=%s", image)) begin
      file = $fopen(image, "rb");
      got  = $fread(cells, file);
      $fclose(file);
    end
  end

  logic [3:0] is_open = '0;
  logic [ROW_BITS-1:0] open_row[4];
  // Cycles since the last of each; large at first.
  integer since_activate[4], since_precharge[4], since_write = 1000, since_refresh = 1000, refresh_age = 0;
  logic [2:0] mode_cas = '0;
  logic is_moded = 1'b0;
  // Before the first no-operation the chip is not powered.
  logic is_powered = 1'b0;
  integer bank_at;
  initial for (bank_at = 0; bank_at < 4; bank_at = bank_at + 1) begin
    since_activate[bank_at]  = 1000;
    since_precharge[bank_at] = 1000;
  end

  // A word is on the bus for one cycle, CAS cycles after its command; then the bus floats.
  logic [15:0] word_1q, word_2q, word_3q;
  logic [2:0] driven_q = '0;
  assign dq_o = word_3q;

  task automatic check(input logic is_right, input integer rule);
    if (is_right !== 1'b1) begin
      errors_o = errors_o + 1;
      if (errors_o < 5) $fdisplay(32'h80000002, "ERROR sdram rule %0d", rule);
    end
  endtask

  logic [ROW_BITS+COLUMN_BITS+1:0] at;
  assign at = {open_row[bank_i], bank_i, address_i[COLUMN_BITS-1:0]};
  always @(posedge clk_i) begin
    word_1q  <= 16'hxxxx;
    word_2q  <= word_1q;
    word_3q  <= mode_cas == 3'd2 ? word_1q : word_2q;
    driven_q <= {driven_q[1:0], 1'b0};
    for (bank_at = 0; bank_at < 4; bank_at = bank_at + 1) begin
      since_activate[bank_at]  <= since_activate[bank_at] + 1;
      since_precharge[bank_at] <= since_precharge[bank_at] + 1;
    end
    since_write   <= since_write + 1;
    since_refresh <= since_refresh + 1;
    refresh_age   <= refresh_age + 1;
    // Refreshes may come late by eight at most.
    if (is_moded && refresh_age > 9 * REFRESH_EVERY) check(1'b0, 1);
    if (dq_driven_i && driven_q[2]) check(1'b0, 2);
    if ({ras_ni, cas_ni, we_ni} === 3'b111) is_powered <= 1'b1;
    if (is_powered) case ({ras_ni, cas_ni, we_ni})
      3'b011: begin
        check(!is_open[bank_i], 3);
        check(since_precharge[bank_i] >= T_RP && since_refresh >= T_RC && since_activate[bank_i] >= T_RC, 4);
        is_open[bank_i]        <= 1'b1;
        open_row[bank_i]       <= address_i;
        since_activate[bank_i] <= 1;
      end
      3'b101: begin
        check(is_moded && is_open[bank_i] && since_activate[bank_i] >= T_RCD, 5);
        word_1q     <= cells[at];
        driven_q[0] <= 1'b1;
      end
      3'b100: begin
        check(is_moded && is_open[bank_i] && since_activate[bank_i] >= T_RCD && dq_driven_i, 6);
        check(driven_q == '0, 7);
        cells[at]   <= dq_i;
        since_write <= 1;
      end
      3'b010: begin
        for (bank_at = 0; bank_at < 4; bank_at = bank_at + 1) begin
          if (address_i[10] || bank_at[1:0] == bank_i) begin
            if (is_open[bank_at]) check(since_activate[bank_at] >= T_RAS && since_write >= T_WR, 8);
            is_open[bank_at]         <= 1'b0;
            since_precharge[bank_at] <= 1;
          end
        end
      end
      3'b001: begin
        check(is_open == '0 && since_refresh >= T_RC && since_precharge[0] >= T_RP, 9);
        since_refresh <= 1;
        refresh_age   <= refresh_age > REFRESH_EVERY ? refresh_age - REFRESH_EVERY : 0;
      end
      3'b000: begin
        check(is_open == '0 && since_refresh >= T_RC, 10);
        mode_cas <= address_i[6:4];
        is_moded <= 1'b1;
        check(address_i[2:0] == 3'd0 && (address_i[6:4] == 3'd2 || address_i[6:4] == 3'd3), 11);
      end
      default: ;
    endcase
  end
endmodule
