// The SDRAM controller keeps the chip's times, whatever is asked of it: activate only a closed bank after precharge and refresh,
// read and write only the open row after its delay, precharge not too early, refresh only when all is closed, and never late.
module prove_sdram (
  input logic        clk_i,
  input logic        request_valid_i,
  input logic        is_write_i,
  input logic [15:0] address_i,
  input logic [15:0] value_i,
  input logic [15:0] dq_i
);
  localparam int EVERY = 30, CAS = 3, T_RCD = 3, T_RP = 3, T_RAS = 6, T_RFC = 5, T_WR = 2;
  logic rst = 1'b1;
  always_ff @(posedge clk_i) rst <= 1'b0;
  logic ready, valid, ras_n, cas_n, we_n, drive;
  logic [15:0] value, dq;
  logic [1:0] bank;
  logic [10:0] chip_address;
  tern_sdram #(
    .ROW_BITS(11), .COLUMN_BITS(3), .REFRESH_EVERY(EVERY), .POWER_UP(1), .CAS(CAS), .T_RCD(T_RCD), .T_RP(T_RP),
    .T_RAS(T_RAS), .T_RFC(T_RFC), .T_WR(T_WR)
  ) dut (
    .clk_i, .rst_i(rst), .request_valid_i, .request_ready_o(ready), .is_write_i, .address_i, .value_i,
    .value_valid_o(valid), .value_o(value), .ras_no(ras_n), .cas_no(cas_n), .we_no(we_n), .bank_o(bank),
    .chip_address_o(chip_address), .dq_i, .dq_o(dq), .dq_drive_o(drive)
  );

  // The chip, as far as its rules go. Counters stop at 63.
  logic is_open = 1'b0;
  logic [1:0] open_bank;
  logic [10:0] open_row;
  logic [5:0] since_activate = '1, since_precharge = '1, since_refresh = '1, since_write = '1;
  logic [6:0] age = '0;
  logic [2:0] words = '0;
  logic [2:0] command;
  assign command = {ras_n, cas_n, we_n};
  function automatic logic [5:0] later(input logic [5:0] count);
    later = count == 6'd63 ? count : count + 6'd1;
  endfunction
  logic was_moded = 1'b0;
  always_ff @(posedge clk_i) begin
    since_activate  <= later(since_activate);
    since_precharge <= later(since_precharge);
    since_refresh   <= later(since_refresh);
    since_write     <= later(since_write);
    words           <= {words[1:0], 1'b0};
    if (!rst) begin
      age <= age == 7'd127 ? age : age + 7'd1;
      case (command)
        3'b011: begin
          is_open        <= 1'b1;
          open_bank      <= bank;
          open_row       <= chip_address;
          since_activate <= 6'd1;
        end
        3'b101: words[0] <= 1'b1;
        3'b100: since_write <= 6'd1;
        3'b010: begin
          is_open         <= 1'b0;
          since_precharge <= 6'd1;
        end
        3'b001: begin
          since_refresh <= 6'd1;
          age           <= '0;
        end
        3'b000: was_moded <= 1'b1;
        default: ;
      endcase
    end
  end
  logic after_reset = 1'b0;
  always_ff @(posedge clk_i) after_reset <= !rst;
  always_comb begin
    if (after_reset) begin
      if (command == 3'b011) assert (!is_open && since_precharge >= T_RP && since_refresh >= T_RFC);
      if (command == 3'b101 || command == 3'b100) begin
        assert (was_moded && is_open && bank == open_bank && since_activate >= T_RCD);
      end
      if (command == 3'b100) assert (drive && words == '0);
      if (command != 3'b100) assert (!drive);
      if (command == 3'b010) assert (chip_address[10] && (!is_open || since_activate >= T_RAS && since_write >= T_WR));
      if (command == 3'b001) assert (!is_open);
      if (command == 3'b001) assert (since_precharge >= T_RP);
      if (command == 3'b001) assert (since_refresh >= T_RFC);
      if (command == 3'b000) assert (!is_open && since_refresh >= T_RFC && chip_address[6:4] == CAS && chip_address[2:0] == 0);
      // Never later than one interval and what may stand in its way.
      if (was_moded) assert (age <= EVERY + 24);
    end
  end
endmodule
