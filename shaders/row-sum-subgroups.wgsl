// Sums over the ROW_LANES lanes of one matrix row, with subgroups: the same function as row-sum-workgroup.wgsl. ROW_LANES is
// at most SUBGROUP_SIZE. The kernel names the type: alias RowSums.

// The sum, in every lane of the row.
fn row_sum(value: RowSums, lane: u32) -> RowSums {
  var sum = value;
  for (var mask = 1u; mask < ROW_LANES; mask <<= 1u) {
    sum = sum + subgroupShuffleXor(sum, mask);
  }
  return sum;
}
