// Reductions over a workgroup with subgroups: the same functions as reduce-workgroup.wgsl. SUBGROUP_SIZE is the smallest
// size that the adapter may choose, a power of two; a larger subgroup acts as several. Relies on lanes of a subgroup being
// neighbours; the backend's self-test sees to that. The order of sums is fixed.

const SUBGROUPS: u32 = WORKGROUP_SIZE / SUBGROUP_SIZE;
var<workgroup> reduce_pairs: array<vec2<f32>, 2u * SUBGROUPS>;
var<workgroup> reduce_maxima: array<vec4<f32>, SUBGROUPS>;

// `turn` 0 or 1: two sums that follow each other take different ones, so that neither waits for the other's readers.
fn workgroup_sum(value: vec2<f32>, turn: u32, lane: u32) -> vec2<f32> {
  var sum = value;
  for (var mask = 1u; mask < SUBGROUP_SIZE; mask <<= 1u) {
    sum = add_pairs(sum, subgroupShuffleXor(sum, mask));
  }
  let first = turn * SUBGROUPS;
  if (lane % SUBGROUP_SIZE == 0u) {
    reduce_pairs[first + lane / SUBGROUP_SIZE] = sum;
  }
  workgroupBarrier();
  sum = reduce_pairs[first];
  for (var i = 1u; i < SUBGROUPS; i++) {
    sum = add_pairs(sum, reduce_pairs[first + i]);
  }
  return sum;
}

fn workgroup_max(value: vec4<f32>, lane: u32) -> vec4<f32> {
  var largest = value;
  for (var mask = 1u; mask < SUBGROUP_SIZE; mask <<= 1u) {
    largest = max(largest, subgroupShuffleXor(largest, mask));
  }
  if (lane % SUBGROUP_SIZE == 0u) {
    reduce_maxima[lane / SUBGROUP_SIZE] = largest;
  }
  workgroupBarrier();
  largest = reduce_maxima[0];
  for (var i = 1u; i < SUBGROUPS; i++) {
    largest = max(largest, reduce_maxima[i]);
  }
  return largest;
}
