// Reductions over a workgroup through workgroup memory alone: for adapters without subgroups. reduce-subgroups.wgsl has the
// same functions. The order of sums is fixed.

var<workgroup> reduce_pairs: array<vec2<f32>, 2u * WORKGROUP_SIZE>;
var<workgroup> reduce_maxima: array<vec4<f32>, WORKGROUP_SIZE>;

// `turn` 0 or 1: two sums that follow each other take different ones, so that neither waits for the other's readers.
fn workgroup_sum(value: vec2<f32>, turn: u32, lane: u32) -> vec2<f32> {
  let first = turn * WORKGROUP_SIZE;
  reduce_pairs[first + lane] = value;
  for (var width = WORKGROUP_SIZE / 2u; width > 0u; width >>= 1u) {
    workgroupBarrier();
    if (lane < width) {
      reduce_pairs[first + lane] = add_pairs(reduce_pairs[first + lane], reduce_pairs[first + lane + width]);
    }
  }
  workgroupBarrier();
  return reduce_pairs[first];
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
  return reduce_maxima[0];
}
