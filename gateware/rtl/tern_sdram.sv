// Single data rate SDRAM of 16 bits, one word a request. A row stays open until another is needed or a refresh is due, so that a
// sequence of words costs one cycle each and a page change about eight. Words of a read come back in the order of the requests.
module tern_sdram #(
  parameter int ROW_BITS = 13,
  parameter int COLUMN_BITS = 9,
  // All in cycles of the clock.
  parameter int CAS = 3,
  parameter int T_RCD = 3,
  parameter int T_RP = 3,
  parameter int T_RAS = 6,
  parameter int T_RFC = 9,
  parameter int T_WR = 2,
  parameter int T_MRD = 2,
  parameter int REFRESH_EVERY = 900,
  parameter int POWER_UP = 25000,
  localparam int ADDRESS_BITS = ROW_BITS + COLUMN_BITS + 2
) (
  input  logic                    clk_i,
  input  logic                    rst_i,
  input  logic                    request_valid_i,
  output logic                    request_ready_o,
  input  logic                    is_write_i,
  input  logic [ADDRESS_BITS-1:0] address_i,
  input  logic [15:0]             value_i,
  output logic                    value_valid_o,
  output logic [15:0]             value_o,
  // The chip. Chip select is always on; between commands it gets no-operations.
  output logic                    ras_no,
  output logic                    cas_no,
  output logic                    we_no,
  output logic [1:0]              bank_o,
  output logic [ROW_BITS-1:0]     chip_address_o,
  input  logic [15:0]             dq_i,
  output logic [15:0]             dq_o,
  output logic                    dq_drive_o
);
  localparam logic [2:0] NOP = 3'b111, ACTIVATE = 3'b011, READ = 3'b101, WRITE = 3'b100, PRECHARGE = 3'b010;
  localparam logic [2:0] REFRESH = 3'b001, SET_MODE = 3'b000;
  localparam logic [2:0] S_POWER = 3'd0, S_PRECHARGE = 3'd1, S_REFRESH_1 = 3'd2, S_REFRESH_2 = 3'd3, S_MODE = 3'd4,
    S_CLOSED = 3'd5, S_OPEN = 3'd6;
  localparam int WAIT_BITS = POWER_UP > 31 ? $clog2(POWER_UP + 1) : 5;
  localparam int DUE_BITS = $clog2(REFRESH_EVERY + 1);

  logic [2:0] state_q, command_q;
  logic [WAIT_BITS-1:0] wait_q;
  logic [DUE_BITS-1:0] due_q;
  logic refresh_due_q;
  logic [3:0] close_wait_q;
  // One bit for each read on its way: the last is the cycle in which the chip drives its word.
  logic [CAS+1:0] reads_q;
  logic [1:0] open_bank_q;
  logic [ROW_BITS-1:0] open_row_q;
  assign {ras_no, cas_no, we_no} = command_q;

  logic [COLUMN_BITS-1:0] column;
  logic [1:0] bank;
  logic [ROW_BITS-1:0] row;
  assign {row, bank, column} = address_i;

  logic is_hit, is_idle, bus_is_free;
  assign is_idle         = wait_q == '0;
  assign is_hit          = row == open_row_q && bank == open_bank_q;
  // A write drives the bus at once, so every word that was asked for must have come before.
  assign bus_is_free     = reads_q == '0;
  assign request_ready_o = state_q == S_OPEN && is_idle && is_hit && !refresh_due_q && (!is_write_i || bus_is_free);

  always_ff @(posedge clk_i) begin
    command_q      <= NOP;
    dq_drive_o     <= 1'b0;
    reads_q        <= {reads_q[CAS:0], 1'b0};
    value_valid_o  <= reads_q[CAS];
    value_o        <= dq_i;
    if (!is_idle) wait_q <= wait_q - WAIT_BITS'(1);
    if (close_wait_q != '0) close_wait_q <= close_wait_q - 4'd1;
    if (due_q == '0) begin
      due_q         <= DUE_BITS'(REFRESH_EVERY - 1);
      refresh_due_q <= 1'b1;
    end else due_q <= due_q - DUE_BITS'(1);

    if (is_idle) begin
      case (state_q)
        S_POWER: begin
          command_q      <= PRECHARGE;
          chip_address_o <= ROW_BITS'(1 << 10);
          wait_q         <= WAIT_BITS'(T_RP - 1);
          state_q        <= S_REFRESH_1;
        end
        S_REFRESH_1, S_REFRESH_2: begin
          command_q <= REFRESH;
          wait_q    <= WAIT_BITS'(T_RFC - 1);
          state_q   <= state_q == S_REFRESH_1 ? S_REFRESH_2 : S_MODE;
        end
        S_MODE: begin
          // Bursts of one word.
          command_q      <= SET_MODE;
          bank_o         <= '0;
          chip_address_o <= ROW_BITS'(CAS << 4);
          wait_q         <= WAIT_BITS'(T_MRD - 1);
          state_q        <= S_CLOSED;
        end
        S_CLOSED: begin
          if (refresh_due_q) begin
            command_q     <= REFRESH;
            refresh_due_q <= 1'b0;
            wait_q        <= WAIT_BITS'(T_RFC - 1);
          end else if (request_valid_i) begin
            command_q      <= ACTIVATE;
            bank_o         <= bank;
            chip_address_o <= row;
            open_bank_q    <= bank;
            open_row_q     <= row;
            wait_q         <= WAIT_BITS'(T_RCD - 1);
            close_wait_q   <= 4'(T_RAS - 1);
            state_q        <= S_OPEN;
          end
        end
        S_OPEN: begin
          if (request_valid_i && request_ready_o) begin
            command_q      <= is_write_i ? WRITE : READ;
            bank_o         <= bank;
            chip_address_o <= ROW_BITS'(column);
            dq_o           <= value_i;
            dq_drive_o     <= is_write_i;
            reads_q[0]     <= !is_write_i;
            if (is_write_i && close_wait_q < 4'(T_WR)) close_wait_q <= 4'(T_WR);
          end else if ((refresh_due_q || request_valid_i && !is_hit) && close_wait_q == '0) state_q <= S_PRECHARGE;
        end
        default: begin
          command_q      <= PRECHARGE;
          chip_address_o <= ROW_BITS'(1 << 10);
          wait_q         <= WAIT_BITS'(T_RP - 1);
          state_q        <= S_CLOSED;
        end
      endcase
    end
    if (rst_i) begin
      state_q       <= S_POWER;
      wait_q        <= WAIT_BITS'(POWER_UP);
      due_q         <= DUE_BITS'(REFRESH_EVERY - 1);
      refresh_due_q <= 1'b0;
      close_wait_q  <= '0;
      reads_q       <= '0;
      value_valid_o <= 1'b0;
      command_q     <= NOP;
    end
  end
endmodule
