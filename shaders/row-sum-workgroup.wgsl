// Sums over the ROW_LANES lanes of one matrix row, through workgroup memory. row-sum-subgroups.wgsl has the same function.
// The kernel names the type: alias RowSums.

var<workgroup> row_parts: array<RowSums, WORKGROUP_SIZE>;

// The sum, in the first lane of each row; whatever in the others.
fn row_sum(value: RowSums, lane: u32) -> RowSums {
  row_parts[lane] = value;
  for (var width = ROW_LANES / 2u; width > 0u; width >>= 1u) {
    workgroupBarrier();
    if (lane % ROW_LANES < width) {
      row_parts[lane] = row_parts[lane] + row_parts[lane + width];
    }
  }
  workgroupBarrier();
  return row_parts[lane];
}
