// Prefill: of each of T tokens, an optional RMSNorm (HAS_NORM), then for each of PLANES matrices its own RMSNorm and the
// absmax quantisation. One workgroup a token.

@group(0) @binding(2) var<storage, read> input: array<vec4<f32>>; // [T, K]
@group(0) @binding(3) var<storage, read> norm: array<vec4<f32>>; // [K]; anything without HAS_NORM
@group(0) @binding(4) var<storage, read> in_norms: array<vec4<f32>>; // [PLANES, K]
@group(0) @binding(5) var<storage, read_write> activations: array<u32>; // [PLANES, CAPACITY, WORDS, 4] int8 in ternary order
@group(0) @binding(6) var<storage, read_write> token_scales: array<vec2<u32>>; // [PLANES, CAPACITY] bits of s, sum of q

var<workgroup> sums: array<atomic<i32>, PLANES>;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let token = group.x;
  if (lane < PLANES) {
    atomicStore(&sums[lane], 0);
  }
  var values: Values;
  for (var i = 0u; i < ITEMS; i++) {
    let vector = lane + i * WORKGROUP_SIZE;
    if (vector < VECTORS) {
      values[i] = input[token * VECTORS + vector];
    }
  }
  if (HAS_NORM) {
    normalize(&values, MODEL_EPSILON, 0u, lane);
    for (var i = 0u; i < ITEMS; i++) {
      let vector = lane + i * WORKGROUP_SIZE;
      if (vector < VECTORS) {
        values[i] = values[i] * norm[vector];
      }
    }
  }
  if (HAS_LINEAR_NORM) {
    normalize(&values, BITLINEAR_EPSILON, 1u, lane);
  }
  var y: array<Values, PLANES>;
  var absmax = vec4<f32>();
  for (var plane = 0u; plane < PLANES; plane++) {
    for (var i = 0u; i < ITEMS; i++) {
      let vector = lane + i * WORKGROUP_SIZE;
      if (vector < VECTORS) {
        y[plane][i] = values[i] * in_norms[plane * VECTORS + vector];
        absmax[plane] = max(absmax[plane], absmax_of(y[plane][i]));
      }
    }
  }
  absmax = workgroup_max(absmax, lane);
  for (var plane = 0u; plane < PLANES; plane++) {
    let scale = activation_scale(absmax[plane]);
    let row = plane * CAPACITY + token;
    var sum = 0;
    for (var i = 0u; i < ITEMS; i++) {
      let vector = lane + i * WORKGROUP_SIZE;
      if (vector < VECTORS) {
        let q = quantize4(y[plane][i], scale);
        activations[(row * WORDS + word_of(vector)) * 4u + quarter_of(vector)] = q;
        sum += activation_sum(q);
      }
    }
    atomicAdd(&sums[plane], sum);
  }
  workgroupBarrier();
  if (lane < PLANES) {
    let scale = activation_scale(absmax[lane]);
    token_scales[lane * CAPACITY + token] = vec2<u32>(bitcast<u32>(scale), bitcast<u32>(atomicLoad(&sums[lane])));
  }
}
