// Sums over the ROW_LANES lanes of one matrix row, through workgroup memory. row-sum-subgroups.wgsl has the same function.
// The kernel names the type: alias RowSums.

var<workgroup> row_parts: array<RowSums, WORKGROUP_SIZE>;

// The sum, in every lane of the row.
fn row_sum(value: RowSums, lane: u32) -> RowSums {
  workgroupBarrier();
  row_parts[lane] = value;
  workgroupBarrier();
  let first = lane - lane % ROW_LANES;
  var sum = row_parts[first];
  for (var i = 1u; i < ROW_LANES; i++) {
    sum = sum + row_parts[first + i];
  }
  return sum;
}
