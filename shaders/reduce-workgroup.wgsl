// Reductions over a workgroup and over the lanes of one row, through workgroup memory alone: for adapters without
// subgroups. reduce-subgroups.wgsl has the same functions. The order of sums is fixed.

var<workgroup> reduce_pairs: array<vec2<f32>, WORKGROUP_SIZE>;
var<workgroup> reduce_maxima: array<vec4<f32>, WORKGROUP_SIZE>;

fn workgroup_sum(value: vec2<f32>, lane: u32) -> vec2<f32> {
  reduce_pairs[lane] = value;
  for (var width = WORKGROUP_SIZE / 2u; width > 0u; width >>= 1u) {
    workgroupBarrier();
    if (lane < width) {
      reduce_pairs[lane] = add_pairs(reduce_pairs[lane], reduce_pairs[lane + width]);
    }
  }
  workgroupBarrier();
  let sum = reduce_pairs[0];
  workgroupBarrier();
  return sum;
}

fn workgroup_max(value: vec4<f32>, lane: u32) -> vec4<f32> {
  reduce_maxima[lane] = value;
  for (var width = WORKGROUP_SIZE / 2u; width > 0u; width >>= 1u) {
    workgroupBarrier();
    if (lane < width) {
      reduce_maxima[lane] = max(reduce_maxima[lane], reduce_maxima[lane + width]);
    }
  }
  workgroupBarrier();
  let largest = reduce_maxima[0];
  workgroupBarrier();
  return largest;
}
