// Sums over the ROW_LANES lanes of one matrix row, with subgroups: the same function as row-sum-workgroup.wgsl.
// The kernel names the type: alias RowSums.

const LANES_TOGETHER: u32 = min(ROW_LANES, SUBGROUP_SIZE);
const PARTS: u32 = ROW_LANES / LANES_TOGETHER;
var<workgroup> row_parts: array<RowSums, WORKGROUP_SIZE / LANES_TOGETHER>;

// The sum, in the first lane of each row; whatever in the others.
fn row_sum(value: RowSums, lane: u32) -> RowSums {
  var sum = value;
  for (var mask = 1u; mask < LANES_TOGETHER; mask <<= 1u) {
    sum = sum + subgroupShuffleXor(sum, mask);
  }
  if (PARTS > 1u) {
    workgroupBarrier();
    if (lane % LANES_TOGETHER == 0u) {
      row_parts[lane / LANES_TOGETHER] = sum;
    }
    workgroupBarrier();
    let first = lane / ROW_LANES * PARTS;
    sum = row_parts[first];
    for (var i = 1u; i < PARTS; i++) {
      sum = sum + row_parts[first + i];
    }
  }
  return sum;
}
